import { z } from 'zod'
import { count, id, timestamp } from './json.js'
import { breakerState } from './services.js'
import { severity } from './watch.js'

const executorQueue = z.looseObject({
  executor: z.string(),
  /** Claimable now, up to `counted_up_to`. */
  queued: count,
  /** Claimable later: of all executors' steps `counted_up_to` are counted, those that are due first. */
  scheduled: count,
  running: count,
  /** How long the oldest claimable step has been due. */
  oldest_seconds: count,
  /** Live workers that have this executor. */
  live_workers: count,
  /** Kept from being claimed by policy `control` or `worker_policy`. */
  blocked: z.boolean(),
})
export type ExecutorQueue = z.infer<typeof executorQueue>

const workerRow = z.looseObject({
  id,
  name: z.string(),
  version: z.string(),
  executors: z.array(z.string()),
  concurrency: count,
  /** Steps that it has claimed and that have not ended. */
  running: count,
  /** Seen within two minutes. */
  live: z.boolean(),
  registered_at: timestamp,
  last_seen_at: timestamp,
})
export type WorkerRow = z.infer<typeof workerRow>

export const overview = z.looseObject({
  now: timestamp,
  counted_up_to: count,
  executors: z.array(executorQueue),
  /** Seen within ten minutes. */
  workers: z.array(workerRow),
  /** Leases that ended more than five minutes ago and that nobody has recovered. */
  expired_leases: count,
})
export type Overview = z.infer<typeof overview>

/** Facts about an installation; names of objects are those of the database. */
export const installation = z.looseObject({
  now: timestamp,
  login: z.string(),
  /** A replica, or a database that takes no writes. */
  read_only: z.boolean(),
  connections: z.looseObject({ used: count, most: count }),
  missing_roles: z.array(z.string()),
  /** `role: object` */
  missing_rights: z.array(z.string()),
  /** What anonymous or merely signed-in users may do, as `role: object`. */
  open_rights: z.array(z.string()),
  /** Tables without row level security. */
  unguarded_tables: z.array(z.string()),
  last_heartbeat: z.looseObject({ at: timestamp, ok: z.boolean(), error: z.string().nullable() }).nullable(),
  oldest_event_seconds: count,
})
export type Installation = z.infer<typeof installation>

/** What a daily look asks beside the installation. */
export const watchState = z.looseObject({
  now: timestamp,
  /** The last one; null before the first. */
  canary: z
    .looseObject({
      sent_at: timestamp,
      status: z.enum(['travelling', 'returned', 'slow', 'missing', 'paused']),
      returned_last_hour: count,
      /** Milliseconds of each leg of the last one that came back within the hour. */
      legs: z.record(z.string(), z.number()),
    })
    .nullable(),
  /** `failing`: those that broke or were cut off when they last ran. */
  checks: z.looseObject({ ran_at: timestamp.nullable(), failing: count }),
  /** Those that are open. */
  violations: z.array(z.looseObject({ check_name: z.string(), severity, count })),
  /** Alerts that are open and not silenced, by `P0` to `P3`. */
  alerts: z.record(z.string(), count),
  services: z.array(
    z.looseObject({ name: z.string(), state: breakerState, healthy: z.boolean().nullable() }),
  ),
  /** Channels of policy `alerts`, with their failures in a row. */
  channels: z.array(z.looseObject({ name: z.string(), failures: count })),
  /** Notices that have not left yet. */
  notices_waiting: count,
  /** `next_at` is null until a heartbeat has worked it out, and when there is none. */
  schedules: z.array(z.looseObject({ id: z.string(), next_at: timestamp.nullable() })),
  /** The last that was reported. */
  backup: z.looseObject({ reported_at: timestamp, since: timestamp.nullable() }).nullable(),
})
export type WatchState = z.infer<typeof watchState>
