/** Turns entries of the timeline into lines that people can follow. */
import { z } from 'zod'
import type { TimelineEntry } from '../engine/index.js'
import type { Colors } from './colors.js'
import { shortId } from './shortId.js'
import { type Tone, verdictOf } from './verdict.js'

interface Said {
  /** `•` came in, `→` leads on, `✓` and `✗` end something, `↻` is tried again, `↩` came back from the loop itself. */
  mark: string
  text: string
  tone?: Tone
}

const detailsSchema = z
  .object({
    key: z.string(),
    kind: z.string(),
    code: z.string(),
    reason: z.string(),
    title: z.string(),
    error: z.string(),
    decided_by: z.string(),
    repository: z.string(),
    pattern_id: z.string(),
    depth: z.number(),
    attempt: z.number(),
    steps_total: z.number(),
    duration_ms: z.number(),
  })
  .partial()
type Details = z.infer<typeof detailsSchema>

type Teller = (entry: TimelineEntry, details: Details) => Said

const tellers: Record<TimelineEntry['entity'], Teller> = {
  event({ summary }, { depth = 0, repository }) {
    return { mark: depth > 0 ? '↩' : '•', text: join(summary, repository) }
  },

  reaction({ status, summary }, { error }) {
    return status === 'failed'
      ? { mark: '✗', text: `${summary} failed: ${error}`, tone: 'bad' }
      : { mark: '→', text: `${summary}` }
  },

  proposal({ id, status }, { title, code, reason, decided_by }) {
    const { word, tone } = verdictOf(status, code)
    const by =
      decided_by !== undefined && (status === 'approved' || code === 'rejected') ? ` by ${decided_by}` : ''
    const why = tone === 'bad' ? `(${reason})` : undefined
    return {
      mark: '→',
      text: join(`${word}${by}`, title, why, status === 'pending' && `[${shortId(id)}]`),
      tone,
    }
  },

  step({ status }, { key, kind, error, attempt, duration_ms }) {
    const name = `${key} (${kind})`
    switch (status) {
      case 'succeeded':
        return { mark: '✓', text: join(name, time(duration_ms)) }
      case 'queued':
        return {
          mark: '↻',
          text: join(name, `attempt ${attempt} failed: ${error}`),
          tone: 'attention',
        }
      case 'failed':
        return { mark: '✗', text: join(name, error), tone: 'bad' }
      default:
        return { mark: '·', text: join(name, status) }
    }
  },

  mission({ status, summary }, { steps_total, duration_ms }) {
    const good = status === 'succeeded'
    const steps = `${steps_total} ${steps_total === 1 ? 'step' : 'steps'}`
    return {
      mark: good ? '✓' : '✗',
      text: join(status, summary, `${steps}, ${time(duration_ms)}`),
      tone: good ? 'good' : 'bad',
    }
  },
}

const WORDS: Record<TimelineEntry['entity'], string> = {
  event: 'event',
  reaction: 'pattern',
  proposal: 'proposal',
  step: 'step',
  mission: 'mission',
}

/**
 * One line for an entry of the timeline: the short id of the event that the chain began with, what happened, and to what.
 *
 * @example narrate(entry, pc.createColors(false))
 * // '0f3a91  → proposal  auto-approved  Triage issue #1: Spelling error in the README file'
 */
export function narrate(entry: TimelineEntry, colors: Colors): string {
  const details = detailsSchema.safeParse(entry.details).data ?? {}
  const { mark, text, tone = 'plain' } = tellers[entry.entity](entry, details)
  const paint = { good: colors.green, bad: colors.red, attention: colors.yellow, plain: String }[tone]
  const tag = entry.root_event_id === null ? '' : shortId(entry.root_event_id)
  const word = WORDS[entry.entity].padEnd(8)
  return `${tagColor(tag, colors)(tag.padEnd(6))}  ${paint(mark)} ${colors.bold(word)}  ${paint(text)}`
}

/** One colour for each chain, so that the eye can follow it between the others. */
function tagColor(tag: string, { cyan, magenta, blue, white }: Colors): (text: string) => string {
  const palette = [cyan, magenta, blue, white]
  return palette[Number.parseInt(tag.slice(-1), 16) % palette.length] ?? String
}

function join(...parts: (string | null | undefined | false)[]): string {
  return parts.filter(Boolean).join('  ')
}

function time(ms: number | undefined): string {
  if (ms === undefined) return ''
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
