/** Money: set aside at the gate, settled when the mission ends, given back for what never started. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { holdCounter, openSession, openSessions, whileBlocked } from './contention.js'
import {
  approve,
  ask,
  expire,
  noop,
  only,
  pool,
  proposalRow,
  propose,
  proposeAll,
  reject,
  type Template,
  untilBlocked,
  usedUsd,
} from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import {
  type Connection,
  cancelMission,
  claimOne,
  complete,
  fail,
  lease,
  registerWorker,
  retryStep,
  snooze,
} from './work.js'
import { brokenInvariants, setPolicy, stopClock } from './world.js'

let db: SharedDatabase
let worker: string

beforeAll(async () => {
  db = await openSharedDatabase()
})
beforeEach(async () => {
  await db.reset()
  await setPolicy(db.sql, 'proposal_caps', { daily_budget_usd: 10 })
  worker = await registerWorker(db.sql)
})
afterEach(async () => expect(await brokenInvariants(db.sql)).toEqual([]))

/** A mission of one step for each cost that is given. */
const costing = (...costs: (number | undefined)[]): Template =>
  noop(0, { steps: costs.map((cost_usd) => ({ kind: 'noop', cost_usd })) })

const succeed = async (cost_usd?: number) => {
  const claimed = await claimOne(db.sql, worker)
  await complete(db.sql, [{ ...lease(claimed), cost_usd }])
}

describe('at the gate', () => {
  test('what the steps declare is set aside, up to the budget and not beyond', async () => {
    expect(await propose(db.sql, costing(3, 4.5))).toMatchObject({
      code: 'auto_approved',
      verdict: { counted: [{ scope: 'daily', used_usd: 7.5, limit_usd: 10 }] },
    })
    expect(await propose(db.sql, costing(2.500001))).toMatchObject({
      status: 'rejected',
      code: 'budget',
      verdict: { used: 7.5, wanted: 2.500001, limit: 10, time_zone: 'UTC' },
    })
    expect(await usedUsd(db.sql)).toBe(7.5)
    expect(await propose(db.sql, costing(2.5))).toMatchObject({ code: 'auto_approved' })
    expect(await usedUsd(db.sql)).toBe(10)
  })

  test('the reason says how much was left', async () => {
    await propose(db.sql, costing(9))
    const { reason } = await propose(db.sql, costing(2))
    expect(reason).toMatch(
      /^daily budget: \$9(\.0+)? of \$10 used on \d{4}-\d\d-\d\d \(UTC\), this needs \$2(\.0+)?$/,
    )
  })

  test('what costs nothing passes when all money is spent', async () => {
    await propose(db.sql, costing(10))
    expect(await propose(db.sql, costing(0.000001))).toMatchObject({ code: 'budget' })
    expect(await propose(db.sql, costing(0, undefined))).toMatchObject({ code: 'auto_approved' })
  })

  test('as much as missions may cost can be counted', async () => {
    await setPolicy(db.sql, 'proposal_caps', {})
    const dear = costing(...Array.from({ length: 100 }, () => 1_000_000))
    expect(await propose(db.sql, dear)).toMatchObject({ code: 'auto_approved' })
    expect((await proposeAll(db.sql, [{ template: dear }, { template: dear }])).map((a) => a.code)).toEqual([
      'auto_approved',
      'auto_approved',
    ])
    expect(await usedUsd(db.sql)).toBe(300_000_000)
  })

  test('asking sets nothing aside', async () => {
    expect(await ask(db.sql, costing(11))).toMatchObject({
      ok: false,
      code: 'budget',
      verdict: { used: 0, wanted: 11 },
    })
    expect(await ask(db.sql, costing(9))).toMatchObject({ ok: true })
    expect(await usedUsd(db.sql)).toBe(0)
  })

  test('tenths add up: a hundred cents fit one dollar, from ten connections at once', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_budget_usd: 1 })
    const sql = pool(db, 10)
    const keeper = await openSession(db)
    await keeper.begin()
    await holdCounter(keeper, 'daily')
    const answers = Promise.all(Array.from({ length: 15 }, () => propose(sql, costing(0.1))))
    await untilBlocked(db.sql, 10)
    await keeper.rollback()
    expect((await answers).filter((a) => a.code === 'auto_approved')).toHaveLength(10)
    await sql.end()
    expect(await usedUsd(db.sql)).toBe(1)
  })

  test('fractions of a millionth are rounded the same way, given and taken', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    const { proposal_id } = await propose(db.sql, costing(0.0000005))
    expect(await usedUsd(db.sql)).toBe(0.000001)
    await reject(db.sql, proposal_id)
    expect(await usedUsd(db.sql)).toBe(0)
  })

  test('a held proposal keeps its money until it is rejected or expires', async () => {
    const clock = await stopClock(db.sql)
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    const first = await propose(db.sql, costing(6))
    expect(await propose(db.sql, costing(6))).toMatchObject({ code: 'budget' })
    await reject(db.sql, first.proposal_id)
    expect(await proposalRow(db.sql, first.proposal_id)).toMatchObject({ reserved_usd: '0.000000' })
    await setPolicy(db.sql, 'approvals', { expires_minutes: 1 })
    expect(await propose(db.sql, costing(6))).toMatchObject({ status: 'pending' })
    await clock.advance(60)
    expect(await expire(db.sql)).toBe(1)
    expect(await usedUsd(db.sql)).toBe(0)
  })

  test('approved on a later day, it takes the money of that day', async () => {
    const clock = await stopClock(db.sql, '2026-03-01T23:00:00Z')
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    const held = await propose(db.sql, costing(6))
    await clock.advance(7200)
    const other = await propose(db.sql, costing(5))
    expect(await approve(db.sql, held.proposal_id)).toMatchObject({
      status: 'pending',
      code: 'budget',
      verdict: { used: 5, wanted: 6 },
    })
    await reject(db.sql, other.proposal_id)
    expect(await approve(db.sql, held.proposal_id)).toMatchObject({ status: 'approved' })
    const days =
      await db.sql`select day::text, used, used_usd::float8 from ops.cap_counters where scope = 'daily' order by day`
    expect(days).toEqual([
      { day: '2026-03-01', used: 0, used_usd: 0 },
      { day: '2026-03-02', used: 1, used_usd: 6 },
    ])
  })
})

describe('at the end of a mission', () => {
  test('a step that cost less gives back the rest', async () => {
    await propose(db.sql, costing(6))
    await succeed(1.25)
    expect(await usedUsd(db.sql)).toBe(1.25)
    expect(await propose(db.sql, costing(8.75))).toMatchObject({ code: 'auto_approved' })
  })

  test('a step that cost more is counted with all of it', async () => {
    await propose(db.sql, costing(6))
    await succeed(12)
    expect(await usedUsd(db.sql)).toBe(12)
    expect(await propose(db.sql, costing(0.01))).toMatchObject({
      code: 'budget',
      verdict: { used: 12, limit: 10 },
    })
  })

  test('a step that reports nothing cost what it had declared', async () => {
    await propose(db.sql, costing(6))
    await succeed()
    expect(await usedUsd(db.sql)).toBe(6)
  })

  test('a step that declared nothing may still report', async () => {
    await propose(db.sql, costing(undefined))
    await succeed(2)
    expect(await usedUsd(db.sql)).toBe(2)
  })

  test('nothing is given back while the mission goes on', async () => {
    await propose(db.sql, costing(4, 5))
    await succeed(1)
    expect(await usedUsd(db.sql)).toBe(9)
    await succeed(1)
    expect(await usedUsd(db.sql)).toBe(2)
  })

  test('attempts that failed cost money too', async () => {
    await propose(db.sql, costing(5))
    const first = await claimOne(db.sql, worker)
    await fail(db.sql, [{ ...lease(first), error: 'no', cost_usd: 0.5, retry_after_seconds: 0 }])
    await succeed(0.25)
    expect(await usedUsd(db.sql)).toBe(0.75)
  })

  test('however many attempts cost as much as one may, each is recorded', async () => {
    await propose(db.sql, noop(0, { steps: [{ kind: 'noop', max_retries: 100 }] }))
    await db.sql`update ops_mission_steps set cost_usd = 99500000`
    const first = await claimOne(db.sql, worker)
    await fail(db.sql, [{ ...lease(first), error: 'no', cost_usd: 1_000_000, retry_after_seconds: 0 }])
    await succeed(1_000_000)
    expect(await usedUsd(db.sql)).toBe(101_500_000)
  })

  test('what never started is refunded when an earlier step dies', async () => {
    await propose(db.sql, costing(1, 2, 3))
    await succeed()
    const second = await claimOne(db.sql, worker)
    await fail(db.sql, [{ ...lease(second), error: 'no', permanent: true, cost_usd: 1.5 }])
    expect(await usedUsd(db.sql)).toBe(2.5)
  })

  test('all of it is refunded when the mission is cancelled before it starts', async () => {
    const { mission_id } = await propose(db.sql, costing(1, 2, 3))
    await cancelMission(db.sql, mission_id ?? '')
    expect(await usedUsd(db.sql)).toBe(0)
  })

  test('a step that was claimed and handed back has started', async () => {
    const { mission_id } = await propose(db.sql, costing(4))
    await snooze(db.sql, [{ ...lease(await claimOne(db.sql, worker)), seconds: 60 }])
    await cancelMission(db.sql, mission_id ?? '')
    expect(await usedUsd(db.sql)).toBe(4)
  })

  test('a retried mission is settled again', async () => {
    await propose(db.sql, costing(2, 3))
    const first = await claimOne(db.sql, worker)
    await fail(db.sql, [{ ...lease(first), error: 'no', permanent: true }])
    expect(await usedUsd(db.sql)).toBe(2)
    await retryStep(db.sql, first.step_id)
    await succeed()
    await succeed(1)
    expect(await usedUsd(db.sql)).toBe(3)
  })

  test('a mission that is opened again sets aside what its steps may cost', async () => {
    await propose(db.sql, costing(1, 2, 6))
    await succeed(0.5)
    const second = await claimOne(db.sql, worker)
    await fail(db.sql, [{ ...lease(second), error: 'no', permanent: true, cost_usd: 1.5 }])
    expect(await usedUsd(db.sql)).toBe(2)
    await retryStep(db.sql, second.step_id)
    expect(await usedUsd(db.sql)).toBe(8.5)
    expect(await propose(db.sql, costing(2))).toMatchObject({ code: 'budget', verdict: { used: 8.5 } })
    await succeed()
    await succeed(1)
    expect(await usedUsd(db.sql)).toBe(3)
  })

  test('missions that are opened again together wait for each other, and for gates, without a deadlock', async () => {
    for (const key of ['j', 'k']) {
      await propose(db.sql, costing(1, 2), { dedupeKey: key })
      await fail(db.sql, [{ ...lease(await claimOne(db.sql, worker)), error: 'no', permanent: true }])
    }
    const retryAll = (sql: Connection) => sql`select * from ops_retry_dead_steps()`
    const [gate, one] = await openSessions(db, 2)
    if (!gate || !one) throw new Error('two sessions expected')
    await gate.begin()
    const [last] = await db.sql<
      { dedupe_key: string }[]
    >`select dedupe_key from ops_missions order by id desc limit 1`
    await gate.sql`select ops.lock_keys(array[${last?.dedupe_key ?? ''}])`
    const { answer } = await whileBlocked(db.sql, one, retryAll)
    expect(await propose(gate.sql, costing(1), { dedupeKey: last?.dedupe_key })).toMatchObject({
      code: 'auto_approved',
    })
    await gate.commit()
    expect(await answer).toHaveLength(1) // the other's key belongs to newer work
    expect(await usedUsd(db.sql)).toBe(5)
  })

  test('it is settled on the day that set it aside', async () => {
    const clock = await stopClock(db.sql, '2026-03-01T23:59:00Z')
    await propose(db.sql, costing(6))
    const claimed = await claimOne(db.sql, worker)
    await clock.advance(120)
    await complete(db.sql, [{ ...lease(claimed), cost_usd: 1 }])
    expect(
      only(await db.sql`select day::text, used_usd::float8 from ops.cap_counters where scope = 'daily'`),
    ).toEqual({
      day: '2026-03-01',
      used_usd: 1,
    })
    expect(await usedUsd(db.sql)).toBe(0)
  })

  test.each([
    ['a gain', -5, 0],
    ['not a number', 'NaN', 1_000_000],
    ['more than there is', 1e30, 1_000_000],
  ])('a worker that reports %s cannot spoil the count', async (_, cost, counted) => {
    await propose(db.sql, costing(1))
    const claimed = await claimOne(db.sql, worker)
    const item = JSON.stringify([{ ...lease(claimed), cost_usd: cost }])
    expect(await db.sql`select outcome from ops_complete_steps(${item}::text::jsonb)`).toEqual([
      { outcome: 'ok' },
    ])
    expect(await usedUsd(db.sql)).toBe(counted)
  })

  test('missions of several days that end in one call are settled each on its own', async () => {
    const clock = await stopClock(db.sql, '2026-03-01T12:00:00Z')
    await propose(db.sql, costing(3))
    await clock.advance(86_400)
    await propose(db.sql, costing(4))
    const claims = [await claimOne(db.sql, worker), await claimOne(db.sql, worker)]
    await complete(
      db.sql,
      claims.map((claimed) => ({ ...lease(claimed), cost_usd: 1 })),
    )
    expect(await db.sql`select used_usd::float8 from ops.cap_counters where scope = 'daily'`).toEqual([
      { used_usd: 1 },
      { used_usd: 1 },
    ])
  })
})
