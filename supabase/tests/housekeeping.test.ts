/** Housekeeping: what has had its time goes, and nothing else does. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSession } from './contention.js'
import { emitOne, pending, settle } from './loop.js'
import { count, propose } from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import { type Connection, claim, complete, lease, registerWorker, startMission } from './work.js'
import { brokenInvariants, type Clock, setPolicy, stopClock } from './world.js'

const DAY = 86_400

let db: SharedDatabase
let sql: Connection
let clock: Clock

beforeAll(async () => {
  db = await openSharedDatabase()
  sql = db.sql
})
beforeEach(async () => {
  await db.reset()
  clock = await stopClock(sql)
})
afterEach(async () => expect(await brokenInvariants(sql)).toEqual([]))

interface Tidied {
  archived_chains: number
  forgotten_rows: number
  deleted_rows: number
  more: boolean
}

async function tidy(limit = 1000, everyMinutes = 0, connection: Connection = sql): Promise<Tidied> {
  const [tidied] = await connection<Tidied[]>`select * from ops_housekeeping(${limit}, ${everyMinutes})`
  if (!tidied) throw new Error('no answer')
  return tidied
}

async function beat(): Promise<void> {
  await clock.advance(1)
  await sql`select ops_record_heartbeat(true, '{}')`
}

/** A mission that ran and ended. */
async function finished(): Promise<void> {
  await startMission(sql, [{ key: 'a' }])
  const worker = await registerWorker(sql)
  await complete(sql, (await claim(sql, worker)).map(lease))
  const ids = await pending(sql)
  await settle(sql, Object.fromEntries(ids.map((id) => [id, []])))
}

describe('housekeeping', () => {
  test('on a young database does nothing', async () => {
    await finished()
    await beat()
    await clock.advance(6 * DAY)
    expect(await tidy()).toEqual({ archived_chains: 0, forgotten_rows: 0, deleted_rows: 0, more: false })
    expect(await count(sql, 'ops_missions')).toBe(1)
  })

  test('archives finished chains after the days of the policy, and says how to go on', async () => {
    await setPolicy(sql, 'retention', { archive_after_days: 10 })
    for (let n = 0; n < 3; n++) await finished()
    await clock.advance(11 * DAY)
    expect(await tidy(2)).toMatchObject({ archived_chains: 2, more: true })
    expect(await tidy(2)).toMatchObject({ archived_chains: 1, more: false })
    expect(await count(sql, 'ops_missions')).toBe(0)
    expect(await count(sql, 'ops.archive')).toBeGreaterThan(0)
  })

  test('forgets the archive only where the policy says so', async () => {
    await setPolicy(sql, 'retention', { archive_after_days: 10 })
    await finished()
    await clock.advance(11 * DAY)
    await tidy()
    await clock.advance(10_000 * DAY)
    expect(await tidy()).toMatchObject({ forgotten_rows: 0 })
    await setPolicy(sql, 'retention', { archive_after_days: 10, delete_archived_after_days: 30 })
    const kept = await count(sql, 'ops.archive')
    expect(await tidy(2)).toMatchObject({ forgotten_rows: 2, more: true })
    expect(await tidy()).toMatchObject({ forgotten_rows: kept - 2, more: false })
  })

  test('beats go without a trace, all but the last', async () => {
    await setPolicy(sql, 'retention', { heartbeat_days: 2 })
    for (let n = 0; n < 5; n++) await beat()
    await emitOne(sql, { type: 'app:kept' })
    await clock.advance(3 * DAY)
    expect(await tidy()).toMatchObject({ deleted_rows: 9 })
    expect(await sql`select type from ops_agent_events`).toEqual([{ type: 'app:kept' }])
    expect(await count(sql, 'ops.heartbeats')).toBe(1)
    expect(await count(sql, 'ops.archive')).toBe(0)
  })

  test('workers that ended go, those that were seen stay', async () => {
    await registerWorker(sql)
    await clock.advance(8 * DAY)
    const seen = await registerWorker(sql)
    expect(await tidy()).toMatchObject({ deleted_rows: 1 })
    expect(await sql`select id from ops.workers`).toEqual([{ id: seen }])
  })

  test('late results go with what they speak of', async () => {
    await startMission(sql, [{ key: 'a' }])
    const [held] = await claim(sql, await registerWorker(sql))
    if (!held) throw new Error('nothing to claim')
    await complete(sql, [lease(held)])
    await complete(sql, [lease(held)])
    expect(await count(sql, 'ops.late_results')).toBe(1)
    await clock.advance(89 * DAY)
    await tidy()
    expect(await count(sql, 'ops.late_results')).toBe(1)
    await clock.advance(2 * DAY)
    await tidy()
    expect(await count(sql, 'ops.late_results')).toBe(0)
  })

  test('cooldowns and threshold hits go when no pattern could ask for them', async () => {
    const id = await emitOne(sql, { type: 'app:x' })
    await sql`insert into ops.cooldowns (pattern_id, key, fired_at, event_id) values ('p', 'k', ops.now(), ${id})`
    await sql`insert into ops.threshold_hits (pattern_id, key, at, event_id) values ('p', 'k', ops.now(), ${id})`
    const left = async () => [await count(sql, 'ops.cooldowns'), await count(sql, 'ops.threshold_hits')]
    await clock.advance(7 * DAY)
    await tidy()
    expect(await left()).toEqual([1, 1])
    await clock.advance(2 * DAY)
    await tidy()
    expect(await left()).toEqual([1, 0])
    await clock.advance(360 * DAY)
    await tidy()
    expect(await left()).toEqual([0, 0])
  })

  test('cap counters of old days go, and the invariants know it', async () => {
    await setPolicy(sql, 'proposal_caps', { daily_limit: 10 })
    await propose(sql)
    await clock.advance(80 * DAY)
    await propose(sql)
    await tidy()
    expect(await count(sql, 'ops.cap_counters')).toBeGreaterThan(1)
    await clock.advance(30 * DAY)
    await tidy()
    const days = await sql`select distinct day from ops.cap_counters`
    expect(days).toHaveLength(1)
    expect(await brokenInvariants(sql)).toEqual([])
  })

  test('keys whose window is over go, keys of live work stay', async () => {
    await startMission(sql, [{ key: 'a' }])
    await sql`insert into ops.live_keys (dedupe_key, proposal_id, live, held_until)
      values ('over', gen_random_uuid(), false, ops.now() + interval '1 hour')`
    await tidy()
    expect(await count(sql, 'ops.live_keys')).toBe(1)
    await clock.advance(3601)
    await tidy()
    expect(await count(sql, 'ops.live_keys')).toBe(0)
  })

  test('is done once an hour, and again at once when there was more to do', async () => {
    await setPolicy(sql, 'retention', { heartbeat_days: 1 })
    for (let n = 0; n < 4; n++) await beat()
    await clock.advance(2 * DAY)
    expect(await tidy(2, 60)).toMatchObject({ more: true })
    expect(await tidy(2, 60)).toMatchObject({ more: true })
    expect(await tidy(2, 60)).toMatchObject({ deleted_rows: 0, more: false })
    await registerWorker(sql)
    await clock.advance(59 * 60)
    await sql`update ops.workers set last_seen_at = ops.now() - interval '8 days'`
    expect(await tidy(2, 60)).toMatchObject({ deleted_rows: 0 })
    await clock.advance(60)
    expect(await tidy(2, 60)).toMatchObject({ deleted_rows: 1 })
  })

  test('by two at once is done by one, and nobody waits', async () => {
    await setPolicy(sql, 'retention', { heartbeat_days: 1 })
    await beat()
    await beat()
    await clock.advance(2 * DAY)
    const first = await openSession(db)
    await first.begin()
    expect(await tidy(10, 0, first.sql)).toMatchObject({ deleted_rows: 3 })
    expect(await tidy()).toEqual({ archived_chains: 0, forgotten_rows: 0, deleted_rows: 0, more: false })
    await first.commit()
    expect(await tidy()).toMatchObject({ deleted_rows: 0 })
  })
})
