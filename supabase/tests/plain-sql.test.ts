/**
 * The runbook's plainest queries on nothing but the columns they name, in memory: what operators copy from it needs none of the
 * engine's functions. How the same queries do on the real tables is in dashboards.test.ts.
 */
import { newDb } from 'pg-mem'
import { expect, test } from 'vitest'

function plainTables() {
  const db = newDb()
  db.public.none(`
    create table ops_agent_events (id int, type text, processed_at timestamptz, created_at timestamptz);
    create table ops_agent_reactions (id int, status text);
    create table ops_mission_steps (id int, kind text, status text, last_error text, updated_at timestamptz);
    create table ops_missions (id int, status text, created_at timestamptz);
  `)
  return db.public
}

test('queue depth counts what waits in each queue', () => {
  const db = plainTables()
  db.none(`
    insert into ops_agent_events values (1, 'a', null, now()), (2, 'b', now(), now());
    insert into ops_agent_reactions values (1, 'queued'), (2, 'done'), (3, 'queued');
    insert into ops_mission_steps values (1, 'noop', 'running', null, now());
  `)
  const rows = db.many(`
    SELECT 'queued_events' as metric, count(*) FROM ops_agent_events WHERE processed_at IS NULL
    UNION ALL
    SELECT 'queued_reactions', count(*) FROM ops_agent_reactions WHERE status = 'queued'
    UNION ALL
    SELECT 'queued_steps', count(*) FROM ops_mission_steps WHERE status = 'queued'`)
  expect(rows.map((row) => Object.values(row))).toEqual([
    ['queued_events', 1],
    ['queued_reactions', 2],
    ['queued_steps', 0],
  ])
})

test('recent errors are the failed steps, newest first', () => {
  const db = plainTables()
  db.none(`
    insert into ops_mission_steps values
      (1, 'http', 'failed', 'first', '2026-01-01'), (2, 'http', 'succeeded', null, '2026-01-02'), (3, 'radar', 'failed', 'second', '2026-01-03')`)
  const rows = db.many(`
    SELECT s.kind, s.last_error, s.updated_at FROM ops_mission_steps s
    WHERE s.status = 'failed' ORDER BY s.updated_at DESC LIMIT 20`)
  expect(rows.map((row) => row.last_error)).toEqual(['second', 'first'])
})

test('active missions are counted by their status', () => {
  const db = plainTables()
  db.none(
    `insert into ops_missions values (1, 'running', now()), (2, 'running', now()), (3, 'failed', now())`,
  )
  const rows = db.many(`
    SELECT status, count(*) as count FROM ops_missions
    WHERE created_at > now() - interval '24 hours' GROUP BY status ORDER BY status`)
  expect(rows).toEqual([
    { status: 'failed', count: 1 },
    { status: 'running', count: 2 },
  ])
})
