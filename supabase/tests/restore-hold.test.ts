/** A copy of a database that was taken in flight hands out nothing until an operator says that it is the one to go on. */
import postgres from 'postgres'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { adminUrlFor, freshDatabase, type TestDatabase, urlFor } from '../../test/support/database.js'
import * as work from './work.js'
import { brokenInvariants, openDatabase, setPolicy } from './world.js'

let original: TestDatabase
let workerId: string

beforeEach(async () => {
  original = await openDatabase()
  workerId = await work.registerWorker(original.sql)
})
const opened: { end(): Promise<void> }[] = []
afterEach(async () => {
  for (const sql of opened.splice(0)) await sql.end()
})

function login(url: string): postgres.Sql {
  const sql = postgres(url, { max: 2, onnotice: () => undefined })
  opened.push(sql)
  return sql
}

/** Another database with the same rows, as a restored dump is; the original goes on. */
async function copy(): Promise<TestDatabase> {
  const target = await freshDatabase({ empty: true })
  await original.sql.end()
  const admin = login(adminUrlFor({ name: 'postgres' }))
  await target.sql.end()
  await admin.unsafe(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname in ('${original.name}', '${target.name}')`,
  )
  await admin.unsafe(`drop database "${target.name}"`)
  await admin.unsafe(`create database "${target.name}" template "${original.name}" owner postgres`)
  return { ...target, sql: login(target.url) }
}

test('a new database is not held, and its first worker makes it the home of its work', async () => {
  const fresh = await openDatabase()
  expect(await fresh.sql`select held, home from ops_hold()`).toEqual([{ held: false, home: null }])
  const [claimed] = await work.claim(fresh.sql, await work.registerWorker(fresh.sql))
  expect(claimed).toBeUndefined()
  expect(await fresh.sql`select held, home = here as here from ops_hold()`).toEqual([
    { held: false, here: true },
  ])
})

test('a clone without work is not held', async () => {
  const untouched = await freshDatabase()
  expect(await untouched.sql`select ops_health() -> 'held' as held`).toEqual([{ held: false }])
})

test('a restored copy hands out nothing and takes nothing back, until an operator releases it', async () => {
  const { sql } = original
  await work.startMission(sql, [{ key: 'in-flight' }])
  const claimed = await work.claimOne(sql, workerId)
  await work.startMission(sql, [{ key: 'queued' }])
  const restored = await copy()

  await restored.sql`update ops_mission_steps set lease_expires_at = now() - interval '1 hour' where status = 'running'`
  const itsWorker = await work.registerWorker(restored.sql)
  expect(await work.claim(restored.sql, itsWorker)).toEqual([])
  expect(await restored.sql`select * from ops_claim_next_step(5)`).toEqual([])
  expect(await work.recoverExpired(restored.sql)).toEqual({ requeued_steps: 0, failed_steps: 0 })
  expect(await work.recoverStale(restored.sql, 1)).toBe(0)
  expect(await restored.sql`select held, steps_running, steps_queued from ops_hold()`).toEqual([
    { held: true, steps_running: 1, steps_queued: 1 },
  ])
  expect(
    await restored.sql`select ops_health() ->> 'status' as status, ops_health() -> 'held' as held`,
  ).toEqual([{ status: 'degraded', held: true }])
  expect(await restored.sql`select step_id, attempt from ops_held_steps`).toEqual([
    { step_id: claimed.step_id, attempt: 1 },
  ])

  expect(await restored.sql`select * from ops_release_hold('dana')`).toEqual([
    { released: true, steps_running: 1 },
  ])
  expect(await restored.sql`select released_by, steps_running from ops.homes order by id`).toEqual([
    { released_by: null, steps_running: 0 },
    { released_by: 'dana', steps_running: 1 },
  ])
  expect(await restored.sql`select * from ops_held_steps`).toEqual([])
  expect(await work.claim(restored.sql, itsWorker)).toMatchObject([{ key: 'queued' }])
  expect(await work.recoverExpired(restored.sql)).toEqual({ requeued_steps: 1, failed_steps: 0 })
  expect(await restored.sql`select * from ops_release_hold('dana')`).toEqual([
    { released: false, steps_running: 0 },
  ])
  expect(await brokenInvariants(restored.sql)).toEqual([])
})

test('in a held copy a worker that still has its lease records its result, and an operator may cancel', async () => {
  const { sql } = original
  const ids = await work.startMission(sql, [{ key: 'a' }, { key: 'b', depends_on: [] }])
  const claims = await work.claim(sql, workerId)
  const restored = await copy()
  const [first, second] = claims
  if (!first || !second) throw new Error('two claims')
  expect(await work.renew(restored.sql, [work.lease(first)])).toMatchObject([{ outcome: 'ok' }])
  expect(await work.complete(restored.sql, [work.lease(first)])).toMatchObject([{ outcome: 'ok' }])
  expect(await work.cancelStep(restored.sql, second.step_id)).toMatchObject({ status: 'cancelled' })
  expect(await restored.sql`select * from ops_held_steps`).toEqual([])
  expect(Object.values(await work.statusesOf(restored.sql, ids.id)).sort()).toEqual([
    'cancelled',
    'succeeded',
  ])
})

test('the original is not held by its copy', async () => {
  await copy()
  const sql = login(original.url)
  await work.startMission(sql, [{}])
  expect(await work.claim(sql, workerId)).toHaveLength(1)
})

test('a held copy tells nobody of alerts: whom to tell is up to the database that it was taken from', async () => {
  const { sql } = original
  await work.registerWorker(sql)
  await setPolicy(sql, 'alerts', {
    rules: { queued_events: { warning: 0 }, heartbeat_silence_minutes: { warning: 15 } },
    channels: { chat: { type: 'slack' } },
    routes: { warning: ['chat'] },
  })
  await sql`delete from ops.watch`
  await sql`insert into ops_agent_events (type) values ('test:unprocessed')`
  await sql`insert into ops.heartbeats (ok, report, at) values (true, '{}', now() - interval '10 minutes')`
  await sql`select ops_evaluate_alerts()`
  await work.startMission(sql, [{}])
  await work.claim(sql, workerId)
  const restored = await copy()
  await restored.sql`update ops.heartbeats set at = now() - interval '1 hour'`
  expect(await restored.sql`select ops_watch_heartbeat() as said`).toEqual([{ said: null }])
  expect(await restored.sql`select * from ops_claim_notices()`).toEqual([])
  await restored.sql`select * from ops_release_hold('dana')`
  expect(await restored.sql`select channel from ops_claim_notices()`).toEqual([{ channel: 'chat' }])
  expect(await restored.sql`select ops_watch_heartbeat() -> 'silent_minutes' as silent`).toEqual([
    { silent: 60 },
  ])
})

test('tables restored over themselves are a copy too, also to a session that has claimed before', async () => {
  const sql = postgres(original.url, { max: 1, onnotice: () => undefined })
  opened.push(sql)
  await work.startMission(sql, [{}])
  await work.claimOne(sql, workerId)
  await work.startMission(sql, [{}])
  // What pg_restore --clean does to each table.
  await sql.unsafe(`
    create temp table kept as select * from ops.homes;
    alter table ops.homes rename to old_homes;
    create table ops.homes (like ops.old_homes including all);
    insert into ops.homes select * from kept;`)
  expect(await work.claim(sql, workerId)).toEqual([])
})

test('a worker cannot release what is held, and whoever does has a name', async () => {
  const worker = login(urlFor(original, 'ops_worker'))
  await expect(worker`select * from ops_release_hold('dana')`).rejects.toThrow('permission denied')
  const operator = login(urlFor(original, 'ops_operator'))
  await expect(operator`select * from ops_release_hold(' ')`).rejects.toMatchObject({ code: 'OP011' })
  expect(await operator`select * from ops_release_hold('dana')`).toEqual([
    { released: false, steps_running: 0 },
  ])
})
