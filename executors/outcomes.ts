import { z } from 'zod'
import type { JsonObject } from '../engine/types.js'

const jsonObject = z.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'expected a JSON object',
)

/** What an attempt may report besides how it ended. */
const report = {
  /** Money spent by this attempt, in US dollars. */
  cost_usd: z.number().nonnegative().optional(),
  /** Kept with the run: token usage, exit codes, durations. */
  meta: jsonObject.optional(),
}

/** How an attempt ended. Checked when it comes back: an executor may be plain JavaScript. */
export const outcomeSchema = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('done'), result: z.unknown(), ...report }),
  z.object({
    outcome: z.literal('retry'),
    error: z.string(),
    after_seconds: z.number().nonnegative().optional(),
    ...report,
  }),
  z.object({ outcome: z.literal('fail'), error: z.string(), ...report }),
  z.object({
    outcome: z.literal('snooze'),
    seconds: z.number().nonnegative(),
    reason: z.string().optional(),
  }),
])

export type Outcome = z.infer<typeof outcomeSchema>

export interface Report {
  cost_usd?: number | undefined
  meta?: JsonObject | undefined
}

/**
 * The step succeeded. `result` is any JSON value up to 1 MiB; later steps read it as `{{steps.<key>.result.<path>}}`.
 *
 * @example return done({ issue: 17 }, { cost_usd: 0.02 })
 */
export function done(result?: unknown, report: Report = {}): Outcome {
  return { outcome: 'done', result: result ?? null, ...report }
}

/**
 * The attempt failed and another may succeed. `afterSeconds` is the least time to wait; left out, the worker policy's
 * backoff decides. An error that is thrown means the same.
 */
export function retry(failure: Report & { error: unknown; afterSeconds?: number | undefined }): Outcome {
  const { error, afterSeconds, ...report } = failure
  return { outcome: 'retry', error: describeError(error), after_seconds: afterSeconds, ...report }
}

/** The step failed and trying again cannot help: it becomes a dead letter at once. */
export function fail(error: unknown, report: Report = {}): Outcome {
  return { outcome: 'fail', error: describeError(error), ...report }
}

/** Not now: run this step again after `seconds`. Costs no failure; nothing that was emitted is recorded. */
export function snooze(seconds: number, reason?: string): Outcome {
  return { outcome: 'snooze', seconds, reason }
}

/** An error as one line for people, with what caused it. Never fails: anything can be thrown, also what has no text. */
export function describeError(error: unknown): string {
  try {
    return described(error)
  } catch {
    return 'an error that cannot be read'
  }
}

function described(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = String(error.message || error.name)
  // The engine's errors name their cause in the message.
  if (error.name === 'OpsError') return own
  // The reason behind "fetch failed" stands in `cause`; several refused addresses stand in an AggregateError.
  const inner = error.cause ?? (error instanceof AggregateError ? error.errors[0] : undefined)
  if (inner === undefined || inner === error) return own
  const reason = String(inner instanceof Error ? inner.message || inner.name : inner)
  return own.includes(reason) ? own : `${own}: ${reason}`
}
