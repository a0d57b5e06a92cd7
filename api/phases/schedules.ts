import type { ScheduleSettlement } from '../../engine/index.js'
import { settlementOf } from '../schedules.js'
import { definePhase } from './phase.js'

/** As many as the policy may hold, so that those which make no sense and stay due hide no other. */
const BATCH = 1000

/** Schedules whose time has come become events; first of all, so that the same beat answers them. */
export const schedulesPhase = definePhase({
  name: 'schedules',
  result: 'scheduleResult',
  /** Schedules that were due, and the events they became. */
  counts: { due: 0, events: 0 },
  weight: 10,
  async batch({ engine, warn }, counts) {
    const due = await engine.dueSchedules(BATCH)
    const settlements: ScheduleSettlement[] = []
    for (const schedule of due) {
      try {
        settlements.push(settlementOf(schedule))
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        warn({ code: 'OPS_011', message: `schedule ${schedule.schedule_id} is out of service: ${reason}` })
      }
    }
    const settled = await engine.settleSchedules(settlements)
    counts.due += settlements.length
    for (const { events } of settled) counts.events += events
    // Schedules that make no sense stay due: only what moved may bring more.
    return settlements.length > 0
  },
})
