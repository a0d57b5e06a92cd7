import { z } from 'zod'
import { count, type Timestamp, timestamp } from './json.js'

/** A schedule whose next time has come, or is not known yet. */
export const dueSchedule = z.object({
  schedule_id: z.string(),
  /** Five fields: minute, hour, day of month, month, weekday. */
  cron: z.string(),
  /** IANA name. */
  time_zone: z.string(),
  /** What becomes of times that passed while nothing ran. */
  missed: z.enum(['skip', 'once', 'all']),
  /** All times up to this moment are settled. */
  settled_until: timestamp,
  /** The database's clock. */
  now: timestamp,
})
export type DueSchedule = z.infer<typeof dueSchedule>

/** What becomes of a schedule's times between `settled_until` and `until`. */
export interface ScheduleSettlement {
  schedule_id: string
  /** As `dueSchedules` answered it: whoever comes second finds another value, and changes nothing. */
  settled_until: Timestamp
  until: Timestamp
  /** The first time after `until`, or `infinity`. */
  next_at: Timestamp
  /** The times that become events, at most 1000, and how many before each became none. */
  slots: readonly { at: Timestamp; missed: number }[]
}

export const settledSchedule = z.object({
  schedule_id: z.string(),
  /** `taken`: another heartbeat was first, or the schedule has changed. */
  outcome: z.enum(['settled', 'taken']),
  /** Events that were stored. */
  events: count,
})
export type SettledSchedule = z.infer<typeof settledSchedule>
