/** What the heartbeat adds up for /metrics: what is new, at the cost of what is new, whatever the planner knows. */
import postgres from 'postgres'
import { beforeAll, describe, expect, test } from 'vitest'
import { adminUrlFor, type TestDatabase } from '../../test/support/database.js'
import { openPlanner, type Planner } from './plans.js'
import { claimOne, complete, fail, lease, registerWorker, startMission } from './work.js'
import { openDatabase } from './world.js'

const FINISHED = 40_000
/** The pages of a BRIN range hold less. */
const FEW = 15_000

let db: TestDatabase
/** A session that has planned everything while nothing was there. */
let old: Planner

/** Adds up the last six minutes but one. */
const rollUp = async ({ sql }: Pick<Planner, 'sql'>) => {
  await sql`update ops.totals_until set at = ops.now() - interval '6 minutes'`
  await sql`select ops_roll_up_metrics()`
}

beforeAll(async () => {
  db = await openDatabase()
  old = await openPlanner(db)
  // From the sixth time on by a plan for whatever the arguments are.
  for (let i = 0; i < 7; i++) await rollUp(old)

  const worker = await registerWorker(db.sql)
  for (let i = 0; i < 3; i++) await startMission(db.sql, [{ max_retries: 2 }])
  await complete(db.sql, [lease(await claimOne(db.sql, worker))])
  await fail(db.sql, [{ ...lease(await claimOne(db.sql, worker)), error: 'no', permanent: true }])
  await fail(db.sql, [{ ...lease(await claimOne(db.sql, worker)), error: 'no', retry_after_seconds: 60 }])

  const admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
  for (const table of ['ops_missions', 'ops_mission_steps', 'ops_action_runs', 'ops_agent_events'])
    await admin.unsafe(`alter table ${table} set (autovacuum_enabled = off)`)
  await admin`set session_replication_role = replica`
  await admin`update ops_action_runs set started_at = ops.now() - interval '4 minutes', completed_at = ops.now() - interval '3 minutes'`
  await admin`update ops_agent_events set created_at = ops.now() - interval '3 minutes'`
  await admin`
    with work as (
      select ops.new_id() as mission, ops.new_id() as step, ops.new_id() as run, ops.new_id() as proposal, ops.now() - n * interval '1 minute' as at
      from generate_series(100, ${100 + FINISHED - 1}::int) n
    ), mission as (
      insert into ops_missions (id, proposal_id, status, started_at, completed_at, created_at, updated_at, source, steps_total)
      select mission, proposal, 'succeeded', at, at, at, at, 'api', 1 from work
    ), step as (
      insert into ops_mission_steps (id, mission_id, kind, status, executor, reserved_at, completed_at, created_at, updated_at, attempt)
      select step, mission, 'noop', 'succeeded', 'noop', at, at, at, at, 1 from work
    ), run as (
      insert into ops_action_runs (id, step_id, status, started_at, completed_at, attempt) select run, step, 'succeeded', at, at, 1 from work
    )
    insert into ops_agent_events (type, run_id, processed_at, created_at) select 'test:part', run, at, at from work`
  await admin`select brin_summarize_new_values('ops_action_runs_completed'), brin_summarize_new_values('ops_agent_events_created')`
  await admin.end()
})

const dear = async (planner: Planner) => {
  for (let i = 0; i < 7; i++) await rollUp(planner)
  const large = /^ops_(missions|mission_steps|action_runs|agent_events)$/
  const found = planner
    .ran()
    .filter(({ rows, scanned }) => rows > FEW || scanned.some((table) => large.test(table)))
    .map(({ query, rows, scanned }) => `${rows > FEW ? rows : `all of ${scanned}`}: ${query}`)
  return [...new Set(found)]
}

describe('40,000 runs that ended before are not read', () => {
  test('by the measure of this test they would be found', async () => {
    const { sql, ran } = await openPlanner(db)
    await sql`select count(*) from ops_action_runs`
    expect(ran()).toMatchObject([{ rows: FINISHED + 4, scanned: ['ops_action_runs'] }])
  })

  test('by plans that were made over empty tables', async () => {
    expect(await dear(old)).toEqual([])
  })

  test('before the planner knows of them', async () => {
    expect(await dear(await openPlanner(db))).toEqual([])
  })

  test('when the planner knows of them', async () => {
    await db.sql`analyze`
    expect(await dear(old)).toEqual([])
    expect(await dear(await openPlanner(db))).toEqual([])
  })
})

test('an attempt that kills its step is a death; one that is tried again is not', async () => {
  await db.sql`delete from ops.totals`
  await rollUp(db)
  const totals = await db.sql<{ metric: string; kind: string; outcome: string; count: number }[]>`
    select metric, kind, outcome, count::int from ops.totals order by metric, outcome`
  expect(totals).toEqual([
    { metric: 'attempts', kind: 'noop', outcome: 'failed', count: 2 },
    { metric: 'attempts', kind: 'noop', outcome: 'succeeded', count: 1 },
    { metric: 'deaths', kind: 'noop', outcome: 'failed', count: 1 },
  ])
})
