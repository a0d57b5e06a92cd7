import { Command } from 'commander'
import { colorsFor } from '../../embedded/colors.js'
import {
  type Engine,
  type ExecutorQueue,
  type Health,
  OpsError,
  type Overview,
  type WatchState,
  type WorkerRow,
} from '../../engine/index.js'
import { showLive } from '../live.js'
import { wholeNumber } from '../numbers.js'
import { withEngine } from '../session.js'
import { ago, fields, plain, short, table } from '../text.js'
import { alertsOf, watchFields } from '../watchState.js'

const EXAMPLES = `
Examples:
  ops-loop status --json | jq .queues
  ops-loop status --watch                 queues and workers as they change; Ctrl-C ends it
  ops-loop status --watch --every 60 >> status.log`

interface StatusOptions {
  watch?: boolean
  every: number
}

export function statusCommand(): Command {
  return new Command('status')
    .description('the state of the loop: queues, workers, last heartbeat, and what watches it')
    .option('--watch', 'go on showing it, until Ctrl-C')
    .option('--every <seconds>', 'how often, with --watch', wholeNumber(1, 3600), 2)
    .addHelpText('after', EXAMPLES)
    .action(({ watch, every }: StatusOptions, command: Command) =>
      withEngine(command, async (engine, answer) => {
        if (watch)
          return watchStatus(engine, every * 1000, command.optsWithGlobals<{ json?: boolean }>().json)
        const [health, watched] = await Promise.all([engine.health(), engine.watchState()])
        answer({ ...health, watch: watched }, () => describe(health, watched))
      }),
    )
}

/** On a terminal a view of all; elsewhere a line each time, or a line of JSON. */
function watchStatus(engine: Engine, everyMs: number, json = false): Promise<void> {
  const isTerminal = process.stdout.isTTY && !json
  const frame = async () => {
    try {
      const [health, overview, watched] = await Promise.all([
        engine.health(),
        engine.overview(),
        engine.watchState(),
      ])
      if (json) return JSON.stringify({ ...health, ...overview, watch: watched })
      return isTerminal ? view(health, overview, watched) : line(health, overview, watched)
    } catch (error) {
      // It may pass; who watches wants to see when.
      if (!(error instanceof OpsError)) throw error
      const said = json ? JSON.stringify({ error: error.message, code: error.code }) : error.message
      return isTerminal || json ? said : `${new Date().toISOString()} ${said}`
    }
  }
  return showLive({ frame, everyMs })
}

function line(
  { status, queues, last_heartbeat_at }: Health,
  { now, workers }: Overview,
  watched: WatchState,
): string {
  const live = workers.filter((worker) => worker.live).length
  const alerts = alertsOf(watched)
  return [
    now.slice(0, 19),
    status,
    `events=${queues.events} reactions=${queues.reactions} pending=${queues.proposals_pending}`,
    `missions=${queues.missions_open} queued=${queues.steps} running=${queues.steps_running}`,
    `workers=${live} heartbeat="${ago(last_heartbeat_at, Date.parse(now))}"`,
    ...(alerts === '' ? [] : [`alerts="${alerts}"`]),
  ].join(' ')
}

function view(health: Health, overview: Overview, watched: WatchState): string {
  const { now, executors, workers } = overview
  const colors = colorsFor(process.stdout)
  const at = Date.parse(now)
  const queues = table(['executor', 'queued', 'oldest', 'later', 'running', 'workers'], queueRows(overview))
  const who = table(
    ['worker', 'version', 'steps', 'seen', 'executors'],
    workers.map((worker) => workerCells(worker, at)),
  )
  return [
    `${colors.bold('ops-loop')}  ${now.slice(0, 19).replace('T', ' ')} UTC`,
    '',
    describe(health, watched, at),
    '',
    executors.length > 0 ? queues : 'No steps are queued or running.',
    '',
    workers.length > 0 ? who : 'No worker was seen in the last ten minutes.',
  ].join('\n')
}

/** A number that was not counted to its end has a plus behind it. */
export function queueRows({ executors, counted_up_to: most }: Overview): string[][] {
  const scheduled = executors.reduce((sum, queue) => sum + queue.scheduled, 0)
  return executors.map((queue) => queueCells(queue, most, scheduled >= most))
}

function queueCells(queue: ExecutorQueue, most: number, moreScheduled: boolean): string[] {
  const { executor, queued, oldest_seconds, scheduled, running, live_workers, blocked } = queue
  const waits = queued > 0 ? `${oldest_seconds} s` : ''
  return [
    executor,
    `${queued}${queued < most ? '' : '+'}`,
    waits,
    `${scheduled}${moreScheduled ? '+' : ''}`,
    String(running),
    blocked ? 'blocked' : String(live_workers),
  ]
}

function workerCells(worker: WorkerRow, now: number): string[] {
  const { name, version, running, concurrency, live, last_seen_at, executors } = worker
  const seen = ago(last_seen_at, now)
  return [
    short(name, 30),
    version,
    `${running}/${concurrency}`,
    live ? seen : `gone, ${seen}`,
    short(executors.join(' '), 60),
  ]
}

function describe(health: Health, watched: WatchState, now = Date.now()): string {
  const { queues, workers, counted_up_to: most } = health
  const counted = (n: number) => (n < most ? n : `${n} or more`)
  return fields({
    status: health.status,
    database: `${health.database}, Postgres ${health.postgres_version}, schema ${health.schema_version}`,
    'last heartbeat': ago(health.last_heartbeat_at, now),
    'live workers': workers.live,
    'events to match': counted(queues.events),
    'reactions to run': counted(queues.reactions),
    'proposals waiting': counted(queues.proposals_pending),
    'missions open': counted(queues.missions_open),
    'steps queued': counted(queues.steps),
    'steps running': counted(queues.steps_running),
    'oldest queued': queues.steps > 0 ? `${health.oldest_queued_seconds} s` : undefined,
    paused: pausedParts(health.paused),
    ...watchFields(watched),
  })
}

function pausedParts(paused: Health['paused']): string {
  return Object.entries(paused)
    .filter(([, value]) => (Array.isArray(value) ? value.length > 0 : value === true))
    .map(([part, value]) => (value === true ? part : `${part} ${plain(value)}`))
    .join(', ')
}
