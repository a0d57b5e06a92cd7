/**
 * What the watch costs: the share of Postgres' CPU time that checks, rules and canaries take while one worker process drains missions, as in
 * `npm run bench -- --only drain`, with millions of finished steps in the database. Linux only. Exits 1 when it is 1 % or more.
 *
 *     npx tsx bench/monitor.ts --help
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import postgres from 'postgres'
import { apiConfigFromEnv } from '../api/config.js'
import { createLog } from '../api/log.js'
import { alertsPhase } from '../api/monitors/alerts.js'
import { canaryPhase } from '../api/monitors/canary.js'
import { checksPhase } from '../api/monitors/checks.js'
import { type Phase, phases } from '../api/phases/index.js'
import { connectEngine, type Engine } from '../engine/index.js'
import { startContender } from './harness/contenders.js'
import { parentOf, processCpu, serverCpu } from './harness/cpu.js'
import { storeFinished } from './harness/finished.js'
import { cancellable, interruptible, tenths, wholeNumber } from './harness/options.js'
import { startServer } from './harness/server.js'
import type { Contender, Database } from './harness/types.js'

/** Missions that are stored at a time for the worker to drain. */
const BATCH = 10_000
const MINUTE_MS = 60_000
/** A login of its own, so that its connections can be told from the load's. */
const WATCH = 'bench_watch'
const watching: readonly Phase[] = [canaryPhase, checksPhase, alertsPhase]

interface Options {
  steps: number
  minutes: number
}

const program = new Command('npx tsx bench/monitor.ts')
  .description(
    "The watch's share of Postgres' CPU time beside a drain, on an embedded Postgres 17. Linux only.",
  )
  .option(
    '--steps <n>',
    'finished steps, each with its run and an event',
    wholeNumber(10, 999_999_999),
    5_000_000,
  )
  .option('--minutes <n>', 'how long the drain goes on', wholeNumber(1, 999), 5)
const options = program.parse().opts<Options>()
await interruptible(bench)

async function bench(signal: AbortSignal): Promise<void> {
  const { steps, minutes } = options
  const server = await startServer()
  try {
    const database = await server.ourDatabase()
    const admin = postgres(database.adminUrl, { max: 1, onnotice: () => undefined })
    try {
      await admin.unsafe(`create role ${WATCH} login password '${WATCH}' in role service_role`)
      console.log(`storing ${steps.toLocaleString('en')} finished steps …`)
      await storeFinished(admin, steps, { onProgress: tenths(steps, console.log), signal })
      await cancellable(admin`vacuum (analyze)`, signal)
      await admin`delete from ops.watch`
      await report(database, admin, minutes, signal)
    } finally {
      await admin.end()
    }
  } finally {
    await server.stop()
  }
}

async function report(
  database: Database,
  admin: postgres.Sql,
  minutes: number,
  signal: AbortSignal,
): Promise<void> {
  console.log(`draining for ${minutes} minutes, with a heartbeat a minute …`)
  const contender = await startContender('ops-loop', database)
  const { watch, all, drained } = await measure(contender, admin, minutes, signal).finally(() =>
    contender.stop(),
  )
  const slowest = await admin<{ name: string; duration_ms: string; outcome: string }[]>`
    select name, duration_ms, outcome from ops_check_runs order by duration_ms desc limit 5`
  console.table(Object.fromEntries(slowest.map(({ name, ...row }) => [name, row])))
  const canaries = await admin<{ status: string }[]>`select status from ops_canary order by sent_at`
  console.log(`canaries: ${canaries.map(({ status }) => status).join(', ')}; ${drained} steps drained`)
  console.table(Object.fromEntries([...watch].map(([part, ms]) => [part, { 'CPU, ms': Math.round(ms) }])))
  const sum = [...watch.values()].reduce((total, ms) => total + ms, 0)
  const share = sum / all
  console.log(
    `the watch took ${sum.toFixed(0)} ms of ${all.toFixed(0)} ms of Postgres' CPU time: ${(100 * share).toFixed(3)} %`,
  )
  process.exitCode = share < 0.01 ? 0 : 1
}

/** Milliseconds of CPU time of each part of the watch, and of the whole server, while the load runs. */
async function measure(
  contender: Contender,
  admin: postgres.Sql,
  minutes: number,
  signal: AbortSignal,
): Promise<{ watch: Map<string, number>; all: number; drained: number }> {
  const [backend] = await admin<{ pid: number }[]>`select pg_backend_pid() as pid`
  const postmaster = await parentOf(backend?.pid ?? 0)
  const { database } = contender
  const rest = connectEngine({ databaseUrl: database.url })
  const { worker_id } = await rest.registerWorker({
    name: 'carries the canaries',
    version: '0',
    executors: ['noop'],
    concurrency: 1,
    schema_version: 1_000_000,
  })
  const watch = new Map<string, number>()
  const end = Date.now() + minutes * MINUTE_MS
  let drained = 0
  async function load(): Promise<void> {
    while (Date.now() < end && !signal.aborted) {
      await contender.call('fill', { missions: BATCH, shape: 'single' })
      drained += (await contender.call('share', {})).steps
    }
  }
  async function beats(): Promise<void> {
    while (Date.now() < end && !signal.aborted) {
      const next = Date.now() + MINUTE_MS
      console.log(`  ${Math.ceil((end - Date.now()) / MINUTE_MS)} minutes left, ${drained} steps drained`)
      await watchOnce(database, admin, watch)
      // The rest of the heartbeat, and what a worker does for a canary, are the loop's own work.
      for (const phase of phases) if (!watching.includes(phase)) await run(phase, rest)
      await rest.recordHeartbeat(true, {})
      const [step] = await rest.claimSteps({ worker_id, executors: ['noop'], limit: 1 })
      if (step) await rest.completeSteps([{ step_id: step.step_id, token: step.token }])
      await sleep(Math.max(0, Math.min(next, end) - Date.now()), undefined, { signal })
    }
  }
  const before = await serverCpu(postmaster)
  try {
    await Promise.all([load(), beats()])
  } finally {
    await rest.close()
  }
  signal.throwIfAborted()
  const all = (await serverCpu(postmaster)) - before
  return { watch, all, drained }
}

/** One heartbeat's watch on a connection of its own, opening it included. */
async function watchOnce(database: Database, admin: postgres.Sql, watch: Map<string, number>): Promise<void> {
  const url = new URL(database.url)
  url.username = WATCH
  url.password = WATCH
  const engine = connectEngine({ databaseUrl: url.href, maxConnections: 1 })
  let before = 0
  for (const phase of watching) {
    await run(phase, engine)
    const [backend] = await admin<{ pid: number }[]>`
      select pid from pg_stat_activity where usename = ${WATCH} and backend_type = 'client backend'`
    const now = await processCpu(backend?.pid ?? 0)
    watch.set(phase.name, (watch.get(phase.name) ?? 0) + now - before)
    before = now
  }
  await engine.close()
}

async function run(phase: Phase, engine: Engine): Promise<void> {
  const running = phase.start()
  const until = Date.now() + 10_000
  const beat = {
    engine,
    config: apiConfigFromEnv({ OPS_API_KEY: 'bench' }),
    log: createLog('silent'),
    now: Date.now,
    until,
    fail: ({ message }: { message: string }) => console.log(`${phase.name}: ${message}`),
    warn: ({ message }: { message: string }) => console.log(`${phase.name}: ${message}`),
  }
  while ((await running.batch(beat)) && Date.now() < until);
}
