/** A place where the loop runs: a database, a ledger, and real processes that work on them. */
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type postgres from 'postgres'
import { expect, inject } from 'vitest'
import { apiConfigFromEnv } from '../../../api/config.js'
import { beat } from '../../../api/heartbeat.js'
import { createLog } from '../../../api/log.js'
import { freePort } from '../../../embedded/ports.js'
import { connectEngine } from '../../../engine/index.js'
import { setPolicy } from '../../../supabase/tests/world.js'
import { freshDatabase, type TestDatabase, urlFor } from '../../support/database.js'
import { onFileEnd } from '../../support/fileEnd.js'
import type { EngineRole } from '../../support/names.js'
import { brokenInvariants, contradictions } from './checks.js'
import { type Execution, openLedger, readLedger } from './ledger.js'
import { Program } from './processes.js'
import { type Pulse, startPulse } from './pulse.js'
import { until } from './until.js'

export const API_KEY = 'faults-api-key'
const executors = fileURLToPath(new URL('../executors', import.meta.url))

/** A database that processes can log in to. */
export interface SiteDatabase {
  /** The owner's pool. */
  readonly sql: postgres.Sql
  urlFor(role: EngineRole): string
}

export interface WorkerOptions {
  concurrency?: number
  /** Instead of the worker's own login: through a proxy, say. */
  env?: Record<string, string>
  nodeArgs?: string[]
  name?: string
  /** Default: it watches. */
  oneShot?: boolean
}

export interface StepParams {
  ms?: number
  block_ms?: number
  dies?: 'before the effect' | 'after the effect'
  bad_attempts?: number
  fails?: 'retry' | 'for good'
  emits?: string
}

export interface Order {
  missions?: number
  /** Steps of each mission; every second one waits for the one before it. */
  steps?: number
  params?: StepParams
  max_retries?: number
  timeout_seconds?: number
  /** Default: `ledger`. */
  kind?: string
}

/** How long a lease is at a site. Policies count in minutes, which is long for a test. */
const LEASE_SECONDS = 3

async function setLease(sql: postgres.Sql, seconds: number): Promise<void> {
  await setPolicy(sql, 'worker_policy', {
    lease_minutes: seconds / 60,
    backoff_base_seconds: 0.1,
    backoff_max_seconds: 1,
    max_retries: 5,
  })
}

/** A site on a database of the test run's own server. */
export type OpenSite = Site & { readonly database: SiteDatabase & TestDatabase }

export class Site {
  readonly #programs: Program[] = []

  private constructor(
    readonly database: SiteDatabase,
    readonly folder: string,
    readonly ledger: string,
  ) {}

  /** On a database of the test run's own server. */
  static async open(): Promise<OpenSite> {
    const fresh = await freshDatabase()
    const database = { ...fresh, urlFor: (role: EngineRole) => urlFor(fresh, role) }
    return Object.assign(await Site.on(database), { database })
  }

  /** On a migrated and seeded database: everything is admitted, leases are short, and retries come soon. */
  static async on(database: SiteDatabase): Promise<Site> {
    const folder = await mkdtemp(join(inject('testDir'), 'site-'))
    const ledger = join(folder, 'ledger.jsonl')
    openLedger(ledger)
    const { sql } = database
    await setPolicy(sql, 'auto_approve', { enabled: true })
    await setPolicy(sql, 'proposal_caps', {})
    // Its steps would be counted with ours.
    await setPolicy(sql, 'invariants', { canary: { enabled: false } })
    await sql`
      update ops.policy_schemas set schema = jsonb_set(schema, '{properties,lease_minutes}', '{"type": "number"}')
      where key = 'worker_policy'`
    await setLease(sql, LEASE_SECONDS)
    return new Site(database, folder, ledger)
  }

  /** How long leases are from now on. */
  setLease(seconds: number): Promise<void> {
    return setLease(this.sql, seconds)
  }

  get sql(): postgres.Sql {
    return this.database.sql
  }

  /** Any of our programs, with this site's ledger. */
  run(args: string[], env: Record<string, string>, nodeArgs: string[] = []): Program {
    const program = new Program({
      args,
      env: { FAULTS_LEDGER: this.ledger, ...env },
      cwd: this.folder,
      nodeArgs,
    })
    this.#programs.push(program)
    return program
  }

  /** A worker process that is ready for work. */
  async worker(options: WorkerOptions = {}): Promise<Program> {
    const program = this.startWorker(options)
    if (!options.oneShot) await program.says('ready for work')
    return program
  }

  /** A worker process that may not even have connected yet. */
  startWorker({
    concurrency = 10,
    env,
    nodeArgs,
    name = 'faults',
    oneShot = false,
  }: WorkerOptions = {}): Program {
    const args = ['worker', '--concurrency', String(concurrency), '--executors', executors, '--name', name]
    if (!oneShot) args.push('--watch')
    return this.run(args, env ?? { DATABASE_URL: this.database.urlFor('ops_worker') }, nodeArgs)
  }

  /** A control plane process that answers. */
  async api(env?: Record<string, string>, port?: number): Promise<Program & { url: string }> {
    const at = port ?? (await freePort())
    const program = this.run(['api', '--port', String(at)], {
      OPS_API_KEY: API_KEY,
      LOG_LEVEL: 'silent',
      ...(env ?? { DATABASE_URL: this.database.urlFor('service_role') }),
    })
    await program.says('Ops Loop API on')
    return Object.assign(program, { url: `http://127.0.0.1:${at}` })
  }

  /** Beats of the control plane, one after the other, where the control plane itself is not what suffers. */
  beating(everyMs = 200): Pulse {
    const engine = connectEngine({ databaseUrl: this.database.urlFor('service_role') })
    onFileEnd(() => engine.close())
    const config = apiConfigFromEnv({})
    const log = createLog('silent')
    return startPulse(async () => {
      const report = await beat({ engine, config, log })
      return report.ok ? 200 : 500
    }, everyMs)
  }

  /** Admits missions of `ledger` steps; answers how many steps there are. */
  async enqueue({
    missions = 1,
    steps = 1,
    params = {},
    max_retries,
    timeout_seconds,
    kind = 'ledger',
  }: Order): Promise<number> {
    const template = {
      title: 'counted work',
      risk_level: 'low',
      steps: Array.from({ length: steps }, (_, i) => ({
        key: `step-${i}`,
        kind,
        params,
        max_retries,
        timeout_seconds,
        depends_on: i % 2 === 0 ? [] : [`step-${i - 1}`],
      })),
    }
    const proposals = Array.from({ length: missions }, () => ({ source: 'faults', template }))
    for (let i = 0; i < missions; i += 100) {
      const batch = JSON.stringify(proposals.slice(i, i + 100))
      const answers = await this.sql<
        { status: string }[]
      >`select * from ops_create_proposals(${batch}::text::jsonb)`
      for (const { status } of answers) expect(status).toBe('auto_approved')
    }
    return missions * steps
  }

  /** Steps by status. */
  async counts(): Promise<Record<string, number>> {
    const rows = await this.sql<{ status: string; n: number }[]>`
      select status::text, count(*)::int as n from ops_mission_steps group by status`
    return Object.fromEntries(rows.map(({ status, n }) => [status, n]))
  }

  /** Waits until no step is open. */
  async drained(withinMs = 60_000): Promise<void> {
    await until(
      'all steps have ended',
      async () => {
        const { waiting = 0, queued = 0, running = 0 } = await this.counts()
        return waiting + queued + running === 0
      },
      { withinMs },
    ).catch(async (error: unknown) => {
      const outputs = this.#programs.map((program) => program.output.slice(-2000)).join('\n---\n')
      throw new Error(`${String(error)}: ${JSON.stringify(await this.counts())}\n${outputs}`)
    })
  }

  executions(): Execution[] {
    return readLedger(this.ledger)
  }

  /** Waits until the ledger fits. */
  async executed(what: string, fits: (executions: Execution[]) => boolean): Promise<Execution[]> {
    return until(`the ledger shows ${what}`, () => {
      const executions = this.executions()
      return fits(executions) && executions
    })
  }

  /** No invariant is broken, and the ledger agrees with what the database recorded. */
  async expectSound({ outlivesLease = false }: { outlivesLease?: boolean } = {}): Promise<void> {
    expect(await brokenInvariants(this.sql)).toEqual([])
    const deaths = new Map(
      this.#programs.flatMap(({ pid, diedAt }): [number, number][] =>
        diedAt === undefined ? [] : [[pid, diedAt]],
      ),
    )
    expect(await contradictions(this.sql, { ledger: this.ledger, deaths, outlivesLease })).toEqual([])
  }

  /** Every step has succeeded, with exactly one success on record. */
  async expectOneSuccessEach(steps: number): Promise<void> {
    expect(await this.counts()).toEqual({ succeeded: steps })
    const [row] = await this.sql<{ runs: number; steps: number }[]>`
      select count(*)::int as runs, count(distinct step_id)::int as steps from ops_action_runs where status = 'succeeded'`
    expect(row).toEqual({ runs: steps, steps })
    await this.expectSound()
  }
}
