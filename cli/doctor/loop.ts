import type { Health, Hold, Installation, Overview } from '../../engine/index.js'
import { ago, count } from '../text.js'
import { broken, check, type Finding, listed, ok, type Verdict, warning } from './finding.js'

/** How long a heartbeat may be ago, in seconds: Vercel's cron beats every five minutes. */
const HEARTBEAT_LATE_S = 11 * 60
/** How long work may wait for a worker that is there. */
const QUEUE_LATE_S = 15 * 60

/** Whether the loop beats. */
export function checkHeartbeat({ last_heartbeat, now, oldest_event_seconds }: Installation): Finding[] {
  if (last_heartbeat === null) {
    return check(
      'heartbeat',
      broken(
        'there has never been one: no event is answered',
        'Deploy the control plane, or run npm run heartbeat from cron.',
      ),
    )
  }
  const { at, ok: wentWell, error } = last_heartbeat
  const seconds = (Date.parse(now) - Date.parse(at)) / 1000
  const told = ago(at, Date.parse(now))
  const verdicts: (Verdict | undefined)[] = [
    seconds > HEARTBEAT_LATE_S
      ? broken(
          `the last one was ${told}`,
          'See that the cron job which beats is still there, and that its key is the right one.',
        )
      : undefined,
    wentWell
      ? undefined
      : broken(`the last one failed: ${error ?? 'it did not say why'}`, 'Mend that; the next one tells.'),
    oldest_event_seconds > HEARTBEAT_LATE_S && wentWell && seconds <= HEARTBEAT_LATE_S
      ? warning(
          `the oldest event has waited for ${Math.round(oldest_event_seconds / 60)} min`,
          'Beat more often, or raise OPS_EVENT_BATCH_SIZE.',
        )
      : undefined,
  ]
  const found = check('heartbeat', ...verdicts)
  return found.length > 0 ? found : check('heartbeat', ok(`the last one was ${told}`))
}

/** A copy from a backup does nothing until somebody says that it is the one that counts. */
export function checkHold({ held, home, here }: Hold): Finding[] {
  if (!held) return []
  return check(
    'control',
    broken(
      `this is a restored copy (${here}; the work was at home in ${home}): nothing is claimed`,
      "If work goes on here and nowhere else, run select * from ops_release_hold('your name').",
    ),
  )
}

/** Whether somebody does the work. */
export function checkWorkers({ workers, executors, expired_leases }: Overview, version: string): Finding[] {
  const live = workers.filter((worker) => worker.live)
  const stuck = executors.filter((queue) => queue.queued > 0 && queue.live_workers === 0 && !queue.blocked)
  const late = executors.filter(
    (queue) => queue.live_workers > 0 && queue.oldest_seconds > QUEUE_LATE_S && !queue.blocked,
  )
  const other = live.filter((worker) => worker.version !== version)
  const verdicts: (Verdict | undefined)[] = [
    live.length === 0 && stuck.length === 0
      ? warning('none is running', 'Start one: npm run worker -- --watch, or npm run worker from cron.')
      : undefined,
    stuck.length > 0
      ? broken(
          `no live worker has executor ${listed(stuck.map((queue) => queue.executor))}, which steps wait for`,
          'Start a worker that has it: npm run worker -- --watch, with --executors for your own.',
        )
      : undefined,
    late.length > 0
      ? warning(
          `steps of ${listed(late.map((queue) => queue.executor))} have waited for more than ${QUEUE_LATE_S / 60} min`,
          'Raise --concurrency, or start more workers.',
        )
      : undefined,
    other.length > 0
      ? warning(
          `${listed(other.map((worker) => `${worker.name} (${worker.version})`))} is not of this version, ${version}`,
          'Update it.',
        )
      : undefined,
    expired_leases > 0
      ? broken(
          `${count(expired_leases, 'lease')} ran out and nobody recovered the steps`,
          'Heartbeats do that: see above.',
        )
      : undefined,
  ]
  const found = check('workers', ...verdicts)
  return found.length > 0 ? found : check('workers', ok(`${count(live.length, 'worker')} live`))
}

/** What an operator has paused, and may have forgotten. */
export function checkPauses({ paused }: Health): Finding[] {
  const parts = Object.entries(paused).flatMap(([part, value]) => {
    if (Array.isArray(value)) return value.map((executor) => `executor ${String(executor)}`)
    return value === true ? [part] : []
  })
  if (parts.length === 0) return check('control', ok('nothing is paused'))
  return check(
    'control',
    warning(`paused: ${listed(parts, 10)}`, 'Set it to false in policy control, under pause.'),
  )
}
