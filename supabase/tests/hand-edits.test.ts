/**
 * What operators do to steps with SQL of their own, under the rights of their role: the mission follows as if the engine had
 * done it.
 */
import postgres from 'postgres'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, urlFor } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { openSession, whileBlocked } from './contention.js'
import { refusal } from './proposals.js'
import {
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
  registerWorker,
  retryStep,
  runsOf,
  type StepTemplate,
  startMission,
  statusesOf,
  stepById,
} from './work.js'
import { brokenInvariants, openDatabase } from './world.js'

let db: TestDatabase
let hand: Connection
let worker: string

beforeAll(async () => {
  db = await openDatabase()
  const sql = postgres(urlFor(db, 'ops_operator'), { max: 2, onnotice: () => undefined })
  onFileEnd(() => sql.end())
  hand = sql
})

// Each test has an executor of its own name, so that none claims another's steps.
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
const nextOne = () => claimOne(db.sql, worker, { executors: [executor] })
const next = (limit = 10) => claim(db.sql, worker, { executors: [executor], limit })
const dead = (claimed: { step_id: string; token: string }) => ({
  ...lease(claimed),
  error: 'no such host',
  permanent: true,
})
const statuses = (mission: Mission) => statusesOf(db.sql, mission.id)
const set = (id: string, status: string, sql = hand) =>
  sql`update ops_mission_steps set status = ${status}::ops_step_status where id = ${id}`

/** The runbook's manual retry, word for word. */
const manualRetry = (stepId: string) => `
  UPDATE ops_mission_steps
  SET
    status = 'queued',
    reserved_at = NULL,
    lease_expires_at = NULL,
    failure_count = 0,
    last_error = NULL
  WHERE id = '${stepId}';`

/** A mission a → b whose first step is dead. */
async function deadMission(rest = {}) {
  const mission = await start([{ key: 'a' }, { key: 'b' }], rest)
  await fail(db.sql, [dead(await nextOne())])
  return mission
}

describe('resetting dead steps', () => {
  test("the runbook's manual retry reopens the mission, which then runs to its end", async () => {
    const mission = await deadMission()
    expect(await statuses(mission)).toEqual({ a: 'failed', b: 'cancelled' })
    await hand.unsafe(manualRetry(mission.step('a')))
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'waiting' })
    expect(await missionRow(db.sql, mission.id)).toMatchObject({
      status: 'running',
      round: 2,
      steps_open: 2,
      completed_at: null,
    })
    for (const key of ['a', 'b']) {
      const claimed = await nextOne()
      expect(claimed.key).toBe(key)
      await complete(db.sql, [lease(claimed)])
    }
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed', 'mission:succeeded'])
    expect(await runsOf(db.sql, mission.step('a'))).toEqual([
      [1, 'failed'],
      [2, 'succeeded'],
    ])
  })

  test('all dead steps of several missions in one statement', async () => {
    const missions = [await deadMission(), await deadMission(), await deadMission()]
    await hand`update ops_mission_steps set status = 'queued', failure_count = 0 where status = 'failed'`
    for (const mission of missions) expect(await statuses(mission)).toEqual({ a: 'queued', b: 'waiting' })
  })

  test('two that died in one batch, one after the other: the mission waits for both', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
      { key: 'c', depends_on: ['a', 'b'] },
    ])
    await fail(db.sql, (await next()).map(dead))
    expect(await statuses(mission)).toEqual({ a: 'failed', b: 'failed', c: 'cancelled' })

    await hand.unsafe(manualRetry(mission.step('a')))
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'failed', c: 'cancelled' })
    await hand.unsafe(manualRetry(mission.step('b')))
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'queued', c: 'waiting' })
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'running', round: 2, steps_open: 3 })
    await complete(db.sql, (await next()).map(lease))
    await complete(db.sql, (await next()).map(lease))
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed', 'mission:succeeded'])
  })

  test('two that died in one batch, in one statement: the mission reopens once', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
    ])
    await fail(db.sql, (await next()).map(dead))
    await hand`update ops_mission_steps set status = 'queued' where mission_id = ${mission.id} and status = 'failed'`
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'running', round: 2, steps_open: 2 })
  })

  test('without giving the attempts back, the next failure is the last', async () => {
    const mission = await start([{ key: 'a', max_retries: 1 }])
    await fail(db.sql, [{ ...lease(await nextOne()), error: 'no such host' }])
    await set(mission.step('a'), 'queued')
    await fail(db.sql, [{ ...lease(await nextOne()), error: 'no such host' }])
    expect(await statuses(mission)).toEqual({ a: 'failed' })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed', 'mission:failed'])
  })

  test('is refused while newer work holds the dedupe key, and changes nothing', async () => {
    const mission = await deadMission({ dedupeKey: `key of ${executor}` })
    const newer = await start([{}], { dedupeKey: `key of ${executor}` })
    const { code, message } = await refusal(hand.unsafe(manualRetry(mission.step('a'))))
    expect({ code, message }).toEqual({
      code: 'OP014',
      message: `dedupe key "key of ${executor}" belongs to newer work`,
    })
    expect(await statuses(mission)).toEqual({ a: 'failed', b: 'cancelled' })

    await cancelMission(db.sql, newer.id)
    await hand.unsafe(manualRetry(mission.step('a')))
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'waiting' })
  })

  test('by ops_retry_step, steps failed by hand before their turn wait for it again', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }])
    await db.sql`update ops_mission_steps set status = 'failed' where mission_id = ${mission.id}`
    expect(await refusal(retryStep(db.sql, mission.step('b')))).toMatchObject({
      code: 'OP014',
      path: 'depends_on',
    })
    await retryStep(db.sql, mission.step('a'))
    await retryStep(db.sql, mission.step('b'))
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'waiting' })
  })

  test('a cancelled step and mission can be reset too', async () => {
    const mission = await start([{ key: 'a' }])
    await cancelMission(db.sql, mission.id)
    await set(mission.step('a'), 'queued')
    await complete(db.sql, [lease(await nextOne())])
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:cancelled', 'mission:succeeded'])
  })

  test('a step that was cancelled alone comes back alone', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }, { key: 'apart', depends_on: [] }])
    await cancelStep(db.sql, mission.step('a'))
    await set(mission.step('a'), 'queued')
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'cancelled', apart: 'queued' })
  })

  test('to waiting, of a step that waits for nothing, queues it', async () => {
    const mission = await deadMission()
    await set(mission.step('a'), 'waiting')
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'waiting' })
  })

  test('that is taken back leaves no trace', async () => {
    const mission = await deadMission()
    const before = await missionRow(db.sql, mission.id)
    await hand
      .begin(async (tx) => {
        await tx.unsafe(manualRetry(mission.step('a')))
        throw new Error('changed my mind')
      })
      .catch(() => undefined)
    expect(await missionRow(db.sql, mission.id)).toEqual(before)
    expect(await statuses(mission)).toEqual({ a: 'failed', b: 'cancelled' })
  })

  test('what depends on a step that is not reset with it is refused, together it is put in order', async () => {
    const mission = await deadMission()
    const { code, hint } = await refusal(set(mission.step('b'), 'queued'))
    expect(code).toBe('OP014')
    expect(hint).toMatch(/reset that one as well/)
    await hand`update ops_mission_steps set status = 'queued' where mission_id = ${mission.id}`
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'waiting' })
  })
})

describe('ending steps by hand', () => {
  const states = ['waiting', 'queued', 'running'] as const
  /** A mission before → step → after (and one apart) whose `step` is in that state. */
  async function missionWith(state: (typeof states)[number]) {
    const mission = await start([
      { key: 'before' },
      { key: 'step' },
      { key: 'after' },
      { key: 'apart', depends_on: [], delay_seconds: 600 },
    ])
    if (state !== 'waiting') await complete(db.sql, [lease(await nextOne())])
    const claimed = state === 'running' ? await nextOne() : undefined
    const before = state === 'waiting' ? 'queued' : 'succeeded'
    expect(await statuses(mission)).toEqual({ before, step: state, after: 'waiting', apart: 'queued' })
    return { mission, claimed, before }
  }

  test.each(states)('cancel a %s step: what depends on it goes with it, the rest goes on', async (state) => {
    const { mission, before } = await missionWith(state)
    await set(mission.step('step'), 'cancelled')
    expect(await statuses(mission)).toEqual({
      before,
      step: 'cancelled',
      after: 'cancelled',
      apart: 'queued',
    })
    expect(await missionRow(db.sql, mission.id)).toMatchObject({
      completed_at: null,
      steps_open: state === 'waiting' ? 2 : 1,
    })
    expect(await stepById(db.sql, mission.step('step'))).toMatchObject({
      end_reason: 'by hand',
      lease_token: null,
    })
  })

  test.each(states)('fail a %s step: the mission fails with it', async (state) => {
    const { mission, before } = await missionWith(state)
    await set(mission.step('step'), 'failed')
    expect(await statuses(mission)).toEqual({
      before: before === 'queued' ? 'cancelled' : before,
      step: 'failed',
      after: 'cancelled',
      apart: 'cancelled',
    })
    expect(await missionRow(db.sql, mission.id)).toMatchObject({
      status: 'failed',
      end_reason: 'a step was failed by hand',
    })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed'])
  })

  test.each(states)('succeed a %s step: what waits for it goes on', async (state) => {
    const { mission, before } = await missionWith(state)
    await hand`
      update ops_mission_steps set status = 'succeeded', result = '{"by": "hand"}' where id = ${mission.step('step')}`
    expect(await statuses(mission)).toEqual({ before, step: 'succeeded', after: 'queued', apart: 'queued' })
    expect(await stepById(db.sql, mission.step('step'))).toMatchObject({ result: { by: 'hand' } })
  })

  test.each([
    ['cancelled', 'cancelled'],
    ['failed', 'failed'],
    ['succeeded', 'succeeded'],
    ['queued', 'cancelled'],
  ])('a running step made %s voids its lease and leaves its attempt on record', async (status, recorded) => {
    const { mission, claimed } = await missionWith('running')
    if (!claimed) throw new Error('a claim expected')
    await set(mission.step('step'), status)
    expect(await complete(db.sql, [{ ...lease(claimed), result: 'late' }])).toMatchObject([
      { outcome: 'lost' },
    ])
    expect(await runsOf(db.sql, mission.step('step'))).toEqual([[1, recorded]])
    expect((await stepById(db.sql, mission.step('step'))).status).toBe(status)
  })

  test.each(['succeeded', 'failed', 'cancelled'])(
    'the last open step made %s ends the mission as that',
    async (status) => {
      const mission = await start([{ key: 'a' }])
      await set(mission.step('a'), status)
      expect(await missionRow(db.sql, mission.id)).toMatchObject({ status, steps_open: 0 })
      expect(await endsOf(db.sql, mission.id)).toEqual([`mission:${status}`])
    },
  )

  test('a dead step made succeeded lets its mission go on', async () => {
    const mission = await deadMission()
    await set(mission.step('a'), 'succeeded')
    expect(await statuses(mission)).toEqual({ a: 'succeeded', b: 'queued' })
    await complete(db.sql, [lease(await nextOne())])
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed', 'mission:succeeded'])
  })

  test('a dead step without others made succeeded makes its mission one that succeeded', async () => {
    const mission = await start([{ key: 'a' }])
    await fail(db.sql, [dead(await nextOne())])
    await set(mission.step('a'), 'succeeded')
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded', round: 2 })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed', 'mission:succeeded'])
  })

  test('a dead step that is given up makes its mission one that was cancelled', async () => {
    const mission = await deadMission()
    await set(mission.step('a'), 'cancelled')
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'cancelled', round: 2 })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed', 'mission:cancelled'])
  })

  test('every open step of a mission at once ends it once', async () => {
    const { mission } = await missionWith('running')
    await hand`
      update ops_mission_steps set status = 'failed'
      where mission_id = ${mission.id} and status in ('waiting', 'queued', 'running')`
    expect(await statuses(mission)).toEqual({
      before: 'succeeded',
      step: 'failed',
      after: 'failed',
      apart: 'failed',
    })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed'])
  })

  test('an edit of other fields is just that', async () => {
    const mission = await start([{ key: 'a' }])
    await hand`update ops_mission_steps set priority = -9, params = '{"x": 1}', max_retries = 7 where id = ${mission.step('a')}`
    expect(await nextOne()).toMatchObject({ key: 'a', params: { x: 1 } })
  })

  test('placeholders that are written into params are told the results that they name', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }])
    await hand`update ops_mission_steps set params = '{"x": "{{steps.a.result}}"}' where id = ${mission.step('b')}`
    await complete(db.sql, [{ ...lease(await nextOne()), result: 7 }])
    expect(await nextOne()).toMatchObject({ key: 'b', inputs: { a: 7 } })
  })

  test('run_at puts a step off and brings it forward', async () => {
    const mission = await start([{ key: 'a' }])
    await hand`update ops_mission_steps set run_at = now() + interval '1 hour' where id = ${mission.step('a')}`
    expect(await next()).toEqual([])
    await hand`update ops_mission_steps set run_at = now() where id = ${mission.step('a')}`
    expect(await next()).toHaveLength(1)
  })
})

describe('inserting and deleting by hand', () => {
  const insert = (mission: Mission, fields: Record<string, unknown> = {}) =>
    hand`insert into ops_mission_steps ${hand({ mission_id: mission.id, kind: executor, ...fields })}`

  test('a step inserted with mission and kind alone runs as one of the mission', async () => {
    const mission = await start([{ key: 'a' }])
    await insert(mission)
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ steps_total: 2, steps_open: 2 })
    await complete(db.sql, (await next()).map(lease))
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded' })
  })

  test('one that depends on others waits for them, whatever its status says', async () => {
    const mission = await start([{ key: 'a' }])
    await insert(mission, { key: 'z', depends_on: ['a'] })
    expect(await statuses(mission)).toMatchObject({ a: 'queued', z: 'waiting' })
    await complete(db.sql, [lease(await nextOne())])
    expect(await statuses(mission)).toMatchObject({ a: 'succeeded', z: 'queued' })
  })

  test('one that depends on what a death has cancelled is refused until that is reset', async () => {
    const mission = await deadMission()
    expect(await refusal(insert(mission, { key: 'z', depends_on: ['b'] }))).toMatchObject({
      code: 'OP014',
      path: 'depends_on',
    })
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'failed', round: 1 })
    await db.sql.unsafe(manualRetry(mission.step('a')))
    await insert(mission, { key: 'z', depends_on: ['b'] })
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'waiting', z: 'waiting' })
  })

  test('one that waits for nothing is queued, whatever its status says', async () => {
    const mission = await start([{ key: 'a' }])
    await insert(mission, { key: 'z', status: 'waiting' })
    expect(await statuses(mission)).toMatchObject({ z: 'queued' })
  })

  test('into a mission that has ended: it reopens', async () => {
    const mission = await start([{ key: 'a' }])
    await complete(db.sql, [lease(await nextOne())])
    await insert(mission)
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'running', round: 2, steps_open: 1 })
    await complete(db.sql, [lease(await nextOne())])
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:succeeded', 'mission:succeeded'])
  })

  test('one that has ended already counts as such, even in a mission that had ended otherwise', async () => {
    const mission = await start([{ key: 'a' }])
    await insert(mission, { key: 'done', status: 'succeeded' })
    await complete(db.sql, [lease(await nextOne())])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded' })
    await insert(mission, { key: 'dead', status: 'failed' })
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'failed', round: 2 })
  })

  test('one with placeholders is told the results that it names', async () => {
    const mission = await start([{ key: 'a' }])
    await insert(mission, { key: 'z', depends_on: ['a'], params: { x: '{{steps.a.result}}' } })
    await complete(db.sql, [{ ...lease(await nextOne()), result: 7 }])
    expect(await nextOne()).toMatchObject({ key: 'z', inputs: { a: 7 } })
  })

  test('one that depends on a key that its mission does not have is refused', async () => {
    const mission = await start([{ key: 'a' }])
    expect(await refusal(insert(mission, { key: 'z', depends_on: ['a', 'nowhere'] }))).toMatchObject({
      code: 'OP014',
      path: 'depends_on',
      message: expect.stringContaining('"nowhere"'),
    })
    await hand`
      insert into ops_mission_steps (mission_id, kind, key, depends_on)
      values (${mission.id}, ${executor}, 'c', '{b}'), (${mission.id}, ${executor}, 'b', '{a}')`
    expect(await statuses(mission)).toEqual({ a: 'queued', b: 'waiting', c: 'waiting' })
  })

  test('those that would wait for each other, or for themselves, are refused', async () => {
    const mission = await start([{ key: 'a' }])
    const refused = {
      code: 'OP014',
      path: 'depends_on',
      message: expect.stringContaining('wait for each other'),
    }
    expect(await refusal(insert(mission, { key: 'z', depends_on: ['a', 'z'] }))).toMatchObject(refused)
    const circle = hand`
      insert into ops_mission_steps (mission_id, kind, key, depends_on) values
        (${mission.id}, ${executor}, 'x', '{z}'), (${mission.id}, ${executor}, 'y', '{x}'), (${mission.id}, ${executor}, 'z', '{a,y}')`
    expect(await refusal(circle)).toMatchObject(refused)
    expect(await statuses(mission)).toEqual({ a: 'queued' })
  })

  test('one that depends on a finished step which was deleted since is queued', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }])
    await complete(db.sql, [lease(await nextOne())])
    await hand`delete from ops_mission_steps where id = ${mission.step('a')}`
    await insert(mission, { key: 'z', depends_on: ['a'] })
    expect(await statuses(mission)).toEqual({ b: 'queued', z: 'queued' })
  })

  test('one that depends on a dead step is refused', async () => {
    const mission = await deadMission()
    expect(await refusal(insert(mission, { depends_on: ['a'] }))).toMatchObject({ code: 'OP014' })
  })

  test('a running step is refused', async () => {
    const mission = await start([{ key: 'a' }])
    expect(await refusal(insert(mission, { status: 'running' }))).toMatchObject({
      code: 'OP014',
      message: 'only a claim can start a step',
    })
  })

  test.each(['waiting', 'queued', 'running'])(
    'deleting a %s step is refused and says how to end it',
    async (state) => {
      const mission = await start([{ key: 'a' }, { key: 'b' }])
      if (state === 'running') await nextOne()
      const id = mission.step(state === 'waiting' ? 'b' : 'a')
      expect(await refusal(hand`delete from ops_mission_steps where id = ${id}`)).toEqual({
        code: 'OP014',
        message: `step ${id} is ${state} and cannot be deleted`,
        path: 'status',
        hint: `first: select * from ops_cancel_step('${id}', 'your name')`,
      })
    },
  )

  test('deleting a mission with open steps is refused as well', async () => {
    const mission = await start([{ key: 'a' }])
    expect(await refusal(db.sql`delete from ops_missions where id = ${mission.id}`)).toMatchObject({
      code: 'OP014',
    })
  })

  test('a step that has ended may be deleted; its mission stays as it ended', async () => {
    const mission = await deadMission()
    await hand`delete from ops_mission_steps where id = ${mission.step('a')}`
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'failed' })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed'])
    const trace = await db.sql`select entity from ops_trace(${mission.step('a')})`
    expect(trace.map((row) => row.entity)).toEqual(expect.arrayContaining(['mission', 'step', 'run']))
  })

  test('a finished step of a mission that goes on may be deleted; the others do not wait for it', async () => {
    const mission = await start([{ key: 'a' }, { key: 'b' }])
    await complete(db.sql, [lease(await nextOne())])
    await hand`delete from ops_mission_steps where id = ${mission.step('a')}`
    await complete(db.sql, [lease(await nextOne())])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded' })
  })

  test('a cancelled step that was deleted still counts: its mission has not succeeded', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
    ])
    await cancelStep(db.sql, mission.step('a'))
    await hand`delete from ops_mission_steps where id = ${mission.step('a')}`
    await db.sql`select ops_maybe_finalize_mission(${mission.id})`
    await complete(db.sql, [lease(await nextOne())])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'cancelled', steps_cancelled: 1 })
  })
})

describe('edits that only the engine can make', () => {
  test.each(['waiting', 'queued', 'failed', 'cancelled'])('from %s to running', async (state) => {
    const mission = await start([{ key: 'a' }, { key: 'b' }])
    if (state === 'failed') await fail(db.sql, [dead(await nextOne())])
    if (state === 'cancelled') await cancelMission(db.sql, mission.id)
    const id = mission.step(state === 'waiting' ? 'b' : 'a')
    expect(await refusal(set(id, 'running'))).toMatchObject({
      code: 'OP014',
      message: 'only a claim can start a step',
      hint: 'set it to queued and let a worker claim it',
    })
    expect((await stepById(db.sql, id)).status).toBe(state)
  })

  test.each(['waiting', 'queued', 'failed', 'cancelled'])('from succeeded to %s', async (status) => {
    const mission = await start([{ key: 'a' }])
    await complete(db.sql, [lease(await nextOne())])
    expect(await refusal(set(mission.step('a'), status))).toMatchObject({
      code: 'OP014',
      message: `step ${mission.step('a')} has succeeded, and its result may be in use`,
    })
  })

  test.each([
    'attempt = 7',
    "depends_on = '{b}'",
    'lease_token = gen_random_uuid()',
    "key = 'other'",
    'completed_at = now()',
  ])('%s', async (assignment) => {
    const mission = await start([{ key: 'a' }])
    await nextOne()
    const edit = hand.unsafe(`update ops_mission_steps set ${assignment} where id = '${mission.step('a')}'`)
    expect(await refusal(edit)).toMatchObject({
      code: 'OP014',
      message: expect.stringMatching(/the engine's own/),
    })
  })

  test.each(['ops_operator', 'service_role'] as const)(
    'nobody passes for the engine: %s may not write a revision',
    async (role) => {
      const sql = postgres(urlFor(db, role), { max: 1, onnotice: () => undefined })
      onFileEnd(() => sql.end())
      const mission = await start([{ key: 'a' }])
      const id = mission.step('a')
      const denied = { code: '42501' }
      await expect(
        sql`update ops_mission_steps set status = 'succeeded', completed_at = now(), revision = revision + 1 where id = ${id}`,
      ).rejects.toMatchObject(denied)
      await expect(
        sql`insert into ops_mission_steps (mission_id, kind, status, revision) values (${mission.id}, 'noop', 'queued', 1)`,
      ).rejects.toMatchObject(denied)
      expect(await statuses(mission)).toEqual({ a: 'queued' })
      await set(id, 'cancelled', sql)
      expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'cancelled' })
    },
  )

  test('an end that is claimed for another time: it is that of the edit', async () => {
    const mission = await start([{ key: 'a' }])
    await hand`update ops_mission_steps set status = 'succeeded', completed_at = '2001-01-01' where id = ${mission.step('a')}`
    const { completed_at } = await stepById(db.sql, mission.step('a'))
    expect(Date.now() - (completed_at?.getTime() ?? 0)).toBeLessThan(60_000)
  })

  test('a status that does not exist', async () => {
    const mission = await start([{ key: 'a' }])
    expect(await refusal(set(mission.step('a'), 'done'))).toMatchObject({ code: '22P02' })
  })
})

describe('at the same time as the engine', () => {
  const openOperator = () => openSession({ url: urlFor(db, 'ops_operator') })

  test('a hand edit waits while another holds the mission, and then finds what that has done', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
    ])
    const claims = await next()
    const b = claims.find((c) => c.key === 'b')
    if (!b) throw new Error('two claims expected')
    const [engine, operator] = [await openSession(db), await openOperator()]
    await engine.begin()
    await complete(engine.sql, [lease(b)])
    const { answer } = await whileBlocked(db.sql, operator, (sql) => set(mission.step('a'), 'cancelled', sql))
    await engine.commit()
    await answer
    expect(await statuses(mission)).toEqual({ a: 'cancelled', b: 'succeeded' })
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'cancelled', steps_open: 0 })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:cancelled'])
  })

  test('a completion waits for a hand edit of its own step, and has lost', async () => {
    const mission = await start([{ key: 'a' }])
    const claimed = await nextOne()
    const [operator, engine] = [await openOperator(), await openSession(db)]
    await operator.begin()
    await set(mission.step('a'), 'cancelled', operator.sql)
    const { answer } = await whileBlocked(db.sql, engine, (sql) => complete(sql, [lease(claimed)]))
    await operator.commit()
    expect(await answer).toMatchObject([{ outcome: 'lost', mission_status: 'cancelled' }])
    expect(await runsOf(db.sql, mission.step('a'))).toEqual([[1, 'cancelled']])
  })

  test('when both hold what the other needs, one of them is told so and has changed nothing', async () => {
    const mission = await start([{ key: 'a' }])
    const claimed = await nextOne()
    const [engine, operator] = [await openSession(db), await openOperator()]
    await engine.begin()
    await engine.sql`select from ops_missions where id = ${mission.id} for no key update`
    const edit = await whileBlocked(db.sql, operator, (sql) => set(mission.step('a'), 'cancelled', sql))
    // The hand edit holds the step by now, and waits for the mission.
    const ends = complete(engine.sql, [lease(claimed)]).then(
      (answers) => answers[0]?.outcome,
      (error) => error.code,
    )
    const [completed, edited] = await Promise.all([
      ends,
      edit.answer.then(
        () => 'ok',
        (error) => error.code,
      ),
    ])
    await (completed === 'ok' ? engine.commit() : engine.rollback())
    expect([completed, edited].sort()).toEqual(['40P01', 'ok'])
    expect(await statuses(mission)).toEqual({ a: completed === 'ok' ? 'succeeded' : 'cancelled' })
  })

  test('edits of two steps of one mission by two operators wait for each other', async () => {
    const mission = await start([
      { key: 'a', depends_on: [] },
      { key: 'b', depends_on: [] },
    ])
    const [one, other] = [await openOperator(), await openOperator()]
    await one.begin()
    await set(mission.step('a'), 'succeeded', one.sql)
    const { answer } = await whileBlocked(db.sql, other, (sql) => set(mission.step('b'), 'succeeded', sql))
    await one.commit()
    await answer
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded', steps_open: 0 })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:succeeded'])
  })
})
