/** Races over missions and leases, forced: one transaction holds its locks while another call meets them. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSession, type Session, whileBlocked } from './contention.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import {
  type Claim,
  type Connection,
  cancelMission,
  cancelStep,
  claim,
  claimOne,
  complete,
  endsOf,
  fail,
  lease,
  type Mission,
  missionRow,
  recoverExpired,
  recoverStale,
  registerWorker,
  release,
  renew,
  runsOf,
  type StepTemplate,
  snooze,
  startMission,
  statusesOf,
  stepById,
} from './work.js'
import { brokenInvariants, stopClock } from './world.js'

let db: SharedDatabase
let holder: Session
let one: Session
let two: Session
let worker: string

beforeAll(async () => {
  db = await openSharedDatabase()
  holder = await openSession(db)
  one = await openSession(db)
  two = await openSession(db)
})
beforeEach(async () => {
  await db.reset()
  worker = await registerWorker(db.sql)
})
afterEach(async () => {
  // In this order: whoever waits, waits for one that stands before.
  await holder.rollback()
  await one.rollback()
  await two.rollback()
  expect(await brokenInvariants(db.sql)).toEqual([])
})

/** A mission whose two steps `a` and `b` are both claimed. */
async function pair(step: StepTemplate = {}): Promise<{ mission: Mission; a: Claim; b: Claim }> {
  const mission = await startMission(db.sql, [
    { key: 'a', depends_on: [], ...step },
    { key: 'b', depends_on: [], ...step },
  ])
  const claims = await claim(db.sql, worker, { leaseSeconds: 60 })
  const byKey = (key: string) => {
    const found = claims.find((c) => c.key === key)
    if (!found) throw new Error(`step ${key} is not claimed`)
    return found
  }
  return { mission, a: byKey('a'), b: byKey('b') }
}

const pastLeases = async () => (await stopClock(db.sql, '2100-01-01T00:00:00Z')).now()

/** What ends an attempt: an answer for the step, ok or lost, or an operator's order, which always succeeds. */
type Verb = (sql: Connection, claimed: Claim) => Promise<string | undefined>
const verbs: Record<string, Verb> = {
  complete: async (sql, c) => (await complete(sql, [lease(c)]))[0]?.outcome,
  die: async (sql, c) => (await fail(sql, [{ ...lease(c), error: 'no', permanent: true }]))[0]?.outcome,
  fail: async (sql, c) => (await fail(sql, [{ ...lease(c), error: 'not yet' }]))[0]?.outcome,
  snooze: async (sql, c) => (await snooze(sql, [{ ...lease(c), seconds: 60 }]))[0]?.outcome,
  release: async (sql, c) => (await release(sql, [lease(c)]))[0]?.outcome,
  'cancel step': async (sql, c) => (await cancelStep(sql, c.step_id)) && 'ok',
  'cancel mission': async (sql, c) => (await cancelMission(sql, c.mission_id)) && 'ok',
}
const combinations = Object.keys(verbs).flatMap((first) =>
  Object.keys(verbs).map((second): [string, string] => [first, second]),
)
const verb = (name: string) => verbs[name] ?? (() => Promise.reject(new Error(name)))

describe('the last two steps of a mission end at once', () => {
  // The engine locks steps in the order of their ids, so the earlier of the two is once the first to end and once the second.
  const inEveryOrder = combinations.flatMap(([first, second]) => [
    { first, second, of: 'earlier' },
    { first, second, of: 'later' },
  ])
  test.each(inEveryOrder)(
    '$first of the $of step, and meanwhile $second of the other: both count, and the mission ends once',
    async ({ first, second, of }) => {
      const { mission, a, b } = await pair()
      await one.begin()
      expect(await verb(first)(one.sql, of === 'earlier' ? a : b)).toBe('ok')
      const { answer } = await whileBlocked(db.sql, two, (sql) => verb(second)(sql, of === 'earlier' ? b : a))
      await one.commit()
      const endedByFirst = first === 'die' || first === 'cancel mission'
      expect(await answer).toBe(endedByFirst && !second.startsWith('cancel') ? 'lost' : 'ok')
      const ended = Object.values(await statusesOf(db.sql, mission.id)).every((status) => status !== 'queued')
      expect(await endsOf(db.sql, mission.id)).toHaveLength(ended ? 1 : 0)
      expect(await brokenInvariants(db.sql)).toEqual([])
    },
  )

  test.each(combinations.filter((pair) => pair.includes('complete')))(
    '%s is taken back, and meanwhile %s: only the second counts',
    async (first, second) => {
      const { mission, a, b } = await pair()
      await one.begin()
      await verb(first)(one.sql, a)
      const { answer } = await whileBlocked(db.sql, two, (sql) => verb(second)(sql, b))
      await one.rollback()
      expect(await answer).toBe('ok')
      const endedBySecond = second === 'die' || second === 'cancel mission'
      expect((await stepById(db.sql, a.step_id)).status).toBe(endedBySecond ? 'cancelled' : 'running')
      expect(await endsOf(db.sql, mission.id)).toHaveLength(endedBySecond ? 1 : 0)
      expect(await brokenInvariants(db.sql)).toEqual([])
    },
  )

  test('what comes after both is released by whoever comes last', async () => {
    const mission = await startMission(db.sql, [
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
      { key: 'join', depends_on: ['a', 'b'] },
    ])
    const [first, second] = await claim(db.sql, worker)
    if (!first || !second) throw new Error('two steps expected')
    await one.begin()
    await complete(one.sql, [lease(first)])
    const { answer } = await whileBlocked(db.sql, two, (sql) => complete(sql, [lease(second)]))
    await one.commit()
    await answer
    expect((await statusesOf(db.sql, mission.id)).join).toBe('queued')
  })
})

describe('the same attempt is ended twice at once', () => {
  const workerVerbs = ['complete', 'die', 'fail', 'snooze', 'release']
  test.each(workerVerbs.flatMap((first) => workerVerbs.map((second) => [first, second])))(
    '%s, and meanwhile %s: the first counts, the second is lost',
    async (first = '', second = '') => {
      const { a } = await pair()
      await one.begin()
      expect(await verb(first)(one.sql, a)).toBe('ok')
      const { answer } = await whileBlocked(db.sql, two, (sql) => verb(second)(sql, a))
      await one.commit()
      expect(await answer).toBe('lost')
      expect(await runsOf(db.sql, a.step_id)).toHaveLength(1)
    },
  )
})

describe('batches over the same missions in opposite orders', () => {
  const batchVerbs: Record<string, (sql: Connection, claims: Claim[]) => Promise<{ outcome: string }[]>> = {
    complete: (sql, claims) => complete(sql, claims.map(lease)),
    die: (sql, claims) =>
      fail(
        sql,
        claims.map((c) => ({ ...lease(c), error: 'no', permanent: true })),
      ),
    snooze: (sql, claims) =>
      snooze(
        sql,
        claims.map((c) => ({ ...lease(c), seconds: 1 })),
      ),
    release: (sql, claims) => release(sql, claims.map(lease)),
  }
  const names = Object.keys(batchVerbs)
  test.each(names.flatMap((first) => names.map((second) => [first, second])))(
    'wait for each other without a deadlock: %s and %s',
    async (first = '', second = '') => {
      const pairs = [await pair(), await pair()]
      await holder.begin()
      await holder.sql`select from ops_missions order by id limit 1 for update`
      const calls = [
        await whileBlocked(db.sql, one, async (sql) =>
          batchVerbs[first]?.(
            sql,
            pairs.map((p) => p.a),
          ),
        ),
        await whileBlocked(db.sql, two, async (sql) =>
          batchVerbs[second]?.(sql, pairs.map((p) => p.b).reverse()),
        ),
      ]
      await holder.rollback()
      for (const { answer } of calls) expect(await answer).toHaveLength(2)
      expect(await brokenInvariants(db.sql)).toEqual([])
    },
  )
})

/** Both ways of recovery, made due for every step that runs now. */
const recoveries: [string, (sql: Connection) => Promise<number>][] = [
  [
    'expiry',
    async (sql) => {
      const { requeued_steps, failed_steps } = await recoverExpired(sql)
      return requeued_steps + failed_steps
    },
  ],
  ['staleness', (sql) => recoverStale(sql)],
]

describe.each(recoveries)('recovery by %s, and a completion', (_, recover) => {
  test('of the same step that has just been recorded: it stays a success', async () => {
    const { a } = await pair()
    await pastLeases()
    await one.begin()
    await complete(one.sql, [lease(a)])
    expect(await recover(two.sql)).toBe(1) // b alone
    await one.commit()
    expect(await recover(two.sql)).toBe(0)
    expect(await stepById(db.sql, a.step_id)).toMatchObject({ status: 'succeeded', failure_count: 0 })
  })

  test.each([
    ['requeued', {}],
    ['dead-lettered', { max_retries: 1 }],
  ])('of the same step that is being %s: the result is kept as evidence alone', async (_, step) => {
    const { a } = await pair(step)
    await pastLeases()
    await one.begin()
    await recover(one.sql)
    const { answer } = await whileBlocked(db.sql, two, (sql) => complete(sql, [{ ...lease(a), result: 1 }]))
    await one.commit()
    expect(await answer).toMatchObject([{ outcome: 'lost' }])
    expect(await runsOf(db.sql, a.step_id)).toHaveLength(1)
    expect(await db.sql`select outcome from ops.late_results`).toEqual([{ outcome: 'succeeded' }])
  })

  test('of the other of the last two steps, which comes first: the dead one is met next time', async () => {
    const { mission, a } = await pair({ max_retries: 1 })
    await pastLeases()
    await one.begin()
    await complete(one.sql, [lease(a)])
    expect(await recover(two.sql)).toBe(0) // its mission is being rolled up
    await one.commit()
    expect(await recover(two.sql)).toBe(1)
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'succeeded', b: 'failed' })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed'])
  })

  test('of the other of the last two steps, which comes second: it is lost, for the mission has ended', async () => {
    const { mission, a } = await pair()
    await db.sql`update ops_mission_steps set max_retries = 1 where id = ${mission.step('b')}`
    await pastLeases()
    await one.begin()
    expect(await recover(one.sql)).toBe(1) // b; a is stopped with its mission
    const { answer } = await whileBlocked(db.sql, two, (sql) => complete(sql, [lease(a)]))
    await one.commit()
    expect(await answer).toMatchObject([{ outcome: 'lost' }])
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed'])
  })
})

describe('recovery and the worker meet', () => {
  test.each([
    ['completed', complete],
    ['renewed', renew],
    ['released', release],
  ])('a step that is being %s is left alone, without waiting', async (_, call) => {
    const { a } = await pair()
    await pastLeases()
    await one.begin()
    expect(await call(one.sql, [lease(a)])).toMatchObject([{ outcome: 'ok' }])
    expect(await recoverExpired(two.sql)).toEqual({ requeued_steps: 1, failed_steps: 0 }) // b alone
    await one.commit()
    expect(await recoverExpired(two.sql)).toEqual({ requeued_steps: 0, failed_steps: 0 })
  })

  test.each([
    ['requeued', {}],
    ['dead-lettered', { max_retries: 1 }],
  ])('a result for a step whose recovery (%s) is taken back counts', async (_, step) => {
    const { a } = await pair(step)
    await pastLeases()
    await one.begin()
    await recoverExpired(one.sql)
    const { answer } = await whileBlocked(db.sql, two, (sql) => complete(sql, [lease(a)]))
    await one.rollback()
    expect(await answer).toMatchObject([{ outcome: 'ok' }])
  })

  test('a renewal that meets recovery is told busy at once, and lost afterwards', async () => {
    const { a } = await pair()
    await pastLeases()
    await one.begin()
    await recoverExpired(one.sql)
    expect(await renew(two.sql, [lease(a)])).toMatchObject([{ outcome: 'busy', lease_expires_at: null }])
    await one.commit()
    expect(await renew(two.sql, [lease(a)])).toMatchObject([{ outcome: 'lost' }])
  })

  test('two recoveries share the work and never wait for each other', async () => {
    for (let i = 0; i < 3; i++) await pair(i === 0 ? { max_retries: 1 } : {})
    await pastLeases()
    await one.begin()
    expect(await recoverExpired(one.sql)).toEqual({ requeued_steps: 4, failed_steps: 2 })
    expect(await recoverExpired(two.sql)).toEqual({ requeued_steps: 0, failed_steps: 0 })
  })
})

describe('an order to cancel and a claim meet', () => {
  // The first claim of a mission holds the mission as well as the step; later ones hold the step alone.
  test.each([
    ['first', 'mission'],
    ['first', 'step'],
    ['later', 'mission'],
    ['later', 'step'],
  ])('during its %s claim, cancelling a %s waits and ends that attempt', async (when, what) => {
    const mission = await startMission(db.sql, [{ key: 'a' }, { key: 'b' }])
    if (when === 'later') await complete(db.sql, [lease(await claimOne(db.sql, worker))])
    await one.begin()
    const claimed = await claimOne(one.sql, worker)
    const { answer } = await whileBlocked(db.sql, two, async (sql) =>
      what === 'mission' ? await cancelMission(sql, mission.id) : await cancelStep(sql, claimed.step_id),
    )
    await one.commit()
    expect(await answer).toMatchObject({ status: 'cancelled' })
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'cancelled' })
    expect(await runsOf(db.sql, claimed.step_id)).toEqual([[1, 'cancelled']])
    expect(await complete(db.sql, [lease(claimed)])).toMatchObject([{ outcome: 'lost' }])
  })

  test('a claim passes over what is being cancelled, without waiting', async () => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    await one.begin()
    await cancelMission(one.sql, mission.id)
    expect(await claim(two.sql, worker)).toEqual([])
    await one.rollback()
    expect(await claim(two.sql, worker)).toHaveLength(1)
  })

  test('a mission whose sibling is cancelled during its first claim is running', async () => {
    const mission = await startMission(db.sql, [
      { key: 'a', depends_on: [], priority: -1 },
      { key: 'b', depends_on: [] },
    ])
    await one.begin()
    await one.sql`select from ops_missions where id = ${mission.id} for update`
    await two.begin()
    await claimOne(two.sql, worker)
    const { answer } = await whileBlocked(db.sql, one, (sql) => cancelStep(sql, mission.step('b')))
    await two.commit()
    expect(await answer).toEqual({ status: 'cancelled', mission_status: 'running' })
    await one.commit()
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'running' })
  })

  test('a mission whose other first claim is taken back is started by the next recovery', async () => {
    const mission = await startMission(db.sql, [
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
    ])
    await one.begin()
    await claimOne(one.sql, worker)
    await claimOne(two.sql, worker)
    await one.rollback()
    await recoverExpired(db.sql)
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'running' })
  })
})

describe('zombies', () => {
  test('two live workers of one name never share a step, and neither can end what the other holds', async () => {
    const namesake = await registerWorker(db.sql, 'worker-1')
    await startMission(db.sql, [
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
    ])
    await one.begin()
    await two.begin()
    const [mine, theirs] = [await claimOne(one.sql, worker), await claimOne(two.sql, namesake)]
    await one.commit()
    await two.commit()
    expect(mine.step_id).not.toBe(theirs.step_id)
    const crossed = [
      { step_id: mine.step_id, token: theirs.token },
      { step_id: theirs.step_id, token: mine.token },
    ]
    for (const call of [complete, release, renew])
      expect((await call(db.sql, crossed)).map(({ outcome }) => outcome)).toEqual(['lost', 'lost'])
    expect(await complete(db.sql, [lease(mine), lease(theirs)])).toMatchObject([
      { outcome: 'ok' },
      { outcome: 'ok' },
    ])
  })

  test('a restarted worker of the same name leaves the leases of its forerunner alone', async () => {
    const { a, b } = await pair()
    const restarted = await registerWorker(db.sql, 'worker-1')
    expect(restarted).not.toBe(worker)
    expect(await claim(db.sql, restarted)).toEqual([])
    expect(await renew(db.sql, [lease(a), lease(b)])).toMatchObject([{ outcome: 'ok' }, { outcome: 'ok' }])
  })

  test('a worker that wakes up after its step went to its namesake loses every call', async () => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    const zombie = await claimOne(db.sql, worker, { leaseSeconds: 60 })
    await pastLeases()
    await recoverExpired(db.sql)
    await db.sql`update ops_mission_steps set run_at = ops.now() where id = ${mission.step('a')}`
    const namesake = await registerWorker(db.sql, 'worker-1')
    const current = await claimOne(db.sql, namesake)
    for (const name of ['fail', 'die', 'snooze', 'release', 'complete'])
      expect(await verb(name)(db.sql, zombie)).toBe('lost')
    expect(await renew(db.sql, [lease(zombie)])).toMatchObject([{ outcome: 'lost' }])
    expect(await stepById(db.sql, current.step_id)).toMatchObject({
      status: 'running',
      lease_token: current.token,
    })
    expect(await complete(db.sql, [{ ...lease(current), result: 'mine' }])).toMatchObject([{ outcome: 'ok' }])
    expect(await complete(db.sql, [{ ...lease(zombie), result: 'zombie' }])).toMatchObject([
      { outcome: 'lost' },
    ])
    expect((await stepById(db.sql, current.step_id)).result).toBe('mine')
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:succeeded'])
  })
})
