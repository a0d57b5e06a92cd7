import postgres from 'postgres'
import { apiConfigFromEnv } from '../../api/config.js'
import { type BeatReport, beat } from '../../api/heartbeat.js'
import { createLog } from '../../api/log.js'
import { type ClaimedStep, connectEngine, type Engine } from '../../engine/index.js'
import type { Database } from '../harness/types.js'

const log = createLog('silent')
const config = apiConfigFromEnv({ OPS_API_KEY: 'bench' })
/** The engine closes connections that nobody uses for longer. */
const KEEP_OPEN_MS = 10_000

/** A database that is measured beside others. */
export interface Subject {
  readonly name: string
  readonly database: Database
  /** A worker's and a proposer's only connection, with the plans that it made when it was opened. */
  readonly engine: Engine
  /** The owner's, for what is not measured. */
  readonly owner: postgres.Sql
  claim(limit: number, leaseSeconds?: number): Promise<ClaimedStep[]>
  /** The control plane's heartbeat, over connections of its own. */
  beat(): Promise<BeatReport>
  close(): Promise<void>
}

/** Opens the connections of one database under measurement. */
export async function openSubject(name: string, database: Database): Promise<Subject> {
  const engine = connectEngine({ databaseUrl: database.url, maxConnections: 1 })
  const plane = connectEngine({ databaseUrl: database.url })
  const owner = postgres(database.url, { max: 2, onnotice: () => undefined })
  const { worker_id } = await engine.registerWorker({
    name: 'bench',
    version: '0',
    executors: ['noop'],
    concurrency: 500,
    schema_version: 1_000_000,
  })
  const keepOpen = setInterval(() => {
    for (const used of [engine, plane]) used.policies([]).catch(() => undefined)
  }, KEEP_OPEN_MS)
  return {
    name,
    database,
    engine,
    owner,
    async claim(limit, leaseSeconds) {
      const steps = await engine.claimSteps({
        worker_id,
        executors: ['noop'],
        limit,
        lease_seconds: leaseSeconds,
      })
      if (steps.length < limit) throw new Error(`${name}: ${steps.length} steps of ${limit} were there`)
      return steps
    },
    async beat() {
      const now = () => performance.timeOrigin + performance.now()
      const report = await beat({ engine: plane, config, log, now })
      const [error] = report.errors
      if (error) throw new Error(`${name}: heartbeat, ${error.phase}: ${error.message}`)
      return report
    },
    async close() {
      clearInterval(keepOpen)
      await Promise.all([engine.close(), plane.close(), owner.end({ timeout: 1 })])
    },
  }
}

/** What the minute, or with `everything` the hour, would make due again for the next beat. */
export async function makeDue({ owner }: Subject, everything: boolean): Promise<void> {
  await owner`delete from ops.watch where part = 'alerts' or ${everything} and part = 'round'`
  if (everything) await owner`delete from ops.housekept`
}
