import { z } from 'zod'
import { count, id, jsonObject, timestamp } from './json.js'

export const severity = z.enum(['critical', 'high', 'warning', 'info'])
export type Severity = z.infer<typeof severity>

/** The checks of a round. */
export const checkRound = z.object({
  /** False when another beat has begun this round. */
  due: z.boolean(),
  /** The checks to run, by name. */
  checks: z.array(z.string()),
  /** How long each of them may take. */
  timeout_ms: z.number(),
})
export type CheckRound = z.infer<typeof checkRound>

export interface CheckRun {
  /** Also runs the checks that have to read everything, and all of them over everything. */
  everything?: boolean | undefined
  /** How long the call may take; a check that is still running then is cut off. Over PostgREST always 5 s. */
  timeoutMs?: number | undefined
}

export const checkOutcome = z.object({
  name: z.string(),
  severity,
  outcome: z.enum(['clean', 'violated', 'failed', 'timed_out']),
  /** Rows that violate it; 101 stands for more than 100. */
  violations: count,
  duration_ms: z.number(),
  error: z.string().nullable(),
})
export type CheckOutcome = z.infer<typeof checkOutcome>

export const checkRecord = z.looseObject({
  name: z.string(),
  severity,
  detects: z.string(),
  /** False for the operator's own. */
  shipped: z.boolean(),
  /** Has to read everything, so it is not part of a round. */
  wide: z.boolean(),
  /** Of the last run; null before the first. */
  outcome: checkOutcome.shape.outcome.nullable(),
  ran_at: timestamp.nullable(),
  duration_ms: z.number().nullable(),
  error: z.string().nullable(),
  runs: count,
  /** Violations that are open. */
  open: count,
})
export type CheckRecord = z.infer<typeof checkRecord>

export interface ViolationFilter {
  check_name?: string | undefined
  resolved?: boolean | undefined
}

export const violationRecord = z.looseObject({
  id,
  check_name: z.string(),
  /** What violates the check: the row's `id`; empty when the check tells no rows apart. */
  subject: z.string(),
  severity,
  message: z.string(),
  details: jsonObject,
  /** Rounds that saw it. */
  occurrences: count,
  resolved: z.boolean(),
  created_at: timestamp,
  last_seen_at: timestamp,
  resolved_at: timestamp.nullable(),
})
export type ViolationRecord = z.infer<typeof violationRecord>
