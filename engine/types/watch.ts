import { z } from 'zod'
import { count, id, type JsonObject, jsonObject, timestamp } from './json.js'

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

/** A notice that was taken for delivery. */
export const claimedNotice = z.object({
  /** The same however often it is sent. */
  id,
  token: id,
  channel: z.string(),
  /** The channel as policy `alerts` describes it. */
  config: z.unknown(),
  message: jsonObject,
  /** From 1. */
  attempt: count,
})
export type ClaimedNotice = z.infer<typeof claimedNotice>

/** Null while heartbeats come. */
export const silentHeartbeat = z
  .object({
    silent_minutes: z.number(),
    /** By name, as policy `alerts` describes them. */
    channels: z.record(z.string(), z.unknown()),
  })
  .nullable()
export type SilentHeartbeat = z.infer<typeof silentHeartbeat>

/** What came of sending a notice. */
export interface NoticeOutcome {
  id: string
  token: string
  outcome: 'delivered' | 'later' | 'refused' | 'skipped'
  detail?: JsonObject | undefined
  error?: string | undefined
  /** Not before so many seconds. */
  after_seconds?: number | undefined
}

export interface AlertFilter {
  id?: string | undefined
  status?: 'open' | 'resolved' | undefined
  rule?: string | undefined
  severity?: Severity | undefined
}

export const alertRecord = z.looseObject({
  id,
  rule: z.string(),
  /** What the rule tells apart: an executor, a check, a service. Empty where it tells nothing apart. */
  subject: z.string(),
  severity,
  priority: z.enum(['P0', 'P1', 'P2', 'P3']),
  status: z.enum(['open', 'resolved']),
  summary: z.string(),
  value: z.number().nullable(),
  threshold: z.number().nullable(),
  opened_at: timestamp,
  resolved_at: timestamp.nullable(),
  acknowledged_at: timestamp.nullable(),
  acknowledged_by: z.string().nullable(),
  note: z.string().nullable(),
  silenced: z.boolean(),
})
export type AlertRecord = z.infer<typeof alertRecord>

export interface Silence {
  /** `*` for all of them. */
  rule: string
  /** 1 to 43200. */
  minutes: number
  reason: string
  actor: string
  /** Only this one; default all. */
  subject?: string | undefined
}

export const silence = z.object({ silence_id: id, until: timestamp })
export type SilenceRecord = z.infer<typeof silence>
