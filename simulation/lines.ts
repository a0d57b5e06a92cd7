import { z } from 'zod'
import { OpsError } from '../engine/index.js'
import { microsOf } from './time.js'

const id = z.string()
const moment = z.string().refine((text) => {
  try {
    return microsOf(text) > 0
  } catch {
    return false
  }
}, 'must be a time with its zone, such as "2026-01-31T09:00:00Z"')
const optionalText = z.string().nullish()
const data = z.record(z.string(), z.unknown())

const run = z.object({
  id,
  status: z.string(),
  error: optionalText,
  started_at: moment,
  completed_at: moment,
  cost_usd: z.number().nullish(),
})
const step = z.object({
  id,
  key: z.string(),
  kind: z.string(),
  status: z.string(),
  runs: z.array(run),
})
const mission = z.object({
  id,
  status: z.string(),
  created_at: moment,
  completed_at: moment.nullish(),
  ended_by: optionalText,
  reopened_at: z.array(moment).default([]),
  steps: z.array(step),
})
const proposal = z.object({
  id,
  source: z.string(),
  status: z.string(),
  code: optionalText,
  title: optionalText,
  verdict: data.nullish(),
  digest: optionalText,
  dedupe_key: optionalText,
  proposed_by: optionalText,
  created_at: moment,
  reserved_usd: z.number().default(0),
  held_until: moment.nullish(),
  template: data.nullish(),
  decision: z.object({ decision: z.string(), actor: z.string(), note: optionalText, at: moment }).nullish(),
  mission: mission.nullish(),
})
export type RecordedProposal = z.output<typeof proposal>

const decision = z.looseObject({ pattern_id: z.string(), decision: z.string(), mode: z.string().nullish() })
export type RecordedDecision = z.output<typeof decision>

const eventLine = z.object({
  kind: z.literal('event').default('event'),
  id: id.optional(),
  type: z.string().min(1).max(200),
  data: data.default({}),
  dedupe_key: optionalText,
  created_at: moment.optional(),
  proposal_id: id.nullish(),
  mission_id: id.nullish(),
  run_id: id.nullish(),
  verdict: z
    .object({
      policy_version: z.number().nullable(),
      decisions: z.array(decision),
      error: optionalText,
      settled_at: moment,
    })
    .nullish(),
  reactions: z
    .array(
      z.object({
        id,
        pattern_id: z.string(),
        status: z.string(),
        code: optionalText,
        updated_at: moment,
        proposal: proposal.nullish(),
      }),
    )
    .default([]),
})

const line = z.union([
  z.object({
    kind: z.literal('policy'),
    key: z.string(),
    value: data.nullable(),
    version: z.number().nullable(),
    at: moment,
  }),
  z.object({ kind: z.literal('beat'), at: moment }),
  proposal.extend({ kind: z.literal('proposal') }),
  eventLine,
])

/** One line of a recording. A line that is only an event, with no more than its type and data, will do. */
export type Line = z.output<typeof line>
export type EventLine = z.output<typeof eventLine>

/** @throws OpsError `OPS_011` */
export function readLine(value: unknown, where: string): Line {
  const schema = isRecord(value) ? schemaFor(value.kind) : line
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue?.path.join('.') ?? ''
  throw new OpsError(
    'OPS_011',
    `${where} is no recorded line: ${[path, issue?.message].filter(Boolean).join(': ')}`,
    {
      details: { path },
      hint: 'A line is an event {"type", "data", "created_at"}, or one that policy simulate --save has written.',
    },
  )
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

/** The form of one kind, so that a problem is told about it and not about all of them. */
function schemaFor(kind: unknown): z.ZodType<Line> {
  return line.options.find(({ shape }) => shape.kind.safeParse(kind).success) ?? line
}

/**
 * Reads NDJSON, one JSON object a line.
 *
 * @throws OpsError `OPS_011` names the line
 */
export function readLines(text: string): Line[] {
  return text.split('\n').flatMap((raw, index): Line[] => {
    if (raw.trim() === '') return []
    const where = `line ${index + 1}`
    let value: unknown
    try {
      value = JSON.parse(raw)
    } catch {
      throw new OpsError('OPS_011', `${where} is not JSON`, {
        hint: 'NDJSON holds one JSON object on each line.',
      })
    }
    return [readLine(value, where)]
  })
}
