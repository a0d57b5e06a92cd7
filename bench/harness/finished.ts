import type postgres from 'postgres'

const STEPS_PER_MISSION = 10
const CHUNK = 50_000

/**
 * Finished missions of ten steps, all of the last moments, each with what belongs to it. They are written past the triggers: how they got there
 * is not the question. By the superuser.
 */
export async function storeFinished(sql: postgres.Sql, steps: number): Promise<void> {
  const missions = Math.ceil(steps / STEPS_PER_MISSION)
  await sql`set session_replication_role = replica`
  for (let from = 0; from < missions; from += CHUNK) {
    const n = Math.min(CHUNK, missions - from)
    await sql`
      with proposal as (
        insert into ops_mission_proposals (source, status, template, approved_at, digest)
        select 'bench', 'auto_approved', '{"title": "old", "steps": [{"kind": "noop"}]}', now(), 'x' from generate_series(1, ${n}::int)
        returning id
      ), decision as (
        insert into ops.decisions (proposal_id, decision, digest, actor, actor_context)
        select id, 'auto_approved', 'x', 'bench', '{}' from proposal
      ), mission as (
        insert into ops_missions (proposal_id, status, title, source, steps_total, completed_at, started_at)
        select id, 'succeeded', 'old', 'bench', ${STEPS_PER_MISSION}, now(), now() from proposal returning id
      ), event as (
        insert into ops_agent_events (type, dedupe_key, mission_id, processed_at, depth)
        select 'mission:succeeded', 'mission:' || id || ':1', id, now(), 1 from mission returning id
      ), verdict as (
        insert into ops.event_verdicts (event_id) select id from event
      ), step as (
        insert into ops_mission_steps (mission_id, kind, executor, status, key, position, reserved_at, completed_at, attempt, revision)
        select m.id, 'noop', 'noop', 'succeeded', 'step-' || p, p, now(), now(), 1, 3
        from mission m, generate_series(1, ${STEPS_PER_MISSION}) p returning id
      )
      insert into ops_action_runs (step_id, executor, status, completed_at, attempt)
      select id, 'noop', 'succeeded', now(), 1 from step`
  }
  await sql`set session_replication_role = origin`
}
