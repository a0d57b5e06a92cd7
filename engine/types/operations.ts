import { z } from 'zod'
import { watchState } from './installation.js'
import { count, id, jsonObject, timestamp } from './json.js'
import { missionStatus, stepStatus } from './steps.js'

/** Who acts, and why; both are kept in the record. */
export interface Cancellation {
  actor: string
  reason?: string | undefined
}

export interface RetryRequest {
  /** Only steps of this kind. */
  kind?: string | undefined
  /** Default 100. */
  limit?: number | undefined
  actor?: string | undefined
}

export const cancelledMission = z.object({ mission_id: id, status: missionStatus, cancelled_steps: count })
export type CancelledMission = z.infer<typeof cancelledMission>

export const cancelledStep = z.object({ step_id: id, status: stepStatus, mission_status: missionStatus })
export type CancelledStep = z.infer<typeof cancelledStep>

/** A dead step at work again, and its mission with it. */
export const retriedStep = z.object({
  step_id: id,
  status: stepStatus,
  mission_id: id,
  mission_status: missionStatus,
  /** Steps that had been cancelled with the dead one and wait again. */
  reopened_steps: count,
})
export type RetriedStep = z.infer<typeof retriedStep>

export const retriedDeadStep = z.object({ step_id: id, mission_id: id })
export type RetriedDeadStep = z.infer<typeof retriedDeadStep>

/** One row of the chain event → reaction → proposal → mission → step → run → event, causes before effects. */
export const traceEntry = z.object({
  position: count,
  entity: z.string(),
  id,
  /** The entity that caused this one; null at the root. */
  parent_id: id.nullable(),
  at: timestamp,
  status: z.string(),
  summary: z.string(),
  details: jsonObject,
})
export type TraceEntry = z.infer<typeof traceEntry>

/** What one pattern decided about an event. */
export const patternDecision = z.object({
  pattern_id: z.string(),
  decision: z.string(),
  detail: jsonObject.nullable(),
  reaction_id: id.nullable(),
})
export type PatternDecision = z.infer<typeof patternDecision>

/** The state of the loop in one object; more fields may follow. */
export const health = z.looseObject({
  /** `degraded` when the last heartbeat failed or is more than 15 minutes ago, and while the work is held. */
  status: z.enum(['healthy', 'degraded']),
  /** `connected`; a database that is not answers nothing. */
  database: z.string(),
  postgres_version: z.string(),
  schema_version: count,
  /** What waits, or is under way, at this moment. */
  queues: z.looseObject({
    events: count,
    reactions: count,
    proposals_pending: count,
    steps: count,
    steps_running: count,
    missions_open: count,
  }),
  /** How far each of `queues` is counted: as many mean as many or more. */
  counted_up_to: count,
  /** How long the oldest claimable step has been due. */
  oldest_queued_seconds: count,
  /** Workers seen within two minutes. */
  workers: z.looseObject({ live: count }),
  /** Null when there never was one, as is `last_heartbeat_ok`. */
  last_heartbeat_at: timestamp.nullable(),
  last_heartbeat_ok: z.boolean().nullable(),
  /** What the control switch pauses. */
  paused: jsonObject,
  /** True in a restored copy that waits for an operator: no step is handed out. */
  held: z.boolean(),
})
export type Health = z.infer<typeof health>

export const housekeeping = z.object({
  archived_chains: count,
  /** Rows of the archive that had their time. */
  forgotten_rows: count,
  deleted_rows: count,
  more: z.boolean(),
})
export type Housekeeping = z.infer<typeof housekeeping>

/** Gauges as they stand, and totals since the engine was installed. */
export const metrics = z.object({
  totals: z.array(
    z.object({
      /** `attempts` at steps, by the run's status; `deaths` of steps; `heartbeats`. */
      metric: z.enum(['attempts', 'deaths', 'heartbeats']),
      kind: z.string(),
      outcome: z.string(),
      count,
      seconds: count,
      /** How many took at most as long as the bound at the same place. */
      buckets: z.array(count),
    }),
  ),
  /** Of the buckets, in seconds. */
  bounds: z.array(count),
  /** Counted up to a million, open missions up to 100,000. */
  queues: z.record(z.string(), count),
  oldest_queued_seconds: count,
  /** Workers seen within two minutes. */
  workers: count,
  /** Steps claimed within five minutes. */
  claims: count,
  /** Open ones. */
  alerts: z.array(z.object({ rule: z.string(), severity: z.string(), count })),
  /** The last one; `at` in seconds since 1970. */
  heartbeat: z.object({ ok: z.boolean(), at: count }).nullable(),
  watch: watchState,
})
export type Metrics = z.infer<typeof metrics>

/** What a caller requested in the current minute, and the seconds until the next begins. */
export const requestCount = z.object({ requests: count, seconds_left: count })
export type RequestCount = z.infer<typeof requestCount>
/** Whether this database is a restored copy whose work waits for an operator. */
export const hold = z.object({
  held: z.boolean(),
  /** The database that the work is at home in; null before the first worker came. */
  home: z.string().nullable(),
  home_since: timestamp.nullable(),
  /** This database. */
  here: z.string(),
  /** Steps in flight: while held, other workers may have done them, or be at them. */
  steps_running: count,
  /** Up to `counted_up_to`. */
  steps_queued: count,
  counted_up_to: count,
})
export type Hold = z.infer<typeof hold>

/** `released` is false when nothing was held. */
export const releasedHold = z.object({ released: z.boolean(), steps_running: count })
export type ReleasedHold = z.infer<typeof releasedHold>

/** Something that happened. The same entity comes again when its status changes. */
export const timelineEntry = z.object({
  at: timestamp,
  entity: z.enum(['event', 'reaction', 'proposal', 'step', 'mission']),
  id,
  root_event_id: id.nullable(),
  status: z.string(),
  summary: z.string().nullable(),
  details: jsonObject,
})
export type TimelineEntry = z.infer<typeof timelineEntry>

/** Finished chains that were moved out of the live tables, and how many rows they had. */
export const archived = z.object({ chains: count, rows: count })
export type Archived = z.infer<typeof archived>
