import { z } from 'zod'
import { count, jsonObject, timestamp } from './json.js'

/** A check that is due, taken by whoever asked: the service and its entry in policy `services`. */
export const serviceCheck = z.object({ name: z.string(), config: jsonObject })
export type ServiceCheck = z.infer<typeof serviceCheck>

/** What a check said. */
export interface ServiceCheckResult {
  name: string
  ok: boolean
  /** Absent when the service did not answer. */
  http_status?: number | undefined
  /** Milliseconds. */
  latency_ms?: number | undefined
  /** What was wrong, in words without secrets. */
  error?: string | undefined
}

/** `open`: steps that name the service wait. */
export const breakerState = z.enum(['closed', 'open'])
export type BreakerState = z.infer<typeof breakerState>

export const serviceRecord = z.looseObject({
  name: z.string(),
  url: z.string(),
  state: breakerState,
  /** Null before the first check. */
  healthy: z.boolean().nullable(),
  /** Failed checks in a row. */
  failures: count,
  http_status: count.nullable(),
  latency_ms: count.nullable(),
  error: z.string().nullable(),
  checked_at: timestamp.nullable(),
  opened_at: timestamp.nullable(),
  next_check_at: timestamp.nullable(),
  /** Steps that wait for the breaker to close. */
  held_steps: count,
})
export type ServiceRecord = z.infer<typeof serviceRecord>
