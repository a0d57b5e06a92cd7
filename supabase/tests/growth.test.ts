/** What has finished costs nothing: no function reads a large table, or more rows of it than it answers with or changes. */
import postgres from 'postgres'
import { beforeAll, describe, expect, test } from 'vitest'
import { adminUrlFor, type TestDatabase } from '../../test/support/database.js'
import { finishedWork, waitingWork } from './finished-work.js'
import { emit, matched, settle } from './loop.js'
import { noop, only, propose } from './proposals.js'
import { claim, registerWorker, startMission } from './work.js'
import { openDatabase, setPolicy } from './world.js'

let db: TestDatabase
const known: Record<string, string> = {}

beforeAll(async () => {
  db = await openDatabase()
  const { sql } = db
  const admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
  await admin.unsafe(finishedWork)
  await admin.end()
  await setPolicy(sql, 'retention', { archive_after_days: 30, batch_size: 5 })
  known.worker = await registerWorker(sql)
  for (let i = 0; i < 20; i++) await startMission(sql, [{ key: 'a' }, { key: 'b' }])
  await claim(sql, known.worker, { limit: 5 })
  known.mission = (await startMission(sql, [{ key: 'a' }, { key: 'b' }])).id
  const [event = '', other = ''] = await emit(sql, { type: 'e' }, { type: 'e' })
  await settle(sql, { [event]: [matched('p')] })
  known.event = other
  await setPolicy(sql, 'auto_approve', { enabled: false })
  known.proposal = (await propose(sql)).proposal_id
  const old = only(
    await sql`select e.id as "oldEvent", s.id as "oldStep", s.mission_id as "oldMission" from ops_agent_events e
      join ops_mission_proposals p on p.root_event_id = e.id join ops_missions m on m.proposal_id = p.id join ops_mission_steps s on s.mission_id = m.id order by e.id limit 1`,
  )
  Object.assign(known, old)
  known.dead = only(
    await sql<{ id: string }[]>`select id from ops_mission_steps where status = 'failed' order by id limit 1`,
  ).id
})

const claims = `select * from ops_claim_steps('{worker}', array['noop'], 10)`
const template = JSON.stringify(noop())
const outcomes = (verb: string) =>
  `select * from ${verb}((select jsonb_agg(to_jsonb(c) || '{"error": "no", "seconds": 5}') from (${claims}) c))`

/** By function; {names} stand for what is known by then. */
const calls: Record<string, string[]> = {
  ops_emit_events: [`select * from ops_emit_events('[{"type": "e", "dedupe_key": "k"}]')`],
  ops_pending_events: [
    'select * from ops_pending_events(100)',
    `select * from ops_pending_events(100, '{event}')`,
  ],
  ops_settle_events: [
    `select * from ops_settle_events(1, '{"event_id": ["{event}"], "decisions": [[{"pattern_id": "p", "decision": "matched", "mode": "active",
      "cooldown": {"minutes": 5, "key": ""}, "dedupe_key": "k"}]]}', '{"event": [0], "decision": [0], "payload": [{"pattern_id": "p",
      "proposal_template": ${template}, "dedupe_key": "k"}]}')`,
  ],
  ops_run_reactions: ['select * from ops_run_reactions(10)'],
  ops_create_proposal_and_maybe_autoapprove: [
    `select * from ops_create_proposal_and_maybe_autoapprove('k', 'api', '${template}')`,
  ],
  ops_create_proposals: [
    `select * from ops_create_proposals('[{"source": "api", "idempotency_key": "k", "template": ${template}}]')`,
  ],
  ops_gate_proposal: [
    `select * from ops_gate_proposal('${template}'::jsonb)`,
    `select * from ops_gate_proposal('{proposal}'::uuid)`,
  ],
  ops_approve_proposal: [`select * from ops_approve_proposal('{proposal}', 'dana')`],
  ops_reject_proposal: [`select * from ops_reject_proposal('{proposal}', 'dana')`],
  ops_expire_proposals: ['select ops_expire_proposals()'],
  ops_cap_usage: ['select * from ops_cap_usage()'],
  ops_claim_steps: [claims],
  ops_claim_next_step: ['select * from ops_claim_next_step(5)'],
  ops_renew_steps: [outcomes('ops_renew_steps')],
  ops_complete_steps: [outcomes('ops_complete_steps')],
  ops_fail_steps: [outcomes('ops_fail_steps')],
  ops_snooze_steps: [outcomes('ops_snooze_steps')],
  ops_release_steps: [outcomes('ops_release_steps')],
  ops_recover_expired_leases: [
    `with gone as (update ops_mission_steps set lease_expires_at = '2001-01-01'
       where id in (select id from ops.running_steps) returning 1) select count(*) from gone;
     select * from ops_recover_expired_leases()`,
  ],
  ops_recover_stale_steps: ['select * from ops_recover_stale_steps(0)'],
  ops_cancel_mission: [`select * from ops_cancel_mission('{mission}', 'dana')`],
  ops_cancel_step: [
    `select * from ops_cancel_step((select id from ops_mission_steps where mission_id = '{mission}' limit 1), 'dana')`,
  ],
  ops_retry_step: [`select * from ops_retry_step('{dead}', 'dana')`],
  ops_retry_dead_steps: ['select * from ops_retry_dead_steps(null, 5)'],
  ops_maybe_finalize_mission: [`select ops_maybe_finalize_mission('{mission}')`],
  ops_trace: [`select * from ops_trace('{oldStep}')`, `select * from ops_trace('{mission}')`],
  ops_why: [`select * from ops_why('{oldEvent}')`],
  ops_archive: [`select * from ops_archive('30 days', 5)`, `select * from ops_archive('300 days', 5)`],
  ops_housekeeping: ['select * from ops_housekeeping(100, 0)'],
  ops_list_events: [
    'select ops_list_events()',
    `select ops_list_events('{"root_event_id": "{oldEvent}"}')`,
    `select ops_list_events('{"processed": false}')`,
  ],
  ops_list_proposals: ['select ops_list_proposals()', `select ops_list_proposals('{"status": "pending"}')`],
  ops_list_missions: ['select ops_list_missions()', `select ops_list_missions('{"status": "running"}')`],
  ops_list_steps: [
    'select ops_list_steps()',
    `select ops_list_steps('{"mission_id": "{oldMission}"}')`,
    ...['queued', 'waiting', 'running', 'failed'].map(
      (status) => `select ops_list_steps('{"status": "${status}"}')`,
    ),
  ],
  ops_health: ['select ops_health()'],
  ops_overview: ['select ops_overview()'],
  ops_hold: ['select * from ops_hold()', 'select * from ops_held_steps'],
  ops_doctor: ['select * from ops_doctor()'],
  ops_watch_state: ['select ops_watch_state()'],
  ops_evaluate_alerts: ['select ops_evaluate_alerts()'],
  ops_record_heartbeat: [`select ops_record_heartbeat(true, '{}')`],
  ops_worker_heartbeat: [`select ops_worker_heartbeat('{worker}')`],
  ops_send_canary: ['select ops_send_canary()'],
}

/** Rows of the large tables that a statement reads, and how often it reads one from end to end. What it does is undone. */
async function cost(statement: string): Promise<{ scans: number; rows: number }> {
  const reads = (sql: postgres.TransactionSql) => sql<{ scans: number; rows: number }[]>`
    select sum(seq_scan)::int as scans, sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int as rows
    from pg_stat_xact_user_tables
    where relname = any (${['ops_agent_events', 'ops_agent_reactions', 'ops_mission_proposals', 'ops_missions', 'ops_mission_steps']})`
  const undo = new Error('undo')
  let result = { scans: -1, rows: -1 }
  await db.sql
    .begin(async (tx) => {
      const before = only(await reads(tx))
      await tx.unsafe(statement)
      const after = only(await reads(tx))
      result = { scans: after.scans - before.scans, rows: after.rows - before.rows }
      throw undo
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error
    })
  return result
}

const statements = Object.values(calls).flat()

async function expectBounded(statement: string): Promise<void> {
  const { scans, rows } = await cost(
    statement.replace(/\{(\w+)\}/g, (_, name: string) => known[name] ?? name),
  )
  expect(scans, 'whole tables read').toBe(0)
  // Dead letters are counted as they stand: there are 200.
  expect(rows, 'rows read').toBeLessThan(1500)
}

test.each(statements)('%s', expectBounded)

describe.each([
  ['steps scheduled for later, and one that has come due', 'tomorrow'],
  ['steps that could begin', 'now'],
] as const)('as many %s', (_, when) => {
  beforeAll(async () => {
    const admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
    await admin.unsafe(waitingWork(when))
    await admin`update ops_mission_steps set run_at = ops.now() where id = (select step_id from ops.queue where not ready limit 1)`
    await admin.end()
  })

  // Running missions are looked for among all that are open, and what waits is counted.
  const bounded = statements.filter(
    (statement) => !/missions.*running|_(health|overview|hold)/.test(statement),
  )
  test.each(bounded)('%s', expectBounded)
})
