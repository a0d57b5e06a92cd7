/** Recovery: attempts whose worker fell silent or runs on for ever, in bounded batches that nobody can hold up. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSession, type Session } from './contention.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import {
  type Claim,
  claim,
  claimOne,
  complete,
  endsOf,
  lease,
  missionRow,
  recoverExpired,
  recoverStale,
  registerWorker,
  renew,
  runsOf,
  type StepTemplate,
  startMission,
  statusesOf,
  stepById,
} from './work.js'
import { brokenInvariants, type Clock, setPolicy, stopClock } from './world.js'

let db: SharedDatabase
let clock: Clock
let worker: string
let holder: Session

beforeAll(async () => {
  db = await openSharedDatabase()
  holder = await openSession(db)
})
beforeEach(async () => {
  await db.reset()
  clock = await stopClock(db.sql)
  worker = await registerWorker(db.sql)
})
afterEach(async () => {
  await holder.rollback()
  expect(await brokenInvariants(db.sql)).toEqual([])
})

/** Starts missions of one step each and claims them all; their leases end in this order. */
async function leased(n: number, step: StepTemplate = {}, leaseSeconds = 60): Promise<Claim[]> {
  const claims: Claim[] = []
  for (let i = 0; i < n; i++) {
    await startMission(db.sql, [{ key: 'a', ...step }])
    claims.push(await claimOne(db.sql, worker, { leaseSeconds: leaseSeconds + i }))
  }
  return claims
}

const ids = (claims: Claim[]) => claims.map((c) => c.step_id)
const statuses = async (claims: Claim[]) =>
  Promise.all(ids(claims).map(async (id) => (await stepById(db.sql, id)).status))

describe('expired leases', () => {
  test('leave a step alone until the moment has passed', async () => {
    const claims = await leased(1)
    await clock.advance(60)
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 0, failed_steps: 0 })
    await clock.advance(0.001)
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 1, failed_steps: 0 })
    expect(await statuses(claims)).toEqual(['queued'])
  })

  test('fill a batch, however few steps each claim took, and whatever ended before', async () => {
    for (let n = 0; n < 6; n++) {
      await startMission(
        db.sql,
        Array.from({ length: 45 }, (_, k) => ({ key: `part-${k}`, depends_on: [] })),
      )
    }
    const claims: Claim[] = []
    for (let n = 0; n < 270; n++) claims.push(await claimOne(db.sql, worker, { leaseSeconds: 60 + n }))
    await complete(db.sql, claims.slice(0, 10).map(lease))
    await clock.advance(400)
    expect(await recoverExpired(db.sql, 250)).toEqual({ requeued_steps: 250, failed_steps: 0 })
    expect(await recoverExpired(db.sql, 250)).toEqual({ requeued_steps: 10, failed_steps: 0 })
  })

  test('requeue a step with a failure, its backoff and a record of the attempt', async () => {
    await setPolicy(db.sql, 'worker_policy', { backoff_base_seconds: 40, backoff_max_seconds: 40 })
    const [claimed] = await leased(1)
    if (!claimed) throw new Error('one step expected')
    await clock.advance(61)
    await recoverExpired(db.sql)
    const step = await stepById(db.sql, claimed.step_id)
    expect(step).toMatchObject({ status: 'queued', failure_count: 1, lease_token: null })
    expect(step.last_error).toBe('lease expired: the worker fell silent')
    const wait = step.run_at.getTime() - (await clock.now()).getTime()
    expect(wait).toBeGreaterThanOrEqual(0)
    expect(wait).toBeLessThanOrEqual(40_000)
    expect(await runsOf(db.sql, claimed.step_id)).toEqual([[1, 'failed']])
    expect(await complete(db.sql, [lease(claimed)])).toMatchObject([{ outcome: 'lost' }])
  })

  test('dead-letter a step that is out of attempts and end its mission', async () => {
    const mission = await startMission(db.sql, [
      { key: 'a', max_retries: 1, depends_on: [] },
      { key: 'b', depends_on: [] },
      { key: 'c', depends_on: ['a'] },
    ])
    await claim(db.sql, worker, { leaseSeconds: 60 })
    await clock.advance(61)
    // b has attempts left; it is stopped with its mission.
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 0, failed_steps: 1 })
    expect(await statusesOf(db.sql, mission.id)).toEqual({ a: 'failed', b: 'cancelled', c: 'cancelled' })
    expect(await endsOf(db.sql, mission.id)).toEqual(['mission:failed'])
  })

  test('that were renewed in time are not expired', async () => {
    const claims = await leased(1)
    await clock.advance(59)
    await renew(db.sql, claims.map(lease), 60)
    await clock.advance(59)
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 0, failed_steps: 0 })
    await clock.advance(2)
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 1, failed_steps: 0 })
  })

  test('are no obstacle to a worker that answers before anyone noticed', async () => {
    const claims = await leased(1)
    await clock.advance(3600)
    expect(await complete(db.sql, claims.map(lease))).toMatchObject([{ outcome: 'ok' }])
    expect(await recoverExpired(db.sql)).toEqual({ requeued_steps: 0, failed_steps: 0 })
  })

  test('wear a step out: as many claims as it has attempts, then a dead letter', async () => {
    const [claimed] = await leased(1, { max_retries: 3 })
    if (!claimed) throw new Error('one step expected')
    for (let attempt = 1; attempt <= 3; attempt++) {
      await clock.advance(3600)
      expect(await recoverExpired(db.sql)).toEqual(
        attempt < 3 ? { requeued_steps: 1, failed_steps: 0 } : { requeued_steps: 0, failed_steps: 1 },
      )
      await clock.advance(3600)
      await claim(db.sql, worker, { leaseSeconds: 60 })
    }
    expect(await stepById(db.sql, claimed.step_id)).toMatchObject({ status: 'failed', attempt: 3 })
  })
})

describe('stale steps', () => {
  test('are those that run past the threshold, however often they were renewed', async () => {
    const claims = await leased(1)
    for (let minute = 0; minute < 15; minute++) {
      expect(await recoverStale(db.sql)).toBe(0)
      await clock.advance(60)
      await renew(db.sql, claims.map(lease), 3600)
    }
    await clock.advance(1)
    expect(await recoverStale(db.sql)).toBe(1)
    expect((await stepById(db.sql, claims[0]?.step_id ?? '')).last_error).toBe(
      'stale: still running after 901 seconds',
    )
  })

  test('have a threshold by the call, then by policy, then 15 minutes', async () => {
    await leased(1, {}, 36_000)
    await clock.advance(5 * 60 + 1)
    expect(await recoverStale(db.sql)).toBe(0)
    await setPolicy(db.sql, 'worker_policy', { stale_minutes: 6 })
    expect(await recoverStale(db.sql)).toBe(0)
    expect(await recoverStale(db.sql, 5)).toBe(1)
  })

  test('have, with a timeout of their own, that and a minute for the worker to end them', async () => {
    const long = await leased(1, { timeout_seconds: 7200 }, 36_000)
    const short = await leased(1, { timeout_seconds: 10 }, 36_000)
    await clock.advance(70)
    expect(await recoverStale(db.sql, 1)).toBe(0)
    await clock.advance(1)
    expect(await recoverStale(db.sql, 1)).toBe(1)
    expect(await statuses([...long, ...short])).toEqual(['running', 'queued'])
    await clock.advance(7190)
    expect(await recoverStale(db.sql, 1)).toBe(1)
  })

  test('that are out of attempts die and end their mission', async () => {
    const [claimed] = await leased(1, { max_retries: 1 }, 36_000)
    await clock.advance(901)
    expect(await recoverStale(db.sql)).toBe(1)
    expect(await missionRow(db.sql, claimed?.mission_id ?? '')).toMatchObject({ status: 'failed' })
  })
})

describe.each<[string, StepTemplate, 'lease' | 'stale']>([
  ['whose lease has expired and that can be tried again', {}, 'lease'],
  ['whose lease has expired and that are out of attempts', { max_retries: 1 }, 'lease'],
  ['that are stale and can be tried again', {}, 'stale'],
  ['that are stale and out of attempts', { max_retries: 1 }, 'stale'],
])('batches of steps %s', (_, step, mode) => {
  const recovered = async (limit: number) => {
    if (mode === 'stale') return recoverStale(db.sql, null, limit)
    const { requeued_steps, failed_steps } = await recoverExpired(db.sql, limit)
    return requeued_steps + failed_steps
  }

  test('are bounded, oldest deadline first, and drain in the end', async () => {
    const claims = await leased(5, step)
    await clock.advance(3600)
    expect(await recovered(2)).toBe(2)
    expect((await statuses(claims)).map((status) => status === 'running')).toEqual([
      false,
      false,
      true,
      true,
      true,
    ])
    expect(await recovered(2)).toBe(2)
    expect(await recovered(2)).toBe(1)
    expect(await recovered(2)).toBe(0)
  })

  test('pass over steps that somebody holds, before the limit counts', async () => {
    const claims = await leased(5, step)
    await clock.advance(3600)
    await holder.begin()
    await holder.sql`select from ops_mission_steps where id = any(${ids(claims).slice(0, 3)}) for update`
    expect(await recovered(1)).toBe(1)
    expect(await recovered(1)).toBe(1)
    expect(await recovered(1)).toBe(0)
    await holder.rollback()
    expect(await recovered(10)).toBe(3)
  })

  test('pass over missions that somebody holds, if their steps would die', async () => {
    const claims = await leased(3, step)
    await clock.advance(3600)
    await holder.begin()
    await holder.sql`select from ops_missions where id = any(${claims.slice(0, 2).map((c) => c.mission_id)}) for update`
    const free = step.max_retries === 1 ? 1 : 3
    for (let i = 0; i < free; i++) expect(await recovered(1)).toBe(1)
    expect(await recovered(1)).toBe(0)
    await holder.rollback()
    expect(await recovered(10)).toBe(3 - free)
  })

  test('pass over missions of which somebody holds another open step', async () => {
    const missions = []
    for (let i = 0; i < 3; i++)
      missions.push(
        await startMission(db.sql, [
          { key: 'runs', depends_on: [], ...step },
          { key: 'waits', depends_on: ['runs'] },
        ]),
      )
    await claim(db.sql, worker, { leaseSeconds: 60 })
    await clock.advance(3600)
    await holder.begin()
    await holder.sql`select from ops_mission_steps where id = any(${missions.slice(0, 2).map((m) => m.step('waits'))}) for update`
    const free = step.max_retries === 1 ? 1 : 3
    for (let i = 0; i < free; i++) expect(await recovered(1)).toBe(1)
    expect(await recovered(1)).toBe(0)
    await holder.rollback()
    expect(await recovered(10)).toBe(3 - free)
  })
})
