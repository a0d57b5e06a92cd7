import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectEngine, connectionFromEnv, type Engine, OpsError, readEnv } from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import { type ExecutorRegistry, loadExecutors, shippedExecutors } from '../executors/registry.js'
import packageJson from '../package.json' with { type: 'json' }
import { secretsOf } from './environment.js'
import { createLog } from './log.js'
import { createMask, maskedLog } from './mask.js'
import type { Summary } from './options.js'
import { RenewalLoop } from './renewer.js'
import { renewInThread } from './renewer-thread.js'
import { stopWithProcess } from './signals.js'
import { outliveStrayRejections } from './stray.js'
import { lookAfterHeartbeat } from './watchman.js'
import { createWorker, type Worker } from './worker.js'

const DEFAULT_CONCURRENCY = 4

/** How long a worker that hands its steps back may take over it before the process ends all the same, in milliseconds. */
const LAST_PATIENCE_MS = 15_000

export interface WorkerMainOptions {
  /** Stay and wait for work; otherwise drain what is queued and end. */
  watch?: boolean | undefined
  /** Steps at the same time, 1 to 1000. Default 4. */
  concurrency?: number | undefined
  /** Of single executors at most so many at the same time, 1 to 1000. */
  concurrencyOf?: Readonly<Record<string, number>> | undefined
  /** For people. Default: the machine's name. */
  name?: string | undefined
  /** A folder with executors besides those that are shipped. */
  executors?: string | undefined
  /** Say what came of it as JSON. */
  json?: boolean | undefined
}

/** How long a worker that has ended waits for Node to see that nothing is left to do, in milliseconds. */
const EXIT_GRACE_MS = 1000

/**
 * The `worker` command: a worker that reads the environment and ends with the process's signals.
 *
 * @returns the exit code: 0 when it drained or was stopped, 1 when steps were left to run out. Should an executor that ignored
 * its signal still be at work, the process is ended a second later.
 * @throws OpsError when it cannot work
 */
export async function workerMain(options: WorkerMainOptions = {}): Promise<number> {
  let code = 1
  try {
    code = await work(options)
    return code
  } finally {
    // Goes off only if something else keeps the process alive.
    setTimeout(() => process.exit(code), EXIT_GRACE_MS).unref()
  }
}

async function work(options: WorkerMainOptions): Promise<number> {
  let engine: Engine | undefined
  try {
    const env = readEnv()
    const executors = await executorsFor(options)
    requireKnown(Object.keys(options.concurrencyOf ?? {}), executors)
    const connection = connectionFromEnv(env)
    engine = connectEngine(connection)
    const { renewSteps } = engine
    const log = createLog()
    const secrets = secretsOf(
      process.env,
      [...executors.values()].flatMap((executor) => executor.env),
    )
    outliveStrayRejections(maskedLog(log, createMask(secrets)))
    const worker = createWorker({
      engine,
      executors,
      log,
      name: options.name ?? hostname(),
      version: packageJson.version,
      concurrency: options.concurrency ?? DEFAULT_CONCURRENCY,
      concurrencyOf: options.concurrencyOf,
      watch: options.watch ?? false,
      makeRenewer: renewInThread(
        { ...connection, maxConnections: 1 },
        (events) => new RenewalLoop({ renewSteps }, log, events),
        log,
      ),
      settings: { max_retries: env.OPS_WORKER_MAX_RETRIES, lease_minutes: env.OPS_STEP_LEASE_MINUTES },
    })
    const summary = await whileLookingAfterHeartbeat(engine, log, () => runUntilStopped(worker, log))
    if (!summary) {
      const text = 'The database does not answer: the leases of this worker will run out by themselves.'
      throw new OpsError('OPS_001', text)
    }
    if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`)
    else if (!options.watch) process.stdout.write(`${report(summary)}\n`)
    return summary.undelivered === 0 ? 0 : 1
  } finally {
    await engine?.close()
  }
}

async function whileLookingAfterHeartbeat<T>(engine: Engine, log: Log, work: () => Promise<T>): Promise<T> {
  const ended = new AbortController()
  const looking = lookAfterHeartbeat(engine, { variables: process.env }, log, ended.signal)
  try {
    return await work()
  } finally {
    ended.abort()
    // A message that is on its way may arrive; a database that does not answer keeps nobody.
    await Promise.race([looking, sleep(LAST_PATIENCE_MS, undefined, { ref: false })])
  }
}

async function executorsFor({ executors: folder }: WorkerMainOptions): Promise<ExecutorRegistry> {
  if (folder === undefined) return shippedExecutors()
  try {
    return await loadExecutors(folder)
  } catch (error) {
    throw new OpsError('OPS_011', describeError(error), {
      cause: error,
      details: { path: 'executors' },
      hint: 'Every .ts, .js or .mjs file of that folder is an executor of yours; docs/executors.md shows one.',
    })
  }
}

/** A limit for an executor that is not there would limit nothing. */
function requireKnown(named: string[], executors: ExecutorRegistry): void {
  const unknown = named.find((executor) => !executors.has(executor))
  if (unknown === undefined) return
  throw new OpsError(
    'OPS_005',
    `This worker has no executor '${unknown}' whose concurrency could be limited.`,
    {
      hint: `It has ${[...executors.keys()].join(', ')}.`,
    },
  )
}

/** Undefined when the worker could not end in time. */
async function runUntilStopped(worker: Worker, log: Log): Promise<Summary | undefined> {
  let giveUp = () => {}
  const overdue = new Promise<undefined>((resolve) => {
    giveUp = () => resolve(undefined)
  })
  let lastResort: NodeJS.Timeout | undefined
  const removeHandlers = stopWithProcess((mode) => {
    void worker.stop(mode)
    if (mode === 'release') lastResort ??= setTimeout(giveUp, LAST_PATIENCE_MS)
  }, log)
  try {
    return await Promise.race([worker.start(), overdue])
  } finally {
    clearTimeout(lastResort)
    removeHandlers()
  }
}

/** `No queued steps`, or `3 steps: 2 succeeded, 1 failed`. */
export function report(summary: Summary): string {
  const counts = Object.entries(summary).filter(([, count]) => count > 0)
  const total = counts.reduce((sum, [, count]) => sum + count, 0)
  if (total === 0) return 'No queued steps'
  const parts = counts.map(([outcome, count]) => `${count} ${outcome}`).join(', ')
  return `${total} ${total === 1 ? 'step' : 'steps'}: ${parts}`
}
