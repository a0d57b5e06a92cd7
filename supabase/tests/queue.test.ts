/** The queue follows the steps, whoever changes them, and running steps are found by their claims. */
import postgres from 'postgres'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { adminUrlFor } from '../../test/support/database.js'
import { openSession, openSessions, whileBlocked } from './contention.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import {
  type Connection,
  claim,
  claimOne,
  complete,
  fail,
  lease,
  recoverExpired,
  registerWorker,
  renew,
  snooze,
  startMission,
  statusesOf,
} from './work.js'
import { brokenInvariants, type Clock, stopClock } from './world.js'

let db: SharedDatabase
let clock: Clock
let worker: string

beforeAll(async () => {
  db = await openSharedDatabase()
})
beforeEach(async () => {
  await db.reset()
  clock = await stopClock(db.sql)
  worker = await registerWorker(db.sql)
})
afterEach(async () => expect(await brokenInvariants(db.sql)).toEqual([]))

/** The queue's rows of a mission as `{key: status}`. */
async function queued(missionId: string): Promise<Record<string, string>> {
  const rows = await db.sql<{ key: string; status: string }[]>`
    select s.key, q.status from ops.queue q join ops_mission_steps s on s.id = q.step_id
    where q.mission_id = ${missionId} order by s.position`
  return Object.fromEntries(rows.map(({ key, status }) => [key, status]))
}

const claims = async () =>
  (
    await db.sql<{ steps: number; due: number }[]>`
      select cardinality(steps) as steps, extract(epoch from look_at - ops.now())::int as due from ops.claims order by id`
  ).map(({ steps, due }) => [steps, due])

/** What a claim does now and then. */
const look = () => db.sql`select ops.look_at_claims('-infinity', 100)`

describe('the queue', () => {
  test('holds what waits, is due or is dead, and nothing that runs or has ended', async () => {
    const mission = await startMission(db.sql, [{ key: 'a', max_retries: 1 }, { key: 'b' }])
    expect(await queued(mission.id)).toEqual({ a: 'queued', b: 'waiting' })
    const a = await claimOne(db.sql, worker)
    expect(await queued(mission.id)).toEqual({ b: 'waiting' })
    await complete(db.sql, [lease(a)])
    expect(await queued(mission.id)).toEqual({ b: 'queued' })
    const b = await claimOne(db.sql, worker)
    await fail(db.sql, [{ ...lease(b), error: 'no', permanent: true }])
    expect(await queued(mission.id)).toEqual({ b: 'failed' })
  })

  test('takes back what is put off', async () => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    await snooze(db.sql, [{ ...lease(await claimOne(db.sql, worker)), seconds: 60 }])
    expect(await queued(mission.id)).toEqual({ a: 'queued' })
    expect(await claim(db.sql, worker)).toEqual([])
    await clock.advance(60)
    expect(await claim(db.sql, worker)).toHaveLength(1)
  })

  test.each([
    ['priority', `priority = -5`],
    ['time', `run_at = ops.now() + interval '1 hour', ready = false`],
    ['executor', `executor = 'other'`],
    ['service', `service = 'mail'`],
    ['status', `status = 'cancelled'`],
  ])("follows a hand that changes a step's %s", async (_, change) => {
    await startMission(db.sql, [{ key: 'a' }, { key: 'b' }])
    await db.sql.unsafe(`update ops_mission_steps set ${change} where status = 'queued'`)
    // The invariants say the rest.
  })

  test('follows an edit of several rows of which one changes another', async () => {
    const mission = await startMission(db.sql, [
      { key: 'a' },
      { key: 'b', depends_on: ['a'] },
      { key: 'c', depends_on: ['a'] },
    ])
    await db.sql`update ops_mission_steps set status = case key when 'a' then 'cancelled' else 'queued' end::ops_step_status
      where mission_id = ${mission.id} and key in ('a', 'b')`.catch(() => undefined)
    await db.sql`update ops_mission_steps set status = 'cancelled' where mission_id = ${mission.id} and key in ('a', 'c')`
    expect(await queued(mission.id)).toEqual({})
  })

  test('is emptied with the steps', async () => {
    await startMission(db.sql, [{ key: 'a' }, { key: 'b' }])
    await claim(db.sql, worker)
    await db.sql
      .begin(async (tx) => {
        await tx`truncate ops_mission_steps cascade`
        const left = await tx`select 1 from ops.queue union all select 1 from ops.claims`
        expect(left).toHaveLength(0)
        throw new Error('undo')
      })
      .catch((error: Error) => expect(error.message).toBe('undo'))
  })

  test('is put right by ops_maybe_finalize_mission when an owner went round the triggers', async () => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    await db.sql`update ops_mission_steps set priority = 3, revision = revision + 1 where id = ${mission.step('a')}`
    expect(await brokenInvariants(db.sql)).toHaveLength(1)
    await db.sql`select ops_maybe_finalize_mission(${mission.id})`
  })

  test('is judged by the step: what another holds is passed over, and stays', async () => {
    const first = await startMission(db.sql, [{ key: 'a' }])
    const second = await startMission(db.sql, [{ key: 'a' }])
    const other = await openSession(db)
    await other.begin()
    await other.sql`select from ops_mission_steps where id = ${first.step('a')} for update`
    expect((await claim(db.sql, worker)).map((c) => c.step_id)).toEqual([second.step('a')])
    await other.rollback()
    expect((await claim(db.sql, worker)).map((c) => c.step_id)).toEqual([first.step('a')])
  })
})

/** Runs `body` while the claim's text is another one. */
async function withClaim<T>(
  words: string,
  others: string,
  beforehand: string,
  body: () => Promise<T>,
): Promise<T> {
  const admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
  const [engine] = await admin<
    { claim: string }[]
  >`select pg_get_functiondef('public.ops_claim_steps'::regproc) as claim`
  if (engine?.claim.split(words).length !== 2) throw new Error(`the claim does not say once: ${words}`)
  try {
    await admin.unsafe(`${beforehand}; ${engine.claim.replace(words, others)}`)
    return await body()
  } finally {
    await admin.unsafe(`${engine.claim}; drop function if exists ops.turnstile()`)
    await admin.end()
  }
}

describe('a claim that is slower than a hand', () => {
  /** Claims by a session that has read the queue, waits at its first row for `edit` to commit, and then goes on. */
  async function claimAround(edit: (sql: Connection) => PromiseLike<unknown>) {
    const [slow, other] = await openSessions(db, 2)
    if (!slow || !other) throw new Error('unreachable')
    const turnstile = `create function ops.turnstile() returns boolean language plpgsql volatile as
      $$ begin perform pg_advisory_xact_lock_shared(42); return true; end $$`
    return withClaim('and q.ready', 'and q.ready and ops.turnstile()', turnstile, async () => {
      await other.begin()
      await other.sql`select pg_advisory_xact_lock(42)`
      const { answer } = await whileBlocked(db.sql, slow, (sql) => claim(sql, worker))
      await edit(db.sql)
      await other.commit()
      return await answer
    })
  }

  test('leaves what was put off meanwhile', async () => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    const later = await claimAround(
      (sql) =>
        sql`update ops_mission_steps set run_at = ops.now() + interval '1 hour', ready = false where id = ${mission.step('a')}`,
    )
    expect(later).toEqual([])
  })

  test('finds the row of the queue that was rewritten meanwhile', async () => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    const taken = await claimAround(
      (sql) => sql`update ops_mission_steps set priority = 5 where id = ${mission.step('a')}`,
    )
    expect(taken).toHaveLength(1)
    expect(await queued(mission.id)).toEqual({})
  })
})

test('a claim that leases fewer steps than it took out of the queue takes none, and may be sent again', async () => {
  const mission = await startMission(db.sql, [{ key: 'a' }, { key: 'b', depends_on: [] }])
  await withClaim('where s.ctid = c.place', "where s.ctid = c.place and s.key <> 'a'", '', async () => {
    await expect(claim(db.sql, worker)).rejects.toMatchObject({
      code: '40001',
      message: 'claimed 2 steps and leased 1',
    })
  })
  expect(await queued(mission.id)).toEqual({ a: 'queued', b: 'queued' })
  expect(await claim(db.sql, worker)).toHaveLength(2)
})

describe('claims', () => {
  test('leave when none of their steps runs any more', async () => {
    for (let i = 0; i < 3; i++) await startMission(db.sql, [{ key: 'a' }])
    const taken = await claim(db.sql, worker, { leaseSeconds: 60 })
    expect(await claims()).toEqual([[3, 1]])
    await complete(db.sql, taken.slice(1).map(lease))
    await look()
    expect(await claims()).toEqual([[3, 1]])
    await clock.advance(10)
    await look()
    expect(await claims(), 'one is left, and comes up again when the claim is twice as old').toEqual([
      [1, 10],
    ])
    await complete(db.sql, taken.slice(0, 1).map(lease))
    await clock.advance(10)
    await look()
    expect(await claims()).toEqual([])
  })

  test('leave by completions alone, of which one in eight looks after those of all', async () => {
    const parallel = Array.from({ length: 80 }, () => ({ depends_on: [] }))
    for (let i = 0; i < 2; i++) await startMission(db.sql, parallel)
    const own = await claim(db.sql, worker, { limit: 120, leaseSeconds: 600 })
    const others = []
    for (let i = 0; i < 40; i++) others.push(await claimOne(db.sql, worker, { leaseSeconds: 600 }))
    const [atWork, ...ended] = others
    await clock.advance(2)
    await complete(db.sql, ended.map(lease))
    // That fewer than two of so many look happens once in half a million times.
    for (const step of own) await complete(db.sql, [lease(step)])
    const left =
      await db.sql`select steps from ops.claims where not steps && ${own.map((c) => c.step_id)}::uuid[]`
    expect(left).toEqual([{ steps: [atWork?.step_id] }])
  })

  test('are looked at when a lease is over that was prolonged', async () => {
    await startMission(db.sql, [{ key: 'a' }])
    const taken = await claimOne(db.sql, worker, { leaseSeconds: 60 })
    await clock.advance(59)
    await renew(db.sql, [lease(taken)], 600)
    await clock.advance(500)
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 0, failed_steps: 0 })
    await clock.advance(101)
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 1, failed_steps: 0 })
  })

  test.each([
    ['its worker', (step: { step_id: string; token: string }) => renew(db.sql, [lease(step)], 5)],
    [
      'hand',
      (step: { step_id: string }) =>
        db.sql`update ops_mission_steps set lease_expires_at = ops.now() + interval '5 seconds' where id = ${step.step_id}`,
    ],
  ])('know of a lease that was shortened by %s', async (_, shorten) => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    const taken = await claimOne(db.sql, worker, { leaseSeconds: 600 })
    await clock.advance(30)
    await look()
    await shorten(taken)
    expect(await brokenInvariants(db.sql)).toEqual([])
    await clock.advance(6)
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 1, failed_steps: 0 })
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'queued' })
  })

  test('of steps that somebody holds go to the back, and come up again', async () => {
    const held = await startMission(db.sql, [{ key: 'a' }])
    await claimOne(db.sql, worker, { leaseSeconds: 10 })
    const free = await startMission(db.sql, [{ key: 'a' }])
    await claimOne(db.sql, worker, { leaseSeconds: 11 })
    await clock.advance(20)
    const other = await openSession(db)
    await other.begin()
    await other.sql`select from ops_mission_steps where id = ${held.step('a')} for update`
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 1, failed_steps: 0 })
    expect(await statusesOf(db.sql, free.id)).toEqual({ a: 'queued' })
    await other.rollback()
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 1, failed_steps: 0 })
    expect(await statusesOf(db.sql, held.id)).toEqual({ a: 'queued' })
  })
})
