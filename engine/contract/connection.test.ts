import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { freshDatabase, type TestDatabase, urlFor } from '../../test/support/database.js'
import { startRest, type TestRest } from '../../test/support/rest.js'
import { connectEngine, type Engine, isRetryable, type OpsError } from '../index.js'
import { template, unique } from './support.js'

let database: TestDatabase
let rest: TestRest
const engines: Engine[] = []

function connect(...options: Parameters<typeof connectEngine>): Engine {
  const engine = connectEngine(...options)
  engines.push(engine)
  return engine
}

beforeAll(async () => {
  database = await freshDatabase()
  rest = await startRest(database)
})
afterAll(async () => {
  await Promise.all(engines.map((engine) => engine.close()))
})

/** The error that a call ends with, with everything in it as text. */
async function failure(call: Promise<unknown>): Promise<{ error: OpsError; all: string }> {
  const error = await call.then(
    () => expect.unreachable('the call should fail'),
    (reason: OpsError) => reason,
  )
  return { error, all: `${error.message} ${JSON.stringify(error)} ${String(error.cause)}` }
}

/** An address of this machine where nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

describe('a server that cannot be reached is OPS_001 and can be retried', () => {
  test('over postgres', async () => {
    const url = `postgresql://ops:hunter2@127.0.0.1:${await deadPort()}/ops`
    const { error, all } = await failure(connect({ databaseUrl: url }).health())
    expect(error).toMatchObject({
      code: 'OPS_001',
      message: expect.stringMatching(/cannot be reached.*DATABASE_URL/),
    })
    expect(isRetryable(error)).toBe(true)
    expect(all).not.toContain('hunter2')
  })

  test('over supabase', async () => {
    const supabaseUrl = `http://127.0.0.1:${await deadPort()}`
    const { error, all } = await failure(connect({ supabaseUrl, supabaseKey: 'hunter2' }).health())
    expect(error).toMatchObject({
      code: 'OPS_001',
      message: expect.stringMatching(/cannot be reached.*SUPABASE_URL/),
    })
    expect(isRetryable(error)).toBe(true)
    expect(all).not.toContain('hunter2')
  })
})

describe('wrong credentials are OPS_001 and cannot be retried', () => {
  test('over postgres', async () => {
    const url = new URL(urlFor(database, 'service_role'))
    url.password = 'hunter2'
    const { error, all } = await failure(connect({ databaseUrl: url.toString() }).health())
    expect(error).toMatchObject({
      code: 'OPS_001',
      message: expect.stringMatching(/refused the credentials/),
    })
    expect(isRetryable(error)).toBe(false)
    expect(all).not.toContain('hunter2')
  })

  test('over supabase', async () => {
    const supabaseKey = `${rest.serviceKey.slice(0, -8)}AAAAAAAA`
    const { error, all } = await failure(connect({ supabaseUrl: rest.url, supabaseKey }).health())
    expect(error).toMatchObject({ code: 'OPS_001', message: expect.stringMatching(/SUPABASE_SECRET_KEY/) })
    expect(isRetryable(error)).toBe(false)
    expect(all).not.toContain(supabaseKey)
  })
})

describe('a role without the right is OPS_012', () => {
  test('over postgres', async () => {
    const { error } = await failure(
      connect({ databaseUrl: urlFor(database, 'ops_readonly') }).expireProposals(),
    )
    expect(error).toMatchObject({ code: 'OPS_012', message: expect.stringMatching(/permission denied/) })
  })

  test('over supabase', async () => {
    const { error } = await failure(
      connect({ supabaseUrl: rest.url, supabaseKey: rest.anonKey }).expireProposals(),
    )
    expect(error).toMatchObject({ code: 'OPS_012', message: expect.stringMatching(/permission denied/) })
  })
})

test('both transports answer the same questions with the same words', async () => {
  const postgres = connect({ databaseUrl: urlFor(database, 'service_role') })
  const supabase = connect({ supabaseUrl: rest.url, supabaseKey: rest.serviceKey })
  const executor = unique('x')
  const [emitted] = await postgres.emitEvents([
    { type: 'app:same', data: { n: 1.5, big: 2 ** 40, text: 'ü' } },
  ])
  const event_id = emitted?.event_id ?? ''
  const decision = {
    pattern_id: 'p',
    decision: 'matched',
    mode: 'active',
    template: { ...template(executor) },
  } as const
  await postgres.settleEvents(1, [{ event_id, type: 'app:same', decisions: [decision] }])
  await supabase.runReactions(10)

  const questions: ((engine: Engine) => Promise<unknown>)[] = [
    (engine) => engine.trace(event_id),
    (engine) => engine.why(event_id),
    (engine) => engine.policies(),
    (engine) => engine.timeline('2020-01-01T00:00:00Z'),
    (engine) => engine.listEvents(),
    (engine) => engine.listProposals(),
    (engine) => engine.listMissions(),
    (engine) => engine.listSteps(),
    (engine) => engine.gateProposal(template(executor)),
  ]
  for (const ask of questions) {
    expect(await ask(supabase)).toEqual(await ask(postgres))
  }
})

test('a closed engine says so', async () => {
  const engine = connect({ databaseUrl: urlFor(database, 'service_role') })
  await engine.close()
  const { error } = await failure(engine.health())
  expect(error).toMatchObject({ code: 'OPS_001', message: expect.stringMatching(/closed/) })
  expect(isRetryable(error)).toBe(false)
})

test('a listener hears notifications, and is called again when its connection came back', async () => {
  const engine = connect({ databaseUrl: urlFor(database, 'service_role') })
  const heard = vi.fn()
  const missed = vi.fn()
  const subscription = await engine.listen?.(['ops_contract', 'ops_contract_too'], heard, missed)
  await database.sql`select pg_notify('ops_contract', ''), pg_notify('ops_contract_too', 'a step')`
  await vi.waitFor(
    () =>
      expect(heard.mock.calls).toEqual([
        ['ops_contract', ''],
        ['ops_contract_too', 'a step'],
      ]),
    5000,
  )
  expect(missed).not.toHaveBeenCalled()

  await database.sql`select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and query ilike 'listen%'`
  await vi.waitFor(() => expect(missed).toHaveBeenCalledTimes(1), 10_000)
  await database.sql`select pg_notify('ops_contract', ''), pg_notify('ops_contract_too', '')`
  await vi.waitFor(() => expect(heard).toHaveBeenCalledTimes(4), 5000)
  await subscription?.stop()
})
