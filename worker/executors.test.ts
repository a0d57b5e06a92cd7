import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connectEngine, type Engine, type TemplateStep } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import { shippedExecutors } from '../executors/registry.js'
import { onPath } from '../test/stand-ins/on-path.js'
import { freshDatabase, type TestDatabase, urlFor } from '../test/support/database.js'
import { createWorker, type WorkerOptions } from './worker.js'

/** What policies in a real database let a real worker's executors do. */

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

let folder: string
let database: TestDatabase
let control: Engine
let engine: Engine

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ops-loop-executors-'))
  database = await freshDatabase()
  control = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  engine = connectEngine({ databaseUrl: urlFor(database, 'ops_worker') })
  await setPolicy('auto_approve', { enabled: true, max_risk_level: 'low' })
})
afterEach(async () => {
  await Promise.all([control.close(), engine.close()])
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

async function setPolicy(key: string, change: object): Promise<void> {
  await database.sql`update ops_policy set value = value - 'allowed_step_kinds' || ${database.sql.json(JSON.parse(JSON.stringify(change)))} where key = ${key}`
}

function drain(env: Record<string, string> = {}, options: Partial<WorkerOptions> = {}) {
  const executors = shippedExecutors()
  const common = {
    engine,
    executors,
    name: 'test',
    version: '0.0.0',
    concurrency: 4,
    watch: false,
    log: silent,
  }
  return createWorker({ ...common, env, ...options }).start()
}

async function mission(...steps: TemplateStep[]): Promise<string> {
  const template = { title: 'A mission', risk_level: 'low' as const, steps }
  const { mission_id, reason } = await control.createProposal({ source: 'test', template })
  if (!mission_id) throw new Error(`not admitted: ${reason}`)
  return mission_id
}

const stepOf = async (mission_id: string) => (await control.listSteps({ mission_id }))[0]

describe('openclaw', () => {
  it('works as the role of the step’s agent says, within worker_policy, and its cost is recorded', async () => {
    const standIn = await onPath('openclaw')
    const env = { PATH: standIn.PATH, OPENCLAW_STATE_DIR: standIn.folder }
    await setPolicy('agent_roles', {
      scout: { instructions: 'Be brief.', model: 'small', tools: ['read', 'shell'] },
    })
    await setPolicy('worker_policy', { allowed_tools: ['read'] })
    const id = await mission({ kind: 'openclaw:scout', params: { message: 'look' } })
    expect(await drain(env)).toMatchObject({ succeeded: 1 })

    const [call] = await standIn.calls()
    expect(call?.argv.slice(0, 7)).toEqual([
      'agent',
      '--agent',
      'scout',
      '--message',
      'Be brief.\n\nUse no tools but these: read.\n\nlook',
      '--model',
      'small',
    ])
    expect(await stepOf(id)).toMatchObject({ status: 'succeeded', result: { usage: { total_tokens: 150 } } })
    const runs = await database.sql`select cost_usd::float8 as cost, meta from ops_action_runs`
    expect(runs).toMatchObject([{ cost: 0.0042, meta: { usage: { total_tokens: 150 } } }])
  })

  it('is a dead letter at once when it could not tell how it ended, whatever retries are left', async () => {
    const standIn = await onPath('openclaw')
    const env = { PATH: standIn.PATH, OPENCLAW_STATE_DIR: standIn.folder }
    const id = await mission({ kind: 'openclaw', params: { agent: 'ops', message: 'lose' }, max_retries: 5 })
    expect(await drain(env)).toMatchObject({ failed: 1 })
    expect(await stepOf(id)).toMatchObject({
      status: 'failed',
      failure_count: 1,
      last_error: expect.stringContaining('may have run'),
    })
    expect(await drain(env)).toMatchObject({ failed: 0 })
    expect(await standIn.calls()).toHaveLength(1)
  })

  it('may run other subcommands once worker_policy names them', async () => {
    const standIn = await onPath('openclaw')
    const steps = { kind: 'openclaw', params: { subcommand: 'sessions', args: [] } }
    const refused = await mission(steps)
    await drain({ PATH: standIn.PATH })
    expect(await stepOf(refused)).toMatchObject({
      status: 'failed',
      last_error: expect.stringContaining('is not allowed'),
    })
    await setPolicy('worker_policy', { allowed_openclaw_subcommands: ['sessions'] })
    const allowed = await mission(steps)
    await drain({ PATH: standIn.PATH })
    expect(await stepOf(allowed)).toMatchObject({ status: 'succeeded' })
  })
})

describe('an executor that worker_policy blocks', () => {
  it('is not claimed, whoever asks, until it is unblocked', async () => {
    await setPolicy('worker_policy', { blocked_executors: ['noop'] })
    const id = await mission({ kind: 'noop' })
    const idle = await drain()
    expect(Object.values(idle).every((count) => count === 0)).toBe(true)
    expect(await database.sql`select id from ops_claim_next_step(5)`).toEqual([])
    expect(await stepOf(id)).toMatchObject({ status: 'queued' })
    await setPolicy('worker_policy', { blocked_executors: [] })
    expect(await drain()).toMatchObject({ succeeded: 1 })
  })
})

describe('retries and leases', () => {
  it('are those of worker_policy where the step and the worker’s environment say otherwise or nothing', async () => {
    await setPolicy('worker_policy', { max_retries: 1, lease_minutes: 7 })
    const id = await mission({ kind: 'noop', params: { flaky_attempts: 9 } })
    const longer = await mission({ kind: 'noop', params: { flaky_attempts: 9 }, max_retries: 2 })
    await drain({}, { settings: { max_retries: 5, lease_minutes: 1 } })
    expect(await stepOf(id)).toMatchObject({ status: 'failed', failure_count: 1 })
    expect(await stepOf(longer)).toMatchObject({ status: 'queued', failure_count: 1 })
    await mission({ kind: 'noop' })
    const [lease] = await database.sql`
      select extract(epoch from lease_expires_at - reserved_at)::int as seconds from ops_claim_next_step(7)`
    expect(lease).toEqual({ seconds: 420 })
  })
})

describe('minion', () => {
  it('is ended with all that it started when the step’s time is over', async () => {
    const command = join(folder, 'tool')
    const file = join(folder, 'pids')
    await writeFile(
      command,
      `#!${process.execPath}
      const { spawn } = require('node:child_process')
      const child = spawn(process.execPath, ['-e', 'process.on("SIGTERM", () => {}); console.log(1); setInterval(() => {}, 1000)'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      child.stdout.once('data', () => require('node:fs').writeFileSync(${JSON.stringify(file)}, [process.pid, child.pid].join()))`,
    )
    await chmod(command, 0o755)
    await setPolicy('worker_policy', { allowed_commands: [command] })
    const id = await mission({ kind: 'minion', params: { command }, timeout_seconds: 2, max_retries: 1 })
    expect(await drain()).toMatchObject({ failed: 1 })
    expect(await stepOf(id)).toMatchObject({ status: 'failed', last_error: 'timed out after 2 s' })
    const pids = (await readFile(file, 'utf8')).split(',')
    const { stdout } = await execa({ reject: false })`ps -o stat= -p ${pids.join()}`
    // What has ended, and only waits for its parent to notice, is not alive.
    expect(stdout.split('\n').filter((state) => state !== '' && !state.startsWith('Z'))).toEqual([])
  })
})
