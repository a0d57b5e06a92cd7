import { Cron } from 'croner'
import type { DueSchedule, ScheduleSettlement } from '../engine/index.js'

/** A time counts as met, not missed, when a beat comes at most so long after it: twice the pause between two of Vercel's. */
const ON_TIME_MS = 10 * 60_000

/** Times that one settlement looks at. What lies behind is left to the next one, which begins where this one ended. */
const MOST_SLOTS = 200

/**
 * What becomes of a schedule's times that have passed and are not settled yet. Of several, the last one is met if it is not older
 * than ten minutes; the others were missed, and the schedule says what that means:
 *
 * - `skip`: only the one that was met becomes an event
 * - `once`: the last one becomes an event, for all of them
 * - `all`: each becomes an event, at most 200 in one settlement
 *
 * Where clocks are put forward, a fixed time that does not exist comes when the gap ends; where they are put back, one that comes
 * twice is taken once. Intervals such as every 30 minutes follow real time.
 *
 * @throws Error when the cron expression or the time zone makes no sense
 * @example
 * settlementOf({ cron: '0 9 * * MON-FRI', time_zone: 'Europe/Berlin', missed: 'once', … })
 * // { until: now, next_at: '2026-01-06T08:00:00.000Z', slots: [{ at: '2026-01-05T08:00:00.000Z', missed: 0 }], … }
 */
export function settlementOf(schedule: DueSchedule): ScheduleSettlement {
  const { schedule_id, settled_until } = schedule
  const cron = new Cron(schedule.cron, { timezone: schedule.time_zone, mode: '5-part', paused: true })
  const { until, slots } = decide(schedule, cron)
  return {
    schedule_id,
    settled_until,
    until,
    next_at: cron.nextRun(new Date(until))?.toISOString() ?? 'infinity',
    slots: slots.map(({ at, missed }) => ({ at: at.toISOString(), missed })),
  }
}

type Slots = { until: string; slots: { at: Date; missed: number }[] }

function decide({ missed, settled_until, now }: DueSchedule, cron: Cron): Slots {
  const from = new Date(settled_until)
  const to = new Date(now)
  if (missed === 'all') {
    const passed = oldest(cron, from, to)
    const rest = passed.length < MOST_SLOTS ? undefined : passed.at(-1)
    return { until: rest?.toISOString() ?? now, slots: passed.map((at) => ({ at, missed: 0 })) }
  }
  const [last, ...before] = newest(cron, from, to)
  const late = last !== undefined && to.getTime() - last.getTime() > ON_TIME_MS
  if (last === undefined || (missed === 'skip' && late)) return { until: now, slots: [] }
  return { until: now, slots: [{ at: last, missed: before.length }] }
}

/** The first times after one moment and up to another, oldest first. */
function oldest(cron: Cron, after: Date, upTo: Date): Date[] {
  const slots: Date[] = []
  let slot = cron.nextRun(after)
  while (slot !== null && slot <= upTo && slots.length < MOST_SLOTS) {
    slots.push(slot)
    slot = cron.nextRun(slot)
  }
  return slots
}

/** The last times after one moment and up to another, newest first. */
function newest(cron: Cron, after: Date, upTo: Date): Date[] {
  const slots: Date[] = []
  let [slot] = cron.previousRuns(1, new Date(upTo.getTime() + 1))
  while (slot !== undefined && slot > after && slots.length < MOST_SLOTS) {
    slots.push(slot)
    ;[slot] = cron.previousRuns(1, slot)
  }
  return slots
}
