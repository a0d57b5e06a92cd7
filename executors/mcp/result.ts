import { z } from 'zod'
import { done, type Outcome, retry } from '../define.js'
import { storableValue } from '../text.js'

const item = z.looseObject({
  type: z.string(),
  text: z.string().optional(),
  data: z.string().optional(),
  mimeType: z.string().optional(),
  uri: z.string().optional(),
  resource: z.looseObject({ uri: z.string(), text: z.string().optional() }).optional(),
})

const toolResult = z.looseObject({
  content: z.array(item).default([]),
  structuredContent: z.record(z.string(), z.unknown()).optional(),
  isError: z.boolean().optional(),
})

/**
 * What a tool answered as the step's result: `text`, all that it said; `structured`, what it returned as data; `others`, what else
 * there is, without its bytes. An error that a tool reports is tried again.
 */
export function resultOf(answer: unknown): Outcome {
  const { content, structuredContent, isError } = toolResult.parse(answer)
  const text = content.flatMap(({ text, resource }) => text ?? resource?.text ?? []).join('\n')
  if (isError) return retry({ error: text || 'the tool failed without a message' })
  const others = content
    .filter(({ text, resource }) => text === undefined && resource?.text === undefined)
    .map(({ type, mimeType, uri, resource, data }) => ({
      type,
      mime_type: mimeType,
      uri: uri ?? resource?.uri,
      bytes: data && Buffer.byteLength(data, 'base64'),
    }))
  return done(storableValue({ text, structured: structuredContent, ...(others.length > 0 && { others }) }))
}
