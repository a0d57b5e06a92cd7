import type { EventInput, JsonObject } from '../engine/index.js'
import type { Outcome } from '../executors/define.js'
import type { StopCause } from './attempt.js'
import type { Mask } from './mask.js'
import { toStorable, toStorableError, toStorableObject } from './results.js'

interface Report {
  cost_usd?: number | undefined
  meta?: JsonObject | undefined
  events?: EventInput[] | undefined
}

/** What is to be recorded about an attempt. */
export type Verdict =
  | (Report & { kind: 'complete'; result: unknown; bytes: number })
  | (Report & {
      kind: 'fail'
      error: string
      permanent?: boolean | undefined
      retry_after_seconds?: number | undefined
    })
  | { kind: 'snooze'; seconds: number; reason?: string | undefined }
  | { kind: 'release' }
  /** The lease is gone and there is no result to keep. */
  | { kind: 'nothing' }

/** What came of running the executor. */
export type Ended = { outcome: Outcome } | { thrown: string; permanent: boolean }

/** A failure that another attempt cannot mend. */
export function permanentFailure(error: string, mask: Mask, report: Report = {}): Verdict {
  return { kind: 'fail', error: toStorableError(error, mask), permanent: true, ...report }
}

/**
 * Judges an attempt: what stopped it goes before what the executor said, save that work which was finished all the same
 * is not thrown away where nobody else has been promised the step yet.
 */
export function judge(
  ended: Ended | 'abandoned',
  attempt: { stoppedBy: StopCause | undefined; timeoutSeconds: number | null },
  events: EventInput[] | undefined,
  mask: Mask,
): Verdict {
  const finished = ended !== 'abandoned' && 'outcome' in ended && ended.outcome.outcome === 'done'
  switch (attempt.stoppedBy) {
    case 'timeout':
      return { kind: 'fail', error: `timed out after ${attempt.timeoutSeconds} s`, meta: { code: 'OPS_007' } }
    case 'lost':
      if (!finished) return { kind: 'nothing' }
      break
    case 'released':
      if (!finished) return { kind: 'release' }
  }
  if (ended === 'abandoned') return { kind: 'release' }
  if ('outcome' in ended) return ofOutcome(ended.outcome, events, mask)
  const { thrown, permanent } = ended
  return { kind: 'fail', error: toStorableError(thrown, mask), permanent, meta: { code: 'OPS_007' }, events }
}

const NO_META = { ok: true, value: undefined, bytes: 0 } as const

function ofOutcome(outcome: Outcome, events: EventInput[] | undefined, mask: Mask): Verdict {
  if (outcome.outcome === 'snooze') {
    const { seconds, reason } = outcome
    return { kind: 'snooze', seconds, reason: reason && toStorableError(reason, mask) }
  }
  const { cost_usd } = outcome
  const meta = outcome.meta ? toStorableObject(outcome.meta, { mask, path: 'meta' }) : NO_META
  if (!meta.ok) return unstorable(meta.problem, mask)
  switch (outcome.outcome) {
    case 'done': {
      const result = toStorable(outcome.result, { mask, path: 'result' })
      if (!result.ok) return unstorable(result.problem, mask)
      return {
        kind: 'complete',
        result: result.value,
        bytes: result.bytes + meta.bytes,
        cost_usd,
        meta: meta.value,
        events,
      }
    }
    case 'retry': {
      const error = toStorableError(outcome.error, mask)
      const coded = { code: 'OPS_007', ...meta.value }
      return {
        kind: 'fail',
        error,
        retry_after_seconds: outcome.after_seconds,
        cost_usd,
        meta: coded,
        events,
      }
    }
    case 'fail':
      return permanentFailure(outcome.error, mask, {
        cost_usd,
        meta: { code: 'OPS_007', ...meta.value },
        events,
      })
  }
}

function unstorable({ path, message }: { path: string; message: string }, mask: Mask): Verdict {
  return permanentFailure(`OPS_011: ${path} ${message}`, mask, { meta: { code: 'OPS_011', path } })
}
