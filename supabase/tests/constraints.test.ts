/** Rows that break an invariant cannot be stored: one case for each named constraint, tried with the owner's rights. */
import { beforeAll, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/support/database.js'
import { emitOne, matched, respond } from './loop.js'
import { claimOne, complete, lease, registerWorker, startMission } from './work.js'
import { brokenInvariants, openDatabase } from './world.js'

/** By constraint, a statement that breaks it and nothing else. Each begins with an answered event and a mission at work. */
const breaches: Record<string, string> = {
  ops_policy_value_is_object: `alter table ops_policy disable trigger user; update ops_policy set value = '[]' where key = 'control'`,
  ops_policy_version_from_one: `alter table ops_policy disable trigger user; update ops_policy set version = 0 where key = 'control'`,

  ops_agent_events_dedupe_key_unique: `insert into ops_agent_events (type, dedupe_key) values ('e', 'known')`,
  ops_agent_events_type_length: `insert into ops_agent_events (type) values ('')`,
  ops_agent_events_data_is_object: `insert into ops_agent_events (type, data) values ('e', '[]')`,
  ops_agent_events_depth_from_zero: `insert into ops_agent_events (type, depth) values ('e', -1)`,
  ops_agent_events_proposal_fkey: `insert into ops_agent_events (type, proposal_id) values ('e', gen_random_uuid())`,
  ops_agent_events_mission_fkey: `insert into ops_agent_events (type, mission_id) values ('e', gen_random_uuid())`,
  ops_agent_events_run_fkey: `insert into ops_agent_events (type, run_id) values ('e', gen_random_uuid())`,

  ops_agent_reactions_status_known: `update ops_agent_reactions set status = 'maybe'`,
  ops_agent_reactions_pattern_is_text: `update ops_agent_reactions set payload = payload || '{"pattern_id": {"a": 1}}'`,
  ops_agent_reactions_once: `insert into ops_agent_reactions (event_id, payload) select event_id, payload from ops_agent_reactions`,
  shadow_reactions_once: `insert into ops.shadow_reactions (event_id, pattern_id, payload)
    select id, 'p', '{}' from ops_agent_events, generate_series(1, 2) where dedupe_key = 'known'`,

  services_state_known: `insert into ops.services (name, state) values ('s', 'ajar')`,
  services_open_says_when: `insert into ops.services (name, state) values ('s', 'open')`,
  services_failures_from_zero: `insert into ops.services (name, failures) values ('s', -1)`,

  workers_executors_named: `update ops.workers set executors = array['noop', null]`,
  workers_concurrency_positive: `update ops.workers set concurrency = 0`,

  checks_severity_known: `update ops.checks set severity = 'grave'`,
  check_runs_outcome_known: `insert into ops.check_runs (name, outcome, ran_at, duration_ms)
    select name, 'maybe', now(), 1 from ops.checks limit 1`,
  invariant_violations_severity_known: `insert into ops.invariant_violations (check_name, severity, message) values ('c', 'grave', 'm')`,
  invariant_violations_resolved_has_time: `insert into ops.invariant_violations (check_name, severity, message, resolved)
    values ('c', 'info', 'm', true)`,
  canaries_status_known: `insert into ops.canaries (status) values ('asleep')`,
  alerts_severity_known: `insert into ops.alerts (rule, severity, summary) values ('r', 'grave', 's')`,
  alerts_status_known: `insert into ops.alerts (rule, severity, summary, status) values ('r', 'info', 's', 'maybe')`,
  alerts_resolved_has_time: `insert into ops.alerts (rule, severity, summary, status) values ('r', 'info', 's', 'resolved')`,
  alerts_acknowledged_by_somebody: `insert into ops.alerts (rule, severity, summary, acknowledged_at) values ('r', 'info', 's', now())`,
  silences_have_a_reason: `insert into ops.silences (rule, until, reason, actor) values ('r', now(), '', 'dana')`,
  alert_notices_transition_known: `insert into ops.alert_notices (number, transition, channel, message) values (1, 'hummed', 'c', '{}')`,
  alert_notices_status_known: `insert into ops.alert_notices (number, transition, channel, message, status)
    values (1, 'opened', 'c', '{}', 'maybe')`,
  alert_notices_leased_has_deadline: `insert into ops.alert_notices (number, transition, channel, message, lease_token)
    values (1, 'opened', 'c', '{}', gen_random_uuid())`,

  ops_mission_proposals_idempotency_key_unique: `insert into ops_mission_proposals (source, template, status, code, reason, idempotency_key)
    select 'api', '{}', 'rejected', 'c', 'r', 'same' from generate_series(1, 2)`,
  ops_mission_proposals_reaction_once: `insert into ops_mission_proposals (source, template, status, code, reason, reaction_id)
    select 'api', '{}', 'rejected', 'c', 'r', id from ops_agent_reactions`,
  ops_mission_proposals_template_is_object: `insert into ops_mission_proposals (source, template, status, code, reason) values ('api', '[]', 'rejected', 'c', 'r')`,
  ops_mission_proposals_pending_is_held: `insert into ops_mission_proposals (source, template, expires_at) values ('api', '{}', now())`,
  ops_mission_proposals_admitted_has_time: `update ops_mission_proposals set approved_at = null`,
  ops_mission_proposals_rejection_says_why: `insert into ops_mission_proposals (source, template, status, code) values ('api', '{}', 'rejected', 'c')`,

  ops_missions_proposal_once: `insert into ops_missions (proposal_id, steps_total, steps_open) select proposal_id, 1, 1 from ops_missions`,
  ops_missions_open_within_total: `update ops_missions set steps_open = steps_total + 1 where status = 'running'`,
  ops_missions_terminal_iff_no_open_step: `update ops_missions set steps_open = 0, completed_at = now() where status = 'running'`,
  ops_missions_terminal_iff_completed: `update ops_missions set completed_at = now() where status = 'running'`,
  ops_missions_success_has_no_loss: `update ops_missions set steps_failed = 1 where status = 'succeeded'`,

  ops_mission_steps_key_unique: `insert into ops_mission_steps (mission_id, kind, key) select mission_id, 'noop', key from ops_mission_steps where status = 'running'`,
  ops_mission_steps_running_has_lease: `update ops_mission_steps set lease_expires_at = null where status = 'running'`,
  ops_mission_steps_terminal_iff_completed: `update ops_mission_steps set completed_at = null, revision = revision + 1 where status = 'succeeded'`,
  ops_mission_steps_counts_from_zero: `update ops_mission_steps set failure_count = -1`,

  cap_stripes_room_iff_limit: `insert into ops.cap_stripes (day, scope, name, stripe, max_units) values ('2001-01-01', 'daily', '', 0, 5)`,
  cap_stripes_gives_only_its_share: `insert into ops.cap_stripes (day, scope, name, stripe, max_units, room) values ('2001-01-01', 'daily', '', 0, 5, -1)`,

  queue_holds_no_other: `update ops.queue set status = 'succeeded'`,

  ops_action_runs_run_id_unique: `alter table ops_action_runs drop constraint ops_action_runs_pkey cascade;
    insert into ops_action_runs (id, status) select id, 'started' from ops_action_runs`,
  ops_action_runs_attempt_once: `insert into ops_action_runs (step_id, attempt, status) select step_id, attempt, 'started' from ops_action_runs`,
  ops_action_runs_status_known: `insert into ops_action_runs (status, completed_at) values ('maybe', now())`,
  ops_action_runs_ended_has_time: `update ops_action_runs set completed_at = null`,

  ops_demand_radar_title_length: `insert into ops_demand_radar (title) values ('')`,
  ops_demand_radar_stage_known: `insert into ops_demand_radar (title, stage) values ('t', 'guessing')`,
  ops_demand_radar_confidence_known: `insert into ops_demand_radar (title, confidence) values ('t', 'somewhat')`,
  ops_demand_radar_one_per_step: `insert into ops_demand_radar (title, step_id) select 't', id from ops_mission_steps, generate_series(1, 2) where status = 'running'`,
}

let db: TestDatabase
beforeAll(async () => {
  db = await openDatabase()
  const worker = await registerWorker(db.sql)
  await respond(db.sql, await emitOne(db.sql, { type: 'e', dedupe_key: 'known' }), matched('p'))
  await complete(db.sql, [lease(await claimOne(db.sql, worker))])
  await startMission(db.sql, [{ key: 'a' }, { key: 'b' }])
  await claimOne(db.sql, worker)
})

test.each(Object.entries(breaches))('%s', async (constraint, statement) => {
  const breach = db.sql.begin(async (tx) => {
    await tx.unsafe(statement)
  })
  await expect(breach).rejects.toMatchObject({ constraint_name: constraint })
})

// Step states, as docs/state-machines.md draws them: what a row of each status may and may not hold.
test.each([
  ['running', 'lease_token = null'],
  ['running', 'reserved_at = null'],
  ['running', 'attempt = 0'],
  ['running', 'completed_at = now()'],
  ['waiting', 'lease_token = gen_random_uuid()'],
  ['waiting', 'completed_at = now()'],
  ['succeeded', 'lease_token = gen_random_uuid()'],
])('a %s step cannot have %s', async (status, assignment) => {
  const breach = db.sql.unsafe(
    `update ops_mission_steps set ${assignment}, revision = revision + 1 where status = '${status}'`,
  )
  await expect(breach).rejects.toMatchObject({
    constraint_name: expect.stringMatching(/^ops_mission_steps_(running_has_lease|terminal_iff_completed)$/),
  })
})

test('every named constraint has its case', async () => {
  const { sql } = await freshDatabase()
  const rows = await sql<{ name: string }[]>`
    select conname as name from pg_constraint
    where connamespace in ('public'::regnamespace, 'ops'::regnamespace) and contype in ('c', 'u', 'x', 'f')
      and conname !~ '_(id_fkey|check)$'
    union select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'i' and relname ~ '_unique$'
    order by 1`
  expect(rows.map((row) => row.name)).toEqual(Object.keys(breaches).sort())
})

test('what was refused has left nothing behind', async () => {
  expect(await brokenInvariants(db.sql)).toEqual([])
})
