/** What waits costs nothing: watching and asking read a bounded number of rows of a long queue, also by plans that were made while it was empty. */
import postgres from 'postgres'
import { beforeAll, expect, test } from 'vitest'
import { adminUrlFor, type TestDatabase } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { openDatabase } from './world.js'

const BACKLOG = 15_000

let db: TestDatabase
/** A session that has planned every call while nothing was there. */
let old: postgres.Sql
let checks: string[]

/** By statement, how many rows of one table or index it may read. */
const calls = (): [statement: string, most: number][] => [
  [`delete from ops.watch; select ops_evaluate_alerts()`, 3000],
  ...checks.map((name): [string, number] => [`select * from ops_run_checks(array['${name}'])`, 3000]),
  ['select ops_watch_state()', 3000],
  [`update ops.totals_until set at = now() - interval '6 minutes'; select ops_roll_up_metrics()`, 3000],
  ['select * from ops_recover_expired_leases()', 3000],
  ['select * from ops_recover_stale_steps()', 3000],
  ['select * from ops_housekeeping(1000, 0)', 3000],
  // The queue is counted, and so are its missions, both due and scheduled.
  ['select ops_health()', 20_001],
  ['select ops_overview()', 10_100],
  ['select * from ops_hold()', 10_001],
  [`select ops_list_missions('{"status": "approved"}')`, 3000],
  [`select ops_list_steps('{"status": "queued"}')`, 3000],
  [
    `select ops_list_steps('{"status": "queued"}', 50, (select step_id from ops.queue order by step_id desc offset 999 limit 1))`,
    3000,
  ],
]

beforeAll(async () => {
  db = await openDatabase()
  old = postgres(db.url, { max: 1, onnotice: () => undefined })
  onFileEnd(() => old.end())
  const names = await old<{ name: string }[]>`select name from ops.all_checks() where not wide`
  checks = names.map(({ name }) => name)
  // From the sixth time on by a plan for whatever the arguments are.
  for (let i = 0; i < 7; i++) for (const [statement] of calls()) await read(old, statement)

  const admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
  const filled = ['ops_mission_proposals', 'ops_missions', 'ops_mission_steps', 'ops.queue']
  for (const table of filled) await admin.unsafe(`alter table ${table} set (autovacuum_enabled = off)`)
  await admin`set session_replication_role = replica`
  await admin`
    with due as (
      select ops.new_id() as proposal, ops.new_id() as mission, n % 2 = 0 as ready from generate_series(1, ${2 * BACKLOG}::int) n
    ), proposal as (
      insert into ops_mission_proposals (id, source, status, template, code, reason, approved_at)
      select proposal, 'api', 'auto_approved', '{"title": "t"}', 'auto_approved', 'admitted', ops.now() from due
    ), mission as (
      insert into ops_missions (id, proposal_id, source, steps_total, steps_open) select mission, proposal, 'api', 1, 1 from due
    ), step as (
      insert into ops_mission_steps (mission_id, kind, executor, key, revision, ready, run_at)
      select mission, 'noop', 'noop', 'a', 1, ready, ops.now() + case when ready then '0' else '1 day' end::interval from due
      returning id, mission_id, status, executor, priority, run_at, ready
    )
    insert into ops.queue (step_id, mission_id, status, executor, priority, run_at, ready) select * from step`
  await admin`
    insert into ops_action_runs (step_id, status, started_at, completed_at)
    select id, 'failed', ops.now() - interval '4 minutes', ops.now() - interval '3 minutes' from ops_mission_steps limit 1`
  await admin.end()
})

/** The most rows that a statement reads of one table or index, and what that is. What it does is undone. */
async function read(sql: postgres.Sql, statement: string): Promise<{ name: string; rows: number }> {
  const undo = new Error('undo')
  let most = { name: '', rows: -1 }
  await sql
    .begin(async (tx) => {
      const before = new Map((await counters(tx)).map(({ name, rows }) => [name, rows]))
      await tx.unsafe(statement)
      for (const { name, rows } of await counters(tx)) {
        const more = rows - (before.get(name) ?? 0)
        if (more > most.rows) most = { name, rows: more }
      }
      throw undo
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error
    })
  return most
}

/** Rows that this session has read of each table and index, as far as it has not told the server yet. */
const counters = (tx: postgres.TransactionSql) => tx<{ name: string; rows: number }[]>`
  select c.relname as name, pg_stat_get_xact_tuples_returned(c.oid)::int as rows from pg_class c
  where c.relnamespace in ('public'::regnamespace, 'ops'::regnamespace) and c.relkind in ('r', 'i')`

const tooMuch = async (sql: postgres.Sql) => {
  const found: string[] = []
  for (const [statement, most] of calls()) {
    const { name, rows } = await read(sql, statement)
    if (rows > most) found.push(`${rows} rows of ${name}: ${statement}`)
  }
  return found
}

test('is found by the measure of this test when something reads all of it', async () => {
  expect((await read(db.sql, 'select count(*) from ops.queue')).rows).toBeGreaterThanOrEqual(2 * BACKLOG)
})

test('by plans that were made over empty tables', async () => {
  expect(await tooMuch(old)).toEqual([])
})

test('before the planner knows of it', async () => {
  expect(await tooMuch(db.sql)).toEqual([])
})

test('when the planner knows of it', async () => {
  await db.sql`analyze`
  expect(await tooMuch(db.sql)).toEqual([])
})

test('what counts it says where it stopped', async () => {
  const [overview] = await db.sql`
    select o -> 'counted_up_to' as most, o -> 'executors' as executors from ops_overview() o`
  expect(overview).toMatchObject({
    most: 10_000,
    executors: [{ executor: 'noop', queued: 10_000, scheduled: 10_000, running: 0 }],
  })
  const [hold] = await db.sql`select steps_queued, counted_up_to from ops_hold()`
  expect(hold).toEqual({ steps_queued: 10_000, counted_up_to: 10_000 })
})

test.each([
  ['ops_list_missions', 'ops_missions', 'approved', { steps_open: 0 }],
  ['ops_list_steps', 'ops_mission_steps', 'queued', {}],
])(
  '%s answers what is open page by page, also behind thousands that have ended since',
  async (list, table, status, closed) => {
    const undo = new Error('undo')
    const admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
    await admin
      .begin(async (tx) => {
        await tx`set local session_replication_role = replica`
        const kept = await tx<{ id: string }[]>`
        select id from ${tx(table)} where status::text = ${status} order by id desc offset 40 limit 2200`
        const open = kept.map(({ id }) => id).filter((_, n) => n < 60 || n > 2140)
        await tx`delete from ${tx(table)} where id < ${open.at(-1) ?? ''}`
        await tx`update ${tx(table)} set ${tx({ ...closed, status: 'succeeded', completed_at: new Date() })} where id <> all (${open}::uuid[])`
        const found: string[] = []
        for (;;) {
          const page = await tx<{ id: string }[]>`
          select row ->> 'id' as id from ${tx(list)}(${tx.json({ status })}::jsonb, 50, ${found.at(-1) ?? null}) row`
          found.push(...page.map(({ id }) => id))
          if (page.length < 50) break
        }
        expect(found).toEqual(open)
        throw undo
      })
      .catch((error: unknown) => {
        if (error !== undo) throw error
      })
      .finally(() => admin.end())
  },
)
