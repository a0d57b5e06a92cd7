/** Missions and steps: the order they run in, what passes between them, and how they stop and start again. */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.js'
import {
  cancelMission,
  cancelStep,
  claim,
  claimOne,
  complete,
  endsOf,
  fail,
  lease,
  missionRow,
  registerWorker,
  retryStep,
  runsOf,
  type StepTemplate,
  startMission,
  statusesOf,
  stepsOf,
} from './work.js'
import { brokenInvariants, type Clock, openDatabase, stopClock } from './world.js'

let db: TestDatabase
let clock: Clock
let worker: string

beforeAll(async () => {
  db = await openDatabase()
  clock = await stopClock(db.sql)
})

// Each test has executors of its own name, so that none claims another's steps.
let executor: string
let count = 0
beforeEach(async () => {
  executor = `exec-${++count}`
  worker = await registerWorker(db.sql, 'worker-1', [executor])
  return async () => expect(await brokenInvariants(db.sql)).toEqual([])
})

const start = (steps: StepTemplate[], rest = {}) =>
  startMission(
    db.sql,
    steps.map((step) => ({ kind: executor, ...step })),
    rest,
  )
const next = (limit = 10) => claim(db.sql, worker, { executors: [executor], limit })
const nextOne = () => claimOne(db.sql, worker, { executors: [executor] })
const keys = (claims: { key: string }[]) => claims.map((c) => c.key)
const die = (claimed: { step_id: string; token: string }, error = 'no such host') =>
  fail(db.sql, [{ ...lease(claimed), error, permanent: true }])

describe('order', () => {
  test('steps run one after the other when none says otherwise', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }, { key: 'c' }])
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'queued', b: 'waiting', c: 'waiting' })
    for (const key of ['a', 'b', 'c']) {
      const claims = await next()
      expect(keys(claims)).toEqual([key])
      await complete(db.sql, claims.map(lease))
    }
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded', steps_open: 0 })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:succeeded'])
  })

  test('a step that depends on several waits for the last of them', async () => {
    const mission = await start([
      { key: 'left', depends_on: [] },
      { key: 'right', depends_on: [] },
      { key: 'join', depends_on: ['left', 'right'] },
      { key: 'apart', depends_on: ['left'] },
    ])
    const claims = await next()
    expect(keys(claims).sort()).toEqual(['left', 'right'])
    const [first, second] = claims
    if (!first || !second) throw new Error('two steps expected')
    await complete(db.sql, [lease(first)])
    const after = await statusesOf(db.sql, mission.id)
    expect(after.join).toBe('waiting')
    expect(after.apart).toBe(first.key === 'left' ? 'queued' : 'waiting')
    await complete(db.sql, [lease(second)])
    expect(keys(await next()).sort()).toEqual(['apart', 'join'])
  })

  test('dependencies that finish in one batch release what waits for them once', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
      { key: 'c', depends_on: ['a', 'b'] },
    ])
    await complete(db.sql, (await next()).map(lease))
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'succeeded', b: 'succeeded', c: 'queued' })
    await complete(db.sql, (await next()).map(lease))
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:succeeded'])
  })

  test('a mission is running from its first claim', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'approved', started_at: null })
    const claimed = await nextOne()
    expect(await missionRow(db.sql, mission.id)).toMatchObject({
      status: 'running',
      started_at: await clock.now(),
    })
    await complete(db.sql, [lease(claimed)])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'running' })
  })
})

describe('inputs', () => {
  test('a step whose params name other steps gets the results of the finished ones', async () => {
    await start([
      { key: 'fetch' },
      { key: 'plain' },
      { key: 'use', params: { text: 'about {{ steps.fetch.result.title }}' } },
    ])
    const fetch = await nextOne()
    expect(fetch.inputs).toBeNull()
    await complete(db.sql, [{ ...lease(fetch), result: { title: 'Tides' } }])
    const plain = await nextOne()
    expect(plain.inputs).toBeNull()
    await complete(db.sql, [{ ...lease(plain), result: [1, 2] }])
    expect((await nextOne()).inputs).toEqual({ fetch: { title: 'Tides' }, plain: [1, 2] })
  })

  test.each([
    ['an object', { a: { b: [1, null] } }],
    ['text', 'done'],
    ['a number', 0],
    ['false', false],
    ['nothing', null],
  ])('a result may be %s', async (_, result) => {
    const mission = await start([{ key: 'a' }, { key: 'b', params: { from: '{{steps.a.result}}' } }])
    await complete(db.sql, [{ ...lease(await nextOne()), result }])
    expect((await stepsOf(db.sql, mission.id)).a?.result).toEqual(result)
    expect((await nextOne()).inputs).toEqual({ a: result })
  })
})

describe('when', () => {
  test('the lower priority number goes first, then who waited longer', async () => {
    await start([{ key: 'usual-1' }])
    await clock.advance(1)
    await start([{ key: 'usual-2' }])
    await start([{ key: 'late', priority: 7 }])
    await start([{ key: 'urgent', priority: -5 }])
    await start([{ key: 'by-mission' }], { priority: -1 })
    expect(keys(await next())).toEqual(['urgent', 'by-mission', 'usual-1', 'usual-2', 'late'])
  })

  test('priority holds across executors within one claim', async () => {
    const other = `${executor}-other`
    await start([
      { key: 'a', depends_on: [], priority: 2 },
      { key: 'b', depends_on: [], priority: 1, kind: other },
      { key: 'c', depends_on: [], priority: 3, kind: other },
    ])
    expect(keys(await claim(db.sql, worker, { executors: [executor, other], limit: 2 }))).toEqual(['b', 'a'])
  })

  test('a step with delay_seconds is claimable that long after it could have started', async () => {
    const mission = await start([
      { key: 'a', delay_seconds: 60 },
      { key: 'b', delay_seconds: 30 },
    ])
    expect(await next()).toEqual([])
    await clock.advance(59)
    expect(await next()).toEqual([])
    await clock.advance(1)
    await complete(db.sql, [lease(await nextOne())])
    const { b } = await stepsOf(db.sql, mission.id)
    expect(b).toMatchObject({ status: 'queued', ready: false })
    expect(b?.run_at.getTime()).toBe((await clock.now()).getTime() + 30_000)
    expect(await next()).toEqual([])
    await clock.advance(30)
    expect(keys(await next())).toEqual(['b'])
  })

  test('a step with run_at waits for that moment, in whatever zone it was written', async () => {
    const at = new Date((await clock.now()).getTime() + 3_600_000)
    const inTokyo = new Date(at.getTime() + 9 * 3_600_000).toISOString().replace('Z', '+09:00')
    const mission = await start([{ key: 'a', run_at: inTokyo }])
    expect((await stepsOf(db.sql, mission.id)).a?.run_at).toEqual(at)
    await clock.advance(3599)
    expect(await next()).toEqual([])
    await clock.advance(1)
    expect(keys(await next())).toEqual(['a'])
  })

  test('a run_at that has passed means at once', async () => {
    await start([{ key: 'a', run_at: '2001-01-01T00:00:00Z' }])
    expect(keys(await next())).toEqual(['a'])
  })
})

describe('limits', () => {
  test('a step carries its own timeout and retries; without them policy decides at the claim', async () => {
    await start([
      { key: 'own', depends_on: [], timeout_seconds: 90, max_retries: 0 },
      { key: 'policy', depends_on: [] },
    ])
    const claims = Object.fromEntries((await next()).map((c) => [c.key, c]))
    expect(claims.own).toMatchObject({ timeout_seconds: 90, max_retries: 0 })
    expect(claims.policy).toMatchObject({ timeout_seconds: null, max_retries: 3 })
  })

  test('a step dies with the failure that reaches max_retries, and takes its mission down', async () => {
    const mission = await start([{ key: 'a', max_retries: 2 }, { key: 'b' }])
    const [first] = await fail(db.sql, [{ ...lease(await nextOne()), error: 'once' }])
    expect(first).toMatchObject({ outcome: 'ok', step_status: 'queued', mission_status: 'running' })
    await clock.advance(3600)
    const [second] = await fail(db.sql, [{ ...lease(await nextOne()), error: 'twice' }])
    expect(second).toMatchObject({
      outcome: 'ok',
      step_status: 'failed',
      run_at: null,
      mission_status: 'failed',
    })
    expect((await stepsOf(db.sql, mission.id)).a).toMatchObject({
      last_error: 'twice',
      end_reason: 'attempts_used_up',
    })
    expect((await stepsOf(db.sql, mission.id)).b).toMatchObject({
      status: 'cancelled',
      end_reason: 'mission_failed',
    })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed'])
    expect(await runsOf(db.sql, mission.step('a'))).toEqual([
      [1, 'failed'],
      [2, 'failed'],
    ])
  })

  test('a dead step is reported as step:<kind>:failed with its error', async () => {
    const mission = await start([{ key: 'a', kind: `${executor}:scout` }])
    await die(await nextOne(), 'quota exhausted')
    const [event] = await db.sql`
      select type, data, run_id is not null as of_run, depth from ops_agent_events where mission_id = ${mission.id} and type like 'step:%'`
    expect(event).toMatchObject({
      type: `step:${executor}:scout:failed`,
      data: { key: 'a', agent: 'scout', error: 'quota exhausted', attempts: 1, reason: 'permanent' },
      of_run: true,
      depth: 1,
    })
  })

  test('two steps that die in one batch end their mission once', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
      { key: 'c', depends_on: [] },
    ])
    const claims = await next(2)
    await fail(
      db.sql,
      claims.map((c) => ({ ...lease(c), error: 'no', permanent: true })),
    )
    expect(Object.values(await statusesOf(db.sql, mission.id)).sort()).toEqual([
      'cancelled',
      'failed',
      'failed',
    ])
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed'])
  })
})

describe('cancelling', () => {
  test('a mission: what has not started is cancelled, what runs loses its lease', async () => {
    const mission = await start([
      { key: 'done', depends_on: [] },
      { key: 'runs', depends_on: [] },
      { key: 'waits', depends_on: ['runs'] },
    ])
    const claims = Object.fromEntries((await next()).map((c) => [c.key, c]))
    if (!claims.done || !claims.runs) throw new Error('both claimed')
    await complete(db.sql, [lease(claims.done)])
    expect(await cancelMission(db.sql, mission.id, 'not needed')).toEqual({
      status: 'cancelled',
      cancelled_steps: 2,
    })
    expect(await statusesOf(db.sql, mission.id)).toEqual({
      done: 'succeeded',
      runs: 'cancelled',
      waits: 'cancelled',
    })
    expect(await complete(db.sql, [lease(claims.runs)])).toMatchObject([
      { outcome: 'lost', mission_status: 'cancelled' },
    ])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ ended_by: 'dana', end_reason: 'not needed' })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:cancelled'])
    expect(await runsOf(db.sql, mission.step('runs'))).toEqual([[1, 'cancelled']])
  })

  test('a mission twice changes nothing the second time', async () => {
    const mission = await start([{ key: 'a' }])
    await cancelMission(db.sql, mission.id)
    expect(await cancelMission(db.sql, mission.id, 'again')).toEqual({
      status: 'cancelled',
      cancelled_steps: 0,
    })
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ end_reason: 'cancelled by dana' })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:cancelled'])
  })

  test('a mission that has ended otherwise leaves it as it is', async () => {
    const mission = await start([{ key: 'a' }])
    await complete(db.sql, [lease(await nextOne())])
    expect(await cancelMission(db.sql, mission.id)).toEqual({ status: 'succeeded', cancelled_steps: 0 })
  })

  test('a step: it and all that depend on it, however far; the rest goes on', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: ['a'] },
      { key: 'c', depends_on: ['b'] },
      { key: 'apart', depends_on: [] },
    ])
    expect(await cancelStep(db.sql, mission.step('a'))).toEqual({
      status: 'cancelled',
      mission_status: 'approved',
    })
    expect(await statusesOf(db.sql, mission.id)).toEqual({
      a: 'cancelled',
      b: 'cancelled',
      c: 'cancelled',
      apart: 'queued',
    })
    await complete(db.sql, [lease(await nextOne())])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'cancelled' })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:cancelled'])
  })

  test('the last open step ends the mission', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }])
    await complete(db.sql, [lease(await nextOne())])
    expect(await cancelStep(db.sql, mission.step('b'))).toEqual({
      status: 'cancelled',
      mission_status: 'cancelled',
    })
  })

  test('a step that has ended changes nothing, neither it nor what depends on it', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }])
    await complete(db.sql, [lease(await nextOne())])
    expect(await cancelStep(db.sql, mission.step('a'))).toEqual({
      status: 'succeeded',
      mission_status: 'running',
    })
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'succeeded', b: 'queued' })
  })

  test('what is not there is OPS_013', async () => {
    const nowhere = '00000000-0000-7000-8000-000000000000'
    await expect(cancelMission(db.sql, nowhere)).rejects.toMatchObject({ code: 'OP013' })
    await expect(cancelStep(db.sql, nowhere)).rejects.toMatchObject({ code: 'OP013' })
    await expect(retryStep(db.sql, nowhere)).rejects.toMatchObject({ code: 'OP013' })
  })
})

describe('retrying a dead step', () => {
  test('reopens its mission and what was cancelled with it, and the mission ends anew', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }, { key: 'c' }])
    await complete(db.sql, [lease(await nextOne())])
    await die(await nextOne())
    expect(await retryStep(db.sql, mission.step('b'))).toEqual({
      status: 'queued',
      mission_status: 'running',
      reopened_steps: 1,
    })
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'succeeded', b: 'queued', c: 'waiting' })
    expect((await stepsOf(db.sql, mission.id)).b).toMatchObject({ failure_count: 0, attempt: 1 })
    await complete(db.sql, [lease(await nextOne())])
    await complete(db.sql, [lease(await nextOne())])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded', round: 2 })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed', 'mission:succeeded'])
    expect(await runsOf(db.sql, mission.step('b'))).toEqual([
      [1, 'failed'],
      [2, 'succeeded'],
    ])
  })

  test('brings back a sibling that was stopped in flight', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
    ])
    const [first, second] = await next()
    if (!first || !second) throw new Error('two steps expected')
    await die(first)
    expect((await statusesOf(db.sql, mission.id))[second.key]).toBe('cancelled')
    await retryStep(db.sql, first.step_id)
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'queued', b: 'queued' })
    expect(await complete(db.sql, [lease(second)])).toMatchObject([{ outcome: 'lost' }])
    await complete(db.sql, (await next()).map(lease))
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded' })
  })

  test('leaves what an operator had cancelled', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
    ])
    await cancelStep(db.sql, mission.step('b'))
    await die(await nextOne())
    await retryStep(db.sql, mission.step('a'))
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'queued', b: 'cancelled' })
    await complete(db.sql, [lease(await nextOne())])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'cancelled' })
  })

  test('leaves what depends on another dead step, so that the mission can end', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
      { key: 'after-a', depends_on: ['a'] },
      { key: 'after-b', depends_on: ['b'] },
    ])
    await fail(
      db.sql,
      (await next()).map((c) => ({ ...lease(c), error: 'no', permanent: true })),
    )
    await retryStep(db.sql, mission.step('a'))
    expect(await statusesOf(db.sql, mission.id)).toEqual({
      a: 'queued',
      b: 'failed',
      'after-a': 'waiting',
      'after-b': 'cancelled',
    })
    await complete(db.sql, [lease(await nextOne())])
    await complete(db.sql, [lease(await nextOne())])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'failed', round: 2 })
    await retryStep(db.sql, mission.step('b'))
    await complete(db.sql, [lease(await nextOne())])
    await complete(db.sql, [lease(await nextOne())])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded', round: 3 })
    expect(await endsOf(db.sql, mission.id)).toEqual([
      'mission:failed',
      'mission:failed',
      'mission:succeeded',
    ])
  })

  test('is refused with OPS_014 for a step that is not dead', async () => {
    const mission = await start([{ key: 'a' }])
    await expect(retryStep(db.sql, mission.step('a'))).rejects.toMatchObject({ code: 'OP014' })
  })

  test('is refused with OPS_014 while newer work holds the dedupe key; all else stays', async () => {
    const dedupeKey = `key-${executor}`
    const mission = await start([{ key: 'a' }, { key: 'b' }], { dedupeKey })
    await die(await nextOne())
    const newer = await start([{ key: 'a' }], { dedupeKey })
    await expect(retryStep(db.sql, mission.step('a'))).rejects.toMatchObject({ code: 'OP014' })
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'failed', b: 'cancelled' })
    await cancelMission(db.sql, newer.id)
    expect(await retryStep(db.sql, mission.step('a'))).toMatchObject({ status: 'queued' })
  })

  test('by kind takes the oldest dead letters up to a limit and passes over those that cannot', async () => {
    const dedupeKey = `bulk-${executor}`
    const blocked = await start([{ key: 'a' }], { dedupeKey })
    const others = [await start([{ key: 'a' }]), await start([{ key: 'a' }]), await start([{ key: 'a' }])]
    for (let i = 0; i < 4; i++) {
      await die(await nextOne())
      await clock.advance(1)
    }
    await start([{ key: 'holds-the-key' }], { dedupeKey })
    const retried =
      await db.sql`select mission_id from ops_retry_dead_steps(${executor}, 3, 'dana') order by mission_id`
    expect(retried.map((row) => row.mission_id)).toEqual(
      others
        .slice(0, 2)
        .map((m) => m.id)
        .sort(),
    )
    expect(await missionRow(db.sql, blocked.id)).toMatchObject({ status: 'failed' })
  })
})
