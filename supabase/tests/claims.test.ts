/** Claims by many workers at once, and under every setting that a session may bring: never a step twice, never out of order. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSession, openSessions } from './contention.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import {
  claim,
  complete,
  fail,
  lease,
  recoverExpired,
  registerWorker,
  release,
  renew,
  type StepTemplate,
  snooze,
  startMission,
} from './work.js'
import { brokenInvariants, stopClock } from './world.js'

let db: SharedDatabase
let worker: string

beforeAll(async () => {
  db = await openSharedDatabase()
})
beforeEach(async () => {
  await db.reset()
  worker = await registerWorker(db.sql)
})
afterEach(async () => expect(await brokenInvariants(db.sql)).toEqual([]))

const parallel = (n: number, step: StepTemplate = {}) =>
  Array.from({ length: n }, () => ({ depends_on: [], ...step }))

describe('many workers', () => {
  test('8 open claims never share a step, and a ninth finds the rest', async () => {
    await startMission(db.sql, parallel(42))
    const sessions = await openSessions(db, 8)
    for (const session of sessions) await session.begin()
    const claims = (await Promise.all(sessions.map((s) => claim(s.sql, worker, { limit: 5 })))).flat()
    expect(new Set(claims.map((c) => c.step_id)).size).toBe(40)
    expect(await claim(db.sql, worker, { limit: 5 })).toHaveLength(2)
    for (const session of sessions) await session.commit()
    expect(await claim(db.sql, worker)).toEqual([])
  })

  test('a claim that is taken back leaves its steps to the others', async () => {
    await startMission(db.sql, parallel(10))
    const [session] = await openSessions(db, 1)
    await session?.begin()
    expect(await claim(session?.sql ?? db.sql, worker, { limit: 6 })).toHaveLength(6)
    await session?.rollback()
    expect(await claim(db.sql, worker, { limit: 20 })).toHaveLength(10)
  })

  test('8 workers that claim and complete until nothing is left run each step once', async () => {
    for (let i = 0; i < 4; i++) await startMission(db.sql, parallel(50))
    const sessions = await openSessions(db, 8)
    const done = await Promise.all(
      sessions.map(async ({ sql }) => {
        const mine: string[] = []
        for (;;) {
          const claims = await claim(sql, worker, { limit: 3 })
          if (claims.length === 0) return mine
          for (const answer of await complete(sql, claims.map(lease))) {
            expect(answer.outcome).toBe('ok')
            mine.push(answer.step_id)
          }
        }
      }),
    )
    expect(done.flat()).toHaveLength(200)
    expect(new Set(done.flat()).size).toBe(200)
    expect(await db.sql`select distinct status from ops_missions`).toEqual([{ status: 'succeeded' }])
  })
})

const planner = [
  'enable_indexscan',
  'enable_indexonlyscan',
  'enable_bitmapscan',
  'enable_seqscan',
  'enable_nestloop',
  'enable_hashjoin',
  'enable_mergejoin',
  'enable_material',
  'enable_memoize',
  'enable_sort',
  'enable_incremental_sort',
  'enable_hashagg',
  'enable_tidscan',
]
const off = (...names: string[]) => Object.fromEntries(names.map((name) => [name, 'off']))

const settings: [string, Record<string, string>][] = [
  ['no index scans', off('enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan')],
  ['no nested loops', off('enable_nestloop', 'enable_material', 'enable_memoize')],
  ['nested loops alone', off('enable_hashjoin', 'enable_mergejoin', 'enable_material', 'enable_memoize')],
  ['merge joins alone', off('enable_nestloop', 'enable_hashjoin')],
  ['every planner method off', off(...planner)],
  ['random pages dear, cpu free', { random_page_cost: '1000', cpu_tuple_cost: '0', cpu_operator_cost: '0' }],
  ['joins in the order as written', { join_collapse_limit: '1', from_collapse_limit: '1' }],
  ['tiny memory', { work_mem: '64kB', hash_mem_multiplier: '1' }],
  ['generic plans', { plan_cache_mode: 'force_generic_plan' }],
  ['custom plans', { plan_cache_mode: 'force_custom_plan' }],
  [
    'jit for everything',
    { jit: 'on', jit_above_cost: '0', jit_inline_above_cost: '0', jit_optimize_above_cost: '0' },
  ],
  ['repeatable read', { default_transaction_isolation: 'repeatable read' }],
  ['serializable', { default_transaction_isolation: 'serializable' }],
  ['a zone far east', { timezone: 'Pacific/Chatham', datestyle: 'ISO, DMY' }],
  [
    'a zone far west, in SQL',
    { timezone: 'Etc/GMT+12', datestyle: 'SQL, MDY', intervalstyle: 'sql_standard' },
  ],
  ['a zone with summer time', { timezone: 'America/St_Johns', intervalstyle: 'iso_8601' }],
  ['plain texts', { bytea_output: 'escape', extra_float_digits: '-15', standard_conforming_strings: 'off' }],
]

describe('under a session with', () => {
  test.each(settings)('%s, leases are what they are everywhere', async (_, values) => {
    const clock = await stopClock(db.sql)
    const { sql } = await openSession(db)
    for (const [name, value] of Object.entries(values)) await sql`select set_config(${name}, ${value}, false)`

    await startMission(db.sql, [
      ...parallel(4, { kind: 'shell' }),
      ...parallel(4, { kind: 'noop', priority: -1 }),
      ...parallel(4, { kind: 'exotic', priority: -9 }),
      ...parallel(1, { kind: 'noop', delay_seconds: 120, priority: -5 }),
    ])
    const executors = ['noop', 'shell']
    const at = async (seconds: number) => new Date((await clock.now()).getTime() + seconds * 1000)

    // Never more than the limit, the most urgent first, nothing of other executors, nothing before its time.
    const first = await claim(sql, worker, { executors, limit: 3, leaseSeconds: 60 })
    expect(first.map((c) => c.key)).toEqual(['step-5', 'step-6', 'step-7'])
    for (const claimed of first) expect(claimed.lease_expires_at).toEqual(await at(60))
    const second = await claim(sql, worker, { executors, limit: 3, leaseSeconds: 60 })
    expect(second.map((c) => c.key)).toEqual(['step-8', 'step-1', 'step-2'])
    expect(new Set([...first, ...second].map((c) => c.token)).size).toBe(6)

    const [a, b, c] = first
    const [d, e, f] = second
    if (!a || !b || !c || !d || !e || !f) throw new Error('six steps expected')
    expect(await complete(sql, [lease(a), { ...lease(b), token: a.token }])).toHaveLength(2)
    expect(await fail(sql, [{ ...lease(b), error: 'no', retry_after_seconds: 3600 }])).toMatchObject([
      { outcome: 'ok', run_at: await at(3600) },
    ])
    expect(await snooze(sql, [{ ...lease(c), seconds: 90 }])).toMatchObject([
      { outcome: 'ok', run_at: await at(90) },
    ])
    expect(await release(sql, [lease(d)])).toMatchObject([{ outcome: 'ok' }])
    expect(await renew(sql, [lease(e)], 600)).toMatchObject([{ lease_expires_at: await at(600) }])
    await clock.advance(61)
    expect(await recoverExpired(sql)).toEqual({ requeued_steps: 1, failed_steps: 0 })
    expect(await renew(sql, [lease(f)])).toMatchObject([{ outcome: 'lost' }])

    await clock.advance(59)
    const due = (await claim(sql, worker, { executors, limit: 3 })).map((c) => c.key)
    expect(due).toEqual(['step-13', 'step-8', 'step-7'])
  })
})

describe('a claim that begins behind a step', () => {
  const claimBehind = (
    past: Record<string, { priority: number; run_at: string; step_id: string }> | null,
  ) => db.sql<
    { key: string; priority: number; run_at: string; step_id: string }[]
  >`select key, priority, run_at::text, step_id
    from ops_claim_steps(${worker}, array['noop'], 2, p_past => ${past && db.sql.json(past)})`

  test('takes the next ones in order, to the microsecond, and leaves what stands before to a claim that sees everything', async () => {
    await startMission(db.sql, parallel(5))
    const [first, second] = await claimBehind(null)
    await startMission(db.sql, [{ key: 'urgent', priority: -1 }])
    const past = { noop: { ...(second ?? expect.fail()) } }
    const keys = async (claims: Promise<{ key: string }[]>) => (await claims).map(({ key }) => key)
    expect([first?.key, second?.key]).toEqual(['step-1', 'step-2'])
    expect(await keys(claimBehind(past))).toEqual(['step-3', 'step-4'])
    expect(await keys(claimBehind(null))).toEqual(['urgent', 'step-5'])
  })

  test('leaves what a claim took that was rolled back to a claim that sees everything', async () => {
    await startMission(db.sql, parallel(4))
    const [first] = await claimBehind(null).then((claims) => claims.slice(1))
    const past = { noop: { ...(first ?? expect.fail()) } }
    const session = await openSession(db)
    await session.begin()
    expect(await claim(session.sql, worker, { limit: 1 })).toMatchObject([{ key: 'step-3' }])
    expect((await claimBehind(past)).map(({ key }) => key)).toEqual(['step-4'])
    await session.rollback()
    expect(await claimBehind(past)).toEqual([])
    expect((await claimBehind(null)).map(({ key }) => key)).toEqual(['step-3'])
  })

  test('has no bearing on other executors', async () => {
    const [step] = await claimBehind(null)
    expect(step).toBeUndefined()
    await startMission(db.sql, parallel(1))
    const place = { priority: 100, run_at: '2100-01-01', step_id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }
    expect(await claimBehind({ other: place })).toHaveLength(1)
  })
})
