/** Steps that are handed to workers while they sleep: claimed by whoever makes them, told on a channel that only their worker knows. */
import postgres from 'postgres'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readHandedStep } from '../../engine/index.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { openSession, type Session } from './contention.js'
import { emitOne, respond } from './loop.js'
import { approve, noop, proposeAll, propose as proposeThrough } from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import {
  type Claim,
  type Connection,
  claim,
  claimOne,
  complete,
  lease,
  recoverExpired,
  registerWorker,
  release,
  renew,
  runsOf,
  type StepTemplate,
  startMission,
  statusesOf,
  stepById,
} from './work.js'
import { brokenInvariants, type Clock, setPolicy, stopClock } from './world.js'

const CHANNEL = `ops_hand_${'0123456789abcdef'.repeat(2)}`

let db: SharedDatabase
let clock: Clock
let worker: string
let holder: Session
let heard: { channel: string; payload: string }[]

beforeAll(async () => {
  db = await openSharedDatabase()
  holder = await openSession(db)
  const ears = postgres(db.url, { max: 1, onnotice: () => undefined })
  onFileEnd(() => ears.end({ timeout: 1 }))
  for (const channel of [CHANNEL, 'ops_steps', 'test_end'])
    await ears.listen(channel, (payload) => heard.push({ channel, payload }))
})
beforeEach(async () => {
  await db.reset()
  await db.sql`delete from ops.sleepers`
  clock = await stopClock(db.sql)
  worker = await registerWorker(db.sql)
  heard = []
})
afterEach(async () => {
  await holder.rollback()
  expect(await brokenInvariants(db.sql)).toEqual([])
})

/** As the worker's sign of life when it lies down. */
const lieDown = (
  takes: string[] | null = ['noop'],
  sql: Connection = db.sql,
  leaseSeconds: number | null = null,
) => sql`select ops_worker_heartbeat(${worker}, true, null, ${takes}, ${takes && CHANNEL}, ${leaseSeconds})`

/** One mission of one step, made by itself; answers its step. */
async function propose(step: StepTemplate = {}, sql: Connection = db.sql): Promise<string> {
  return (await startMission(sql, [{ key: 'a', ...step }])).step('a')
}

/** What has been told until now, but for this question. */
async function told() {
  await db.sql`select pg_notify('test_end', '')`
  while (heard.at(-1)?.channel !== 'test_end') await new Promise((resolve) => setTimeout(resolve, 5))
  heard.pop()
  return heard.splice(0)
}

const handed = (workerId = worker) => db.sql<Claim[]>`select * from ops_handed_steps(${workerId})`

describe('a step that is made while a worker sleeps', () => {
  test('is handed to it: leased to it when it is committed, and told to it alone', async () => {
    await lieDown()
    const stepId = await propose({ params: { city: 'Łódź' } })

    const [message, ...others] = await told()
    expect(others).toEqual([])
    expect(message?.channel).toBe(CHANNEL)
    const step = readHandedStep(message?.payload ?? '')
    expect(step).toMatchObject({
      step_id: stepId,
      executor: 'noop',
      params: { city: 'Łódź' },
      attempt: 1,
      failure_count: 0,
      max_retries: 3,
      lease_seconds: 300,
    })
    expect(await stepById(db.sql, stepId)).toMatchObject({
      status: 'running',
      lease_token: step?.token,
      attempt: 1,
    })
    expect(await claim(db.sql, worker)).toEqual([])
    if (!step) throw new Error('nothing was handed over')
    expect(await complete(db.sql, [{ ...lease(step), result: {} }])).toMatchObject([
      { outcome: 'ok', mission_status: 'succeeded' },
    ])
  })

  test('is one: the next stays queued until the worker has lain down again', async () => {
    await lieDown()
    await propose()
    const second = await propose()
    expect(await stepById(db.sql, second)).toMatchObject({ status: 'queued' })
    await told()
    await lieDown()
    const third = await propose()
    // Of two that came at the same moment, the first; whoever sleeps is told of the other.
    expect(await stepById(db.sql, second)).toMatchObject({ status: 'running' })
    expect(await stepById(db.sql, third)).toMatchObject({ status: 'queued' })
  })

  test('that another of the same moment displaces is told to the others who sleep', async () => {
    const waiting = await propose()
    const other = await registerWorker(db.sql, 'worker-2', ['http'])
    await db.sql`select ops_worker_heartbeat(${other}, true)`
    await lieDown()
    const stepId = await propose()
    expect((await told()).map(({ channel }) => channel)).toEqual([CHANNEL, 'ops_steps'])
    expect(await stepById(db.sql, waiting)).toMatchObject({ status: 'running' })
    expect(await stepById(db.sql, stepId)).toMatchObject({ status: 'queued' })
  })

  test('is handed over past older work, whose missions nobody may find locked meanwhile', async () => {
    const older = await startMission(db.sql, [{ key: 'a' }])
    await clock.advance(1)
    await lieDown()
    await holder.begin()
    await propose({}, holder.sql)
    await db.sql`select from ops_missions where id = ${older.id} for update nowait`
    await holder.commit()
    expect(await statusesOf(db.sql, older.id)).toEqual({ a: 'queued' })
    expect(await handed()).toHaveLength(1)
  })

  test('is leased for as long as the worker wishes', async () => {
    await lieDown(['noop'], db.sql, 20)
    await propose()
    expect(await handed()).toMatchObject([{ lease_seconds: 20 }])
  })

  test('says nothing about whether that worker lives', async () => {
    await lieDown()
    const seen = () => db.sql`select last_seen_at from ops.workers where id = ${worker}`
    const before = await seen()
    await clock.advance(12)
    await propose()
    expect(await handed()).toHaveLength(1)
    expect(await seen()).toEqual(before)
  })

  test('stays queued for all when its transaction is rolled back, and the worker sleeps on', async () => {
    await lieDown()
    await holder.begin()
    await propose({}, holder.sql)
    await holder.rollback()
    expect(await told()).toEqual([])
    expect(await db.sql`select worker_id from ops.sleepers`).toEqual([{ worker_id: worker }])
    expect(await handed()).toEqual([])
  })

  test('whose params are too long for a notification is announced, and asked for', async () => {
    await lieDown()
    const text = 'ü'.repeat(4000)
    const stepId = await propose({ params: { text } })
    expect(await told()).toEqual([{ channel: CHANNEL, payload: '' }])
    expect(await handed()).toMatchObject([{ step_id: stepId, params: { text }, lease_seconds: 300 }])
    expect(await handed(await registerWorker(db.sql, 'worker-2'))).toEqual([])
  })
})

describe('of a mission that is made by itself', () => {
  beforeEach(() => lieDown())
  const expectHanded = async (missionId: string, statuses: Record<string, string>) => {
    expect(await handed()).toMatchObject([{ mission_id: missionId }])
    expect(await statusesOf(db.sql, missionId)).toEqual(statuses)
    expect((await told()).map(({ channel }) => channel)).toEqual([CHANNEL])
  }

  test('the first of steps in order is handed over', async () => {
    const { id } = await startMission(db.sql, [{ key: 'a' }, { key: 'b' }])
    await expectHanded(id, { a: 'running', b: 'waiting' })
  })

  test('none of steps that may all begin is: they are told to all', async () => {
    const { id } = await startMission(db.sql, [{ key: 'a' }, { key: 'b', depends_on: [] }])
    expect(await statusesOf(db.sql, id)).toEqual({ a: 'queued', b: 'queued' })
    expect(await told()).toEqual([{ channel: 'ops_steps', payload: '' }])
  })

  test('the step is handed over when a person approves it', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    const { proposal_id } = await proposeThrough(db.sql, noop())
    expect(await told()).toEqual([])
    const { mission_id } = await approve(db.sql, proposal_id ?? '')
    await expectHanded(mission_id ?? '', { 'step-1': 'running' })
  })

  test('the step is handed over when a reaction starts it', async () => {
    const { mission_id } = await respond(db.sql, await emitOne(db.sql, { type: 'test:event' }))
    await expectHanded(mission_id ?? '', { 'step-1': 'running' })
  })
})

test('nothing is handed over of missions that are made together', async () => {
  await lieDown()
  await proposeAll(db.sql, [{ template: noop() }, { template: noop() }])
  expect(await handed()).toEqual([])
  expect(await told()).toEqual([{ channel: 'ops_steps', payload: '' }])
})

describe('nothing is handed over', () => {
  const expectQueued = async (step: StepTemplate = {}) => {
    expect(await stepById(db.sql, await propose(step))).toMatchObject({ status: 'queued', attempt: 0 })
  }
  const expectAllTold = async () => expect(await told()).toEqual([{ channel: 'ops_steps', payload: '' }])

  test('to a worker that only wants to be woken', async () => {
    await lieDown(null)
    // Of a session that has never handed anything over.
    const { sql } = await openSession(db)
    expect(await stepById(db.sql, await propose({}, sql))).toMatchObject({ status: 'queued', attempt: 0 })
    await expectAllTold()
  })

  test('of executors that the worker has no room for', async () => {
    await lieDown(['http'])
    await expectQueued()
    await expectAllTold()
  })

  test('to a worker that has not been seen for fifteen seconds', async () => {
    await lieDown()
    await clock.advance(15)
    await expectQueued()
    await expectAllTold()
  })

  test('to a worker that does not sleep any more', async () => {
    await lieDown()
    await db.sql`select ops_worker_heartbeat(${worker})`
    await expectQueued()
    expect(await told()).toEqual([])
  })

  test('while claims or the executor are paused', async () => {
    await lieDown()
    await setPolicy(db.sql, 'control', { pause: { claims: true } })
    await expectQueued()
    await setPolicy(db.sql, 'control', { pause: { executors: ['noop'] } })
    await expectQueued()
    expect(await db.sql`select worker_id from ops.sleepers`).toEqual([{ worker_id: worker }])
  })

  test('before its time', async () => {
    await lieDown()
    await expectQueued({ delay_seconds: 10 })
  })

  test('by a transaction that would have to fail where rows have changed', async () => {
    await lieDown()
    await holder.begin('repeatable read')
    await holder.sql`select from ops_policy`
    await lieDown()
    expect(await stepById(holder.sql, await propose({}, holder.sql))).toMatchObject({ status: 'queued' })
    await holder.commit()
  })
})

describe('a transaction that hands over and stays open', () => {
  test('does not hold up the signs of life of its worker', async () => {
    await lieDown()
    await holder.begin()
    await propose({}, holder.sql)
    const { sql } = await openSession(db)
    await sql`set lock_timeout = '5s'`
    await lieDown(['noop'], sql)
    await sql`select ops_worker_heartbeat(${worker})`
    await holder.commit()
    expect(await handed()).toHaveLength(1)
  })
})

describe('a step that was handed over', () => {
  test('goes back at once and without a failure when its worker has not begun it within a minute', async () => {
    await lieDown()
    const stepId = await propose({ max_retries: 1 })
    await clock.advance(60)
    expect(await recoverExpired(db.sql)).toMatchObject({ requeued_steps: 0, failed_steps: 0 })
    await clock.advance(1)
    expect(await recoverExpired(db.sql)).toMatchObject({ requeued_steps: 1, failed_steps: 0 })
    expect(await stepById(db.sql, stepId)).toMatchObject({ status: 'queued', failure_count: 0, ready: true })
    expect(await runsOf(db.sql, stepId)).toEqual([[1, 'released']])
    expect(await claimOne(db.sql, worker)).toMatchObject({ step_id: stepId, attempt: 2 })
  })

  test('stays when only an earlier handing over of it is a minute old', async () => {
    await lieDown()
    const stepId = await propose()
    await db.sql`
      insert into ops.claims (steps, claimed_at, look_at, handed_to, handed_until)
      select steps, claimed_at - interval '2 minutes', look_at, handed_to, handed_until - interval '2 minutes' from ops.claims`
    expect(await recoverExpired(db.sql)).toMatchObject({ requeued_steps: 0, failed_steps: 0 })
    expect(await stepById(db.sql, stepId)).toMatchObject({ status: 'running' })
  })

  test('goes back without a failure when its lease was shorter than that', async () => {
    await lieDown(['noop'], db.sql, 10)
    const stepId = await propose({ max_retries: 1 })
    await clock.advance(11)
    expect(await recoverExpired(db.sql)).toMatchObject({ requeued_steps: 1, failed_steps: 0 })
    expect(await stepById(db.sql, stepId)).toMatchObject({ status: 'queued', failure_count: 0 })
  })

  test('is its worker’s like any other once that has prolonged it', async () => {
    await lieDown()
    const stepId = await propose({ max_retries: 1 })
    const [step] = await handed()
    if (!step) throw new Error('nothing was handed over')
    await clock.advance(1)
    await renew(db.sql, [lease(step)])
    expect(await handed()).toEqual([])
    await clock.advance(200)
    expect(await recoverExpired(db.sql)).toMatchObject({ requeued_steps: 0, failed_steps: 0 })
    await clock.advance(102)
    expect(await recoverExpired(db.sql)).toMatchObject({ requeued_steps: 0, failed_steps: 1 })
    expect(await stepById(db.sql, stepId)).toMatchObject({ status: 'failed' })
  })

  test('that somebody is ending at that moment is not waited for', async () => {
    await lieDown()
    await propose()
    const [step] = await handed()
    if (!step) throw new Error('nothing was handed over')
    await clock.advance(61)
    await holder.begin()
    await complete(holder.sql, [{ ...lease(step), result: {} }])
    expect(await recoverExpired(db.sql)).toMatchObject({ requeued_steps: 0, failed_steps: 0 })
    await holder.commit()
    expect(await statusesOf(db.sql, step.mission_id)).toEqual({ a: 'succeeded' })
  })

  test('can be given back by its worker, which costs no failure', async () => {
    await lieDown()
    const stepId = await propose()
    const [step] = await handed()
    if (!step) throw new Error('nothing was handed over')
    await release(db.sql, [lease(step)])
    expect(await stepById(db.sql, stepId)).toMatchObject({ status: 'queued', failure_count: 0 })
    expect(await handed()).toEqual([])
  })
})

test('who wants to be handed steps names a channel that nobody can guess, and a lease within its range', async () => {
  const beat = (channel: string | null, seconds: number | null) =>
    db.sql`select ops_worker_heartbeat(${worker}, true, null, ${['noop']}, ${channel}, ${seconds})`
  for (const channel of [null, 'ops_steps', 'ops_hand_1', `${CHANNEL}0`])
    await expect(beat(channel, null)).rejects.toMatchObject({
      code: 'OP011',
      message: expect.stringContaining('channel'),
    })
  await expect(beat(CHANNEL, 0)).rejects.toMatchObject({ code: 'OP011' })
  await expect(beat(CHANNEL, 86_401)).rejects.toMatchObject({ code: 'OP011' })
})
