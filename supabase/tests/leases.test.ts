/** Leases: what a claim gives, how each attempt ends, and what becomes of answers that come too late. */
import fc from 'fast-check'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.js'
import { openSessions, whileBlocked } from './contention.js'
import {
  claim,
  claimOne,
  complete,
  fail,
  lease,
  missionRow,
  type Outcome,
  registerWorker,
  release,
  renew,
  runsOf,
  type StepTemplate,
  snooze,
  startMission,
  stepById,
} from './work.js'
import { brokenInvariants, type Clock, openDatabase, setPolicy, stopClock } from './world.js'

let db: TestDatabase
let clock: Clock
let worker: string
let executor: string
let count = 0

beforeAll(async () => {
  db = await openDatabase()
  clock = await stopClock(db.sql)
})

// Each test has an executor of its own name, so that none claims another's steps.
beforeEach(async () => {
  executor = `exec-${++count}`
  worker = await registerWorker(db.sql, 'worker-1', [executor])
  return async () => {
    await setPolicy(db.sql, 'worker_policy', {})
    await setPolicy(db.sql, 'control', {})
    expect(await brokenInvariants(db.sql)).toEqual([])
  }
})

const nowhere = '00000000-0000-7000-8000-000000000000'
const start = (step: StepTemplate = {}) => startMission(db.sql, [{ kind: executor, key: 'a', ...step }])
const startMany = async (n: number) => {
  for (let i = 0; i < n; i++) await start()
}
const next = (limit = 10, leaseSeconds: number | null = null) =>
  claim(db.sql, worker, { executors: [executor], limit, leaseSeconds })
const nextOne = () => claimOne(db.sql, worker, { executors: [executor] })
const secondsFromNow = async (seconds: number) => new Date((await clock.now()).getTime() + seconds * 1000)

describe('a claim', () => {
  test('hands on the results that made its steps claimable, though they came while it was under way', async () => {
    const mission = await startMission(db.sql, [
      { kind: executor, key: 'a' },
      { kind: executor, key: 'b', params: { of: '{{steps.a.result.n}}' } },
    ])
    const first = await nextOne()
    const [holder, claimer] = await openSessions(db, 2)
    if (!holder || !claimer) throw new Error('no sessions')
    await holder.begin()
    // A claim reads the control switch before it looks for steps.
    await holder.sql`lock table ops_policy in access exclusive mode`
    const { answer } = await whileBlocked(db.sql, claimer, (sql) =>
      claim(sql, worker, { executors: [executor], limit: 1, leaseSeconds: 60 }),
    )
    await complete(db.sql, [{ ...lease(first), result: { n: 5 } }])
    await holder.rollback()
    expect(await answer).toMatchObject([{ step_id: mission.step('b'), inputs: { a: { n: 5 } } }])
  })

  test('takes only the executors that it names, and none without', async () => {
    await start()
    await start({ kind: `${executor}-other` })
    expect(await claim(db.sql, worker, { executors: ['nothing-offers-this'] })).toEqual([])
    expect(await claim(db.sql, worker, { executors: [] })).toEqual([])
    expect((await claim(db.sql, worker, { executors: [executor] })).map((c) => c.attempt)).toEqual([1])
    expect(await claim(db.sql, worker, { executors: [executor, `${executor}-other`] })).toHaveLength(1)
  })

  test('takes the executor that a step names instead of its kind', async () => {
    const mission = await start({ kind: 'anything:scout', executor })
    expect((await nextOne()).step_id).toBe(mission.step('a'))
  })

  test('takes at most p_limit', async () => {
    await startMany(5)
    expect(await next(2)).toHaveLength(2)
    expect(await next(10)).toHaveLength(3)
    expect(await next(10)).toEqual([])
  })

  test('gives each step a token of its own and a deadline by the database clock', async () => {
    await startMany(3)
    const claims = await next(10, 90)
    expect(new Set(claims.map((c) => c.token)).size).toBe(3)
    for (const c of claims) {
      expect(c.lease_expires_at).toEqual(await secondsFromNow(90))
      expect(c.lease_seconds).toBe(90)
    }
  })

  test('again gives a fresh token, and the old one is void', async () => {
    await start()
    const first = await nextOne()
    await release(db.sql, [lease(first)])
    const second = await nextOne()
    expect(second.token).not.toBe(first.token)
    expect(second.attempt).toBe(2)
    expect(await renew(db.sql, [lease(first)])).toMatchObject([{ outcome: 'lost' }])
    expect(await complete(db.sql, [lease(first)])).toMatchObject([{ outcome: 'lost' }])
    expect(await complete(db.sql, [lease(second)])).toMatchObject([{ outcome: 'ok' }])
  })

  test('lasts as long as the call says, then policy, then the worker, then five minutes', async () => {
    await startMany(4)
    const own = await registerWorker(db.sql, 'own', [executor], { lease_minutes: 2 })
    const plain = await nextOne()
    expect(plain.lease_seconds).toBe(300)
    expect((await claimOne(db.sql, own, { executors: [executor] })).lease_seconds).toBe(120)
    await setPolicy(db.sql, 'worker_policy', { lease_minutes: 7 })
    expect((await claimOne(db.sql, own, { executors: [executor] })).lease_seconds).toBe(420)
    expect((await claimOne(db.sql, own, { executors: [executor], leaseSeconds: 30 })).lease_seconds).toBe(30)
  })

  test('settles max_retries: the step, then policy, then the worker, then three', async () => {
    await start({ max_retries: 9 })
    await startMany(3)
    const own = await registerWorker(db.sql, 'own', [executor], { max_retries: 4 })
    const claims = [await nextOne(), await nextOne(), await claimOne(db.sql, own, { executors: [executor] })]
    await setPolicy(db.sql, 'worker_policy', { max_retries: 5 })
    claims.push(await claimOne(db.sql, own, { executors: [executor] }))
    expect(claims.map((c) => c.max_retries)).toEqual([9, 3, 4, 5])
  })

  test('refuses limits and leases that make no sense, with OPS_011', async () => {
    for (const limit of [0, -1, 1001]) await expect(next(limit)).rejects.toMatchObject({ code: 'OP011' })
    for (const seconds of [0, 86401]) await expect(next(1, seconds)).rejects.toMatchObject({ code: 'OP011' })
    await expect(db.sql`select * from ops_claim_steps(${worker}, null, 1)`).rejects.toMatchObject({
      code: 'OP011',
    })
    // No limit at all would take everything.
    await start()
    await expect(db.sql`select * from ops_claim_steps(${worker}, ${[executor]}, null)`).rejects.toMatchObject(
      { code: 'OP011' },
    )
  })

  test('by ops_claim_next_step takes one step and carries its token', async () => {
    await start({ priority: -100 })
    const [step] = await db.sql<{ id: string; lease_token: string; lease_expires_at: Date }[]>`
      select * from ops_claim_next_step(3)`
    if (!step) throw new Error('nothing claimed')
    expect(step.lease_expires_at).toEqual(await secondsFromNow(180))
    expect(await complete(db.sql, [{ step_id: step.id, token: step.lease_token }])).toMatchObject([
      { outcome: 'ok', mission_status: 'succeeded' },
    ])
  })
})

describe('pausing', () => {
  test('claims stops all claiming; what is leased goes on', async () => {
    await startMany(2)
    const leased = await nextOne()
    await setPolicy(db.sql, 'control', { pause: { claims: true } })
    expect(await next()).toEqual([])
    expect(await db.sql`select * from ops_claim_next_step(5)`).toEqual([])
    expect(await renew(db.sql, [lease(leased)])).toMatchObject([{ outcome: 'ok' }])
    expect(await complete(db.sql, [lease(leased)])).toMatchObject([{ outcome: 'ok' }])
    await setPolicy(db.sql, 'control', { pause: { claims: false } })
    expect(await next()).toHaveLength(1)
  })

  test.each([
    ['control', (name: string) => ({ pause: { executors: [name] } })],
    ['worker_policy', (name: string) => ({ blocked_executors: [name] })],
  ])('one executor by policy %s leaves the others', async (policy, value) => {
    const other = `${executor}-other`
    await start()
    await start({ kind: other })
    await setPolicy(db.sql, policy, value(executor))
    const claims = await claim(db.sql, worker, { executors: [executor, other] })
    expect(claims).toHaveLength(1)
    expect((await stepById(db.sql, claims[0]?.step_id ?? nowhere)).key).toBe('a')
    expect(await next()).toEqual([])
    await setPolicy(db.sql, policy, {})
    expect(await next()).toHaveLength(1)
  })
})

describe('an executor that no live worker offers', () => {
  const unclaimable = async () =>
    (await db.sql`select steps::int from ops_unclaimable_steps where executor = ${`${executor}-exotic`}`).map(
      (row) => row.steps,
    )

  test('shows in ops_unclaimable_steps until a worker offers it, and again when that one falls silent', async () => {
    const exotic = `${executor}-exotic`
    await start({ kind: exotic })
    await start({ kind: exotic })
    expect(await unclaimable()).toEqual([2])
    const able = await registerWorker(db.sql, 'able', [exotic])
    expect(await unclaimable()).toEqual([])
    await clock.advance(121)
    expect(await unclaimable()).toEqual([2])
    await db.sql`select ops_worker_heartbeat(${able})`
    expect(await unclaimable()).toEqual([])
  })

  test('blocks nothing, however many of its steps are ahead', async () => {
    await startMission(
      db.sql,
      Array.from({ length: 100 }, () => ({ kind: `${executor}-exotic`, depends_on: [], priority: -100 })),
    )
    const mission = await start()
    expect((await next(1)).map((c) => c.mission_id)).toEqual([mission.id])
  })

  test('holds back only what comes after it in its own mission', async () => {
    const mission = await startMission(db.sql, [
      { key: 'exotic', kind: `${executor}-exotic`, depends_on: [] },
      { key: 'apart', kind: executor, depends_on: [] },
      { key: 'behind', kind: executor, depends_on: ['exotic'] },
    ])
    expect((await next()).map((c) => c.step_id)).toEqual([mission.step('apart')])
  })
})

describe('renewing', () => {
  test('sets a new deadline and costs neither an attempt nor a failure', async () => {
    await start()
    const claimed = await nextOne()
    await clock.advance(200)
    expect(await renew(db.sql, [lease(claimed)], 60)).toEqual([
      { step_id: claimed.step_id, outcome: 'ok', lease_expires_at: await secondsFromNow(60) },
    ])
    expect(await renew(db.sql, [lease(claimed)])).toMatchObject([
      { lease_expires_at: await secondsFromNow(300) },
    ])
    expect(await stepById(db.sql, claimed.step_id)).toMatchObject({ attempt: 1, failure_count: 0 })
  })

  test('prolongs each lease by what its own worker has, in one call', async () => {
    await startMany(3)
    const own = await registerWorker(db.sql, 'own', [executor], { lease_minutes: 2 })
    const held = [
      await nextOne(),
      await claimOne(db.sql, own, { executors: [executor] }),
      await claimOne(db.sql, null, { executors: [executor] }),
    ]
    await clock.advance(60)
    const deadlines = new Map(
      (await renew(db.sql, held.map(lease))).map((answer) => [answer.step_id, answer.lease_expires_at]),
    )
    expect(held.map(({ step_id }) => deadlines.get(step_id))).toEqual([
      await secondsFromNow(300),
      await secondsFromNow(120),
      await secondsFromNow(300),
    ])
  })

  test('refuses deadlines that make no sense, with OPS_011', async () => {
    for (const seconds of [-1, 0, 86401])
      await expect(renew(db.sql, [], seconds)).rejects.toMatchObject({ code: 'OP011' })
  })

  test('answers each of a batch for itself', async () => {
    await startMany(2)
    const [first, second] = await next()
    if (!first || !second) throw new Error('two steps expected')
    await complete(db.sql, [lease(first)])
    const answers = await renew(db.sql, [
      lease(first),
      lease(second),
      { step_id: nowhere, token: second.token },
    ])
    expect(Object.fromEntries(answers.map((a) => [a.step_id, a.outcome]))).toEqual({
      [first.step_id]: 'lost',
      [second.step_id]: 'ok',
      [nowhere]: 'lost',
    })
  })

  test('finds the valid token of a step that is named twice', async () => {
    await start()
    const claimed = await nextOne()
    const forged = { step_id: claimed.step_id, token: nowhere }
    for (const batch of [
      [forged, lease(claimed)],
      [lease(claimed), forged],
    ])
      expect(await renew(db.sql, batch)).toMatchObject([{ step_id: claimed.step_id, outcome: 'ok' }])
  })
})

describe('failing', () => {
  test('puts the step back with its error until its attempts are used up', async () => {
    await setPolicy(db.sql, 'worker_policy', { backoff_base_seconds: 10, backoff_max_seconds: 10 })
    await start()
    const claimed = await nextOne()
    const [answer] = await fail(db.sql, [{ ...lease(claimed), error: 'timeout', meta: { exit: 1 } }])
    expect(answer).toMatchObject({ outcome: 'ok', step_status: 'queued' })
    const step = await stepById(db.sql, claimed.step_id)
    expect(step).toMatchObject({ failure_count: 1, last_error: 'timeout', lease_token: null })
    expect(step.run_at).toEqual(answer?.run_at)
    expect(step.run_at.getTime()).toBeLessThanOrEqual((await secondsFromNow(10)).getTime())
    const [run] = await db.sql`select meta, error from ops_action_runs where id = ${claimed.token}`
    expect(run).toEqual({ meta: { exit: 1 }, error: 'timeout' })
  })

  test('for ever ends at once', async () => {
    await start()
    const [answer] = await fail(db.sql, [{ ...lease(await nextOne()), error: 'no', permanent: true }])
    expect(answer).toMatchObject({ step_status: 'failed', mission_status: 'failed' })
  })

  test('with max_retries 0 or 1 ends at the first failure', async () => {
    for (const max_retries of [0, 1]) {
      await start({ max_retries })
      expect(await fail(db.sql, [{ ...lease(await nextOne()), error: 'no' }])).toMatchObject([
        { step_status: 'failed' },
      ])
    }
  })

  test('with retry_after_seconds runs again exactly then, at most a week later', async () => {
    await start()
    const [soon] = await fail(db.sql, [{ ...lease(await nextOne()), error: '429', retry_after_seconds: 77 }])
    expect(soon?.run_at).toEqual(await secondsFromNow(77))
    await clock.advance(77)
    const [never] = await fail(db.sql, [
      { ...lease(await nextOne()), error: '429', retry_after_seconds: 1e12 },
    ])
    expect(never?.run_at).toEqual(await secondsFromNow(7 * 86400))
  })

  test('without a message says so', async () => {
    await start()
    const claimed = await nextOne()
    await fail(db.sql, [{ ...lease(claimed), permanent: true }])
    expect((await stepById(db.sql, claimed.step_id)).last_error).toBe('failed without a message')
  })

  test('keeps 8,000 characters of an error', async () => {
    await start()
    const claimed = await nextOne()
    await fail(db.sql, [{ ...lease(claimed), error: 'x'.repeat(20_000), permanent: true }])
    expect((await stepById(db.sql, claimed.step_id)).last_error).toHaveLength(8000)
  })
})

describe('backoff', () => {
  const backoff = async (failures: number) => {
    const [row] = await db.sql<{ seconds: number }[]>`select ops.backoff_seconds(${failures}::int) as seconds`
    if (!row) throw new Error('no answer')
    return row.seconds
  }

  test('lies between nothing and its ceiling for any attempt number', async () => {
    await setPolicy(db.sql, 'worker_policy', { backoff_base_seconds: 2, backoff_max_seconds: 120 })
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.integer({ min: -5, max: 40 }), fc.integer({ min: -2147483648, max: 2147483647 })),
        async (failures) => {
          const seconds = await backoff(failures)
          expect(seconds).toBeGreaterThanOrEqual(0)
          expect(seconds).toBeLessThanOrEqual(Math.min(120, 2 * 2 ** (Math.max(failures, 1) - 1)))
        },
      ),
      { numRuns: 200 },
    )
  })

  test('uses the whole range below the ceiling, which doubles with each failure', async () => {
    await setPolicy(db.sql, 'worker_policy', { backoff_base_seconds: 10, backoff_max_seconds: 1000 })
    for (const [failures, ceiling] of [
      [1, 10],
      [2, 20],
      [5, 160],
      [30, 1000],
    ] as const) {
      const samples = await db.sql<{ seconds: number }[]>`
        select ops.backoff_seconds(${failures}) as seconds from generate_series(1, 400)`
      const shares = samples.map((row) => row.seconds / ceiling)
      expect(Math.min(...shares)).toBeLessThan(0.1)
      expect(Math.max(...shares)).toBeGreaterThan(0.9)
      expect(Math.max(...shares)).toBeLessThanOrEqual(1)
    }
  })
})

describe('snoozing and releasing', () => {
  test('a snoozed step runs again after its seconds, without a failure', async () => {
    await start()
    const claimed = await nextOne()
    expect(await snooze(db.sql, [{ ...lease(claimed), seconds: 45, reason: 'not ready' }])).toEqual([
      { step_id: claimed.step_id, outcome: 'ok', run_at: await secondsFromNow(45) },
    ])
    expect(await stepById(db.sql, claimed.step_id)).toMatchObject({ failure_count: 0, ready: false })
    expect(await next()).toEqual([])
    await clock.advance(45)
    expect(await nextOne()).toMatchObject({ attempt: 2, failure_count: 0 })
    expect(await runsOf(db.sql, claimed.step_id)).toEqual([[1, 'snoozed']])
  })

  test('a released step can be claimed at once', async () => {
    await start()
    const claimed = await nextOne()
    expect(await release(db.sql, [lease(claimed)])).toEqual([{ step_id: claimed.step_id, outcome: 'ok' }])
    expect(await nextOne()).toMatchObject({ step_id: claimed.step_id, failure_count: 0 })
    expect(await runsOf(db.sql, claimed.step_id)).toEqual([[1, 'released']])
  })

  test('neither ever uses attempts up', async () => {
    await start({ max_retries: 1 })
    for (let i = 0; i < 10; i++) {
      await release(db.sql, [lease(await nextOne())])
      await snooze(db.sql, [{ ...lease(await nextOne()), seconds: 0 }])
    }
    expect(await nextOne()).toMatchObject({ attempt: 21, failure_count: 0 })
  })
})

describe('a batch', () => {
  test('answers each step for itself', async () => {
    await startMany(3)
    const [ended, good, other] = await next()
    if (!ended || !good || !other) throw new Error('three steps expected')
    await complete(db.sql, [lease(ended)])
    const answers = await complete(db.sql, [
      lease(ended),
      lease(good),
      { ...lease(other), token: good.token },
      { step_id: nowhere, token: nowhere },
    ])
    expect(Object.fromEntries(answers.map((a) => [a.step_id, a.outcome]))).toEqual({
      [ended.step_id]: 'lost',
      [good.step_id]: 'ok',
      [other.step_id]: 'lost',
      [nowhere]: 'lost',
    })
    expect(await stepById(db.sql, other.step_id)).toMatchObject({ status: 'running' })
  })

  test('may be empty', async () => {
    expect(await complete(db.sql, [])).toEqual([])
    expect(await fail(db.sql, [])).toEqual([])
    expect(await snooze(db.sql, [])).toEqual([])
    expect(await release(db.sql, [])).toEqual([])
    expect(await renew(db.sql, [])).toEqual([])
  })

  test('of more than 1,000 items is refused with OPS_011', async () => {
    const items = Array.from({ length: 1001 }, () => ({ step_id: nowhere, token: nowhere }))
    for (const verb of [complete, fail, snooze, release, renew])
      await expect(verb(db.sql, items)).rejects.toMatchObject({ code: 'OP011' })
  })

  test('that names a step twice records its first item, once', async () => {
    await start()
    const claimed = await nextOne()
    const event = (n: number) => [{ type: `${executor}.said`, data: { n } }]
    const answers = await complete(db.sql, [
      { ...lease(claimed), result: 1, cost_usd: 1, events: event(1) },
      { ...lease(claimed), result: 2, cost_usd: 2, events: event(2) },
    ])
    expect(answers).toMatchObject([{ outcome: 'ok' }])
    expect(await stepById(db.sql, claimed.step_id)).toMatchObject({ result: 1, cost_usd: '1.000000' })
    expect(await db.sql`select data from ops_agent_events where type = ${`${executor}.said`}`).toEqual([
      { data: { n: 1 } },
    ])
  })

  type Verb = (items: Outcome[]) => Promise<{ outcome: string }[]>
  test.each<[string, Verb]>([
    ['complete', (items) => complete(db.sql, items)],
    ['fail', (items) => fail(db.sql, items)],
    ['snooze', (items) => snooze(db.sql, items)],
    ['release', (items) => release(db.sql, items)],
  ])('finds the valid token among others of its step: %s', async (_, verb) => {
    for (const forgedFirst of [true, false]) {
      await start()
      const claimed = await nextOne()
      const forged: Outcome = { step_id: claimed.step_id, token: nowhere, events: [{ type: 'forged.event' }] }
      const valid: Outcome = { ...lease(claimed), error: 'no', permanent: true, seconds: 3600 }
      expect(await verb(forgedFirst ? [forged, valid] : [valid, forged])).toMatchObject([{ outcome: 'ok' }])
      expect((await stepById(db.sql, claimed.step_id)).status).not.toBe('running')
      await next()
    }
    expect(await db.sql`select from ops_agent_events where type = 'forged.event'`).toHaveLength(0)
  })
})

describe('results that come too late', () => {
  const lateOf = (stepId: string) =>
    db.sql`select token, outcome, payload from ops.late_results where step_id = ${stepId} order by received_at, id`

  test('are kept as evidence and change nothing', async () => {
    const mission = await start()
    const first = await nextOne()
    await release(db.sql, [lease(first)])
    const second = await nextOne()
    await complete(db.sql, [{ ...lease(second), result: 'second' }])
    const events = [{ type: `${executor}.said` }]
    expect(await complete(db.sql, [{ ...lease(first), result: 'first', events }])).toMatchObject([
      { outcome: 'lost', mission_status: 'succeeded' },
    ])
    expect(await fail(db.sql, [{ ...lease(first), error: 'broke' }])).toMatchObject([
      { outcome: 'lost', step_status: 'succeeded' },
    ])
    expect((await stepById(db.sql, first.step_id)).result).toBe('second')
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded', round: 1 })
    expect(await lateOf(first.step_id)).toEqual([
      { token: first.token, outcome: 'succeeded', payload: { result: 'first', events } },
      { token: first.token, outcome: 'failed', payload: { error: 'broke' } },
    ])
    expect(await db.sql`select from ops_agent_events where type = ${`${executor}.said`}`).toHaveLength(0)
  })

  test('are kept even beside the valid one of their step', async () => {
    await start()
    const first = await nextOne()
    await release(db.sql, [lease(first)])
    const second = await nextOne()
    await complete(db.sql, [
      { ...lease(first), result: 'late' },
      { ...lease(second), result: 'in time' },
    ])
    expect((await stepById(db.sql, first.step_id)).result).toBe('in time')
    expect(await lateOf(first.step_id)).toEqual([
      { token: first.token, outcome: 'succeeded', payload: { result: 'late' } },
    ])
  })

  test('of steps that never were leave nothing', async () => {
    await complete(db.sql, [{ step_id: nowhere, token: nowhere, result: 1 }])
    expect(await lateOf(nowhere)).toEqual([])
  })

  test('said twice: the first success stands, the repetition is lost', async () => {
    await start()
    const claimed = await nextOne()
    await complete(db.sql, [{ ...lease(claimed), result: 'once' }])
    expect(await complete(db.sql, [{ ...lease(claimed), result: 'twice' }])).toMatchObject([
      { outcome: 'lost', mission_status: 'succeeded' },
    ])
    expect((await stepById(db.sql, claimed.step_id)).result).toBe('once')
  })
})

describe('events of an attempt', () => {
  test('are stored with its outcome, one generation deeper, and point to its run', async () => {
    await start()
    const claimed = await nextOne()
    await fail(db.sql, [{ ...lease(claimed), error: 'half', events: [{ type: `${executor}.half` }] }])
    const [event] = await db.sql`
      select mission_id, run_id, depth from ops_agent_events where type = ${`${executor}.half`}`
    expect(event).toEqual({ mission_id: claimed.mission_id, run_id: claimed.token, depth: 1 })
  })

  test('that are not valid refuse the outcome with OPS_011, and the lease stays', async () => {
    await start()
    const claimed = await nextOne()
    for (const events of [[{ type: 'mission:succeeded' }], [{ type: 'with space' }]])
      await expect(complete(db.sql, [{ ...lease(claimed), events }])).rejects.toMatchObject({ code: 'OP011' })
    expect(await complete(db.sql, [lease(claimed)])).toMatchObject([{ outcome: 'ok' }])
  })

  test.each<[string, (items: Outcome[]) => PromiseLike<unknown>]>([
    ['complete', (items) => complete(db.sql, items)],
    ['fail', (items) => fail(db.sql, items)],
  ])(
    'of one step that are not valid refuse the whole batch (%s); sent one by one the others count',
    async (_, verb) => {
      await startMany(3)
      const claims = await next(3)
      const items = claims.map((c, i) => ({
        ...lease(c),
        error: 'no',
        events: [{ type: i === 1 ? 'with space' : `${executor}.told` }],
      }))
      await expect(verb(items)).rejects.toMatchObject({ code: 'OP011' })
      for (const { step_id, token } of claims)
        expect(await stepById(db.sql, step_id)).toMatchObject({ status: 'running', lease_token: token })
      expect(await db.sql`select from ops_agent_events where type = ${`${executor}.told`}`).toHaveLength(0)

      const alone = await Promise.allSettled(items.map((item) => verb([item])))
      expect(alone.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
      expect(await db.sql`select from ops_agent_events where type = ${`${executor}.told`}`).toHaveLength(2)
    },
  )

  test('with a known dedupe key are not stored again', async () => {
    const events = [{ type: `${executor}.once`, dedupe_key: executor }]
    for (let i = 0; i < 2; i++) {
      await start()
      await complete(db.sql, [{ ...lease(await nextOne()), events }])
    }
    expect(await db.sql`select from ops_agent_events where type = ${`${executor}.once`}`).toHaveLength(1)
  })
})
