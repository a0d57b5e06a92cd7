import type {
  AlertRecord,
  CheckRecord,
  ServiceRecord,
  ViolationRecord,
  WatchState,
} from '../../engine/index.js'
import { broken, check, type Finding, listed, ok, warning } from '../doctor/finding.js'
import { ago, count } from '../text.js'

const MINUTE_MS = 60_000
/** A canary goes with every round of checks: two rounds, and some room. */
const CANARY_LATE_MS = 11 * MINUTE_MS
/** A schedule waits for a heartbeat. */
const SCHEDULE_LATE_MS = 11 * MINUTE_MS
const BACKUP_OLD_MS = 26 * 60 * MINUTE_MS

/** Whether what the work depends on is well. */
export function checkServices(services: readonly ServiceRecord[]): Finding[] {
  if (services.length === 0) return check('services', ok('policy services lists none'))
  const open = services.filter(({ state }) => state === 'open')
  const ill = services.filter(({ state, healthy }) => state === 'closed' && healthy === false)
  const unasked = services.filter(({ healthy }) => healthy === null)
  const told = (list: readonly ServiceRecord[]) => listed(list.map(({ name, error }) => `${name}: ${error}`))
  const found = check(
    'services',
    open.length > 0
      ? broken(
          `${told(open)}; ${count(sum(open.map(({ held_steps }) => held_steps)), 'step')} wait`,
          'Mend the service; the steps go on by themselves when it answers.',
        )
      : undefined,
    ill.length > 0 ? warning(told(ill), 'Look at it before its breaker opens.') : undefined,
    unasked.length > 0
      ? warning(
          `nobody has asked ${listed(unasked.map(({ name }) => name))} yet`,
          'Heartbeats do that: see above.',
        )
      : undefined,
  )
  return found.length > 0 ? found : check('services', ok(`${count(services.length, 'service')} well`))
}

/** Whether what must always be true is true. */
export function checkInvariants(
  violations: readonly ViolationRecord[],
  checks: readonly CheckRecord[],
): Finding[] {
  const real = violations.filter(({ check_name }) => check_name !== 'synthetic_canary')
  const grave = real.filter(({ severity }) => severity === 'critical' || severity === 'high')
  const failing = checks.filter(({ outcome }) => outcome === 'failed' || outcome === 'timed_out')
  const names = (list: readonly ViolationRecord[]) =>
    listed([...new Set(list.map(({ check_name, message }) => `${check_name}: ${message}`))])
  const hint = 'select * from invariant_violations where not resolved'
  const found = check(
    'invariants',
    grave.length > 0 ? broken(names(grave), hint) : undefined,
    real.length > grave.length ? warning(names(real.filter((one) => !grave.includes(one))), hint) : undefined,
    failing.length > 0
      ? warning(
          `${listed(failing.map(({ name, outcome }) => `${name} ${outcome === 'failed' ? 'fails' : 'is too slow'}`))}`,
          'Correct its SQL: ops-loop invariants list says what is wrong.',
        )
      : undefined,
    checks.every(({ outcome }) => outcome === null)
      ? warning('no check has run yet', 'Heartbeats run them every five minutes.')
      : undefined,
  )
  return found.length > 0 ? found : check('invariants', ok(`${count(checks.length, 'check')} clean`))
}

/** Whether something goes all the way through the loop. */
export function checkCanary({ canary, now }: WatchState): Finding[] {
  const hint = 'ops-loop status shows where work stands; is noop offered by a worker, is something paused?'
  if (canary === null) return check('canary', warning('none was ever sent', 'Heartbeats send them.'))
  if (canary.status === 'missing') return check('canary', broken('the last one did not come back', hint))
  if (canary.status === 'slow') return check('canary', warning('the last one came back late', hint))
  if (canary.status === 'paused')
    return check('canary', warning('the loop is paused', 'Set it to false in policy control, under pause.'))
  const late = Date.parse(now) - Date.parse(canary.sent_at) > CANARY_LATE_MS
  const told = `the last one was sent ${ago(canary.sent_at, Date.parse(now))}, ${canary.returned_last_hour} came back within the hour`
  return check('canary', late ? broken(told, 'Heartbeats send them: see above.') : ok(told))
}

/** Whether somebody should have been told, or was. */
export function checkAlerts(alerts: readonly AlertRecord[]): Finding[] {
  const loud = alerts.filter(({ silenced }) => !silenced)
  const urgent = loud.filter(({ priority }) => priority === 'P0' || priority === 'P1')
  const summaries = (list: readonly AlertRecord[]) =>
    listed(list.map(({ priority, summary }) => `${priority} ${summary}`))
  const hint = 'ops-loop alerts list; docs/runbook.md says what to do about each.'
  const found = check(
    'alerts',
    urgent.length > 0 ? broken(summaries(urgent), hint) : undefined,
    loud.length > urgent.length
      ? warning(summaries(loud.filter((one) => !urgent.includes(one))), hint)
      : undefined,
  )
  return found.length > 0 ? found : check('alerts', ok('none is open'))
}

/** Whether the clock still rings. */
export function checkSchedules({ schedules, now }: WatchState): Finding[] {
  if (schedules.length === 0) return check('schedules', ok('policy schedules has none'))
  const late = schedules.filter(
    ({ next_at }) => next_at !== null && Date.parse(now) - Date.parse(next_at) > SCHEDULE_LATE_MS,
  )
  return check(
    'schedules',
    late.length > 0
      ? broken(
          `${listed(late.map(({ id, next_at }) => `${id} has been due since ${next_at}`))}`,
          'Heartbeats do that: see above.',
        )
      : ok(`${count(schedules.length, 'schedule')} in time`),
  )
}

/** Whether there is something to go back to. */
export function checkBackup({ backup, now }: WatchState): Finding[] {
  const hint = 'ops-loop backup --verify, every day from cron; or see that Supabase makes them.'
  if (backup === null) return check('backup', warning('none was ever reported', hint))
  const age = ago(backup.reported_at, Date.parse(now))
  const old = Date.parse(now) - Date.parse(backup.reported_at) > BACKUP_OLD_MS
  return check('backup', old ? warning(`the last one was ${age}`, hint) : ok(`the last one was ${age}`))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
