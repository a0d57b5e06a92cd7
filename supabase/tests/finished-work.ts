/** 20,000 chains that ended over the last 200 days. */
export const finishedWork = `
  set session_replication_role = replica;
  create temp table work as
    select n, ops.new_id() as event, ops.new_id() as reaction, ops.new_id() as proposal, ops.new_id() as mission,
      now() - (20000 - n) * interval '864 seconds' as at
    from generate_series(1, 20000) n;
  insert into ops_agent_events (id, type, processed_at, created_at) select event, 'test:begin', at, at from work;
  insert into ops_agent_reactions (id, event_id, status, payload, created_at, updated_at)
    select reaction, event, 'done', '{"pattern_id": "begin"}', at, at from work;
  insert into ops_mission_proposals (id, source, status, template, approved_at, created_at, updated_at, reaction_id, root_event_id)
    select proposal, 'reaction', 'auto_approved', '{"title": "t"}', at, at, at, reaction, event from work;
  insert into ops_missions (id, proposal_id, status, started_at, completed_at, created_at, updated_at, source, steps_total)
    select mission, proposal, 'succeeded', at, at, at, at, 'reaction', 1 from work;
  insert into ops_mission_steps (mission_id, kind, status, executor, reserved_at, completed_at, created_at, updated_at, attempt)
    select mission, 'noop', case when n % 100 = 0 then 'failed' else 'succeeded' end::ops_step_status, 'noop', at, at, at, at, 1 from work;
  insert into ops.queue (step_id, mission_id, status, executor, priority, run_at, ready, ended_at)
    select id, mission_id, status, executor, priority, run_at, ready, completed_at from ops_mission_steps where status = 'failed';
  analyze`

/** 15,000 missions whose step could begin now, or is scheduled for tomorrow. */
export const waitingWork = (when: 'now' | 'tomorrow') => `
  set session_replication_role = replica;
  create temp table waiting as
    select ops.new_id() as proposal, ops.new_id() as mission, ops.new_id() as step, now() + interval '${when === 'now' ? 0 : 1} day' as run_at
    from generate_series(1, 15000);
  insert into ops_mission_proposals (id, source, status, template, approved_at) select proposal, 'api', 'auto_approved', '{"title": "t"}', now() from waiting;
  insert into ops_missions (id, proposal_id, source, steps_total, steps_open) select mission, proposal, 'api', 1, 1 from waiting;
  insert into ops_mission_steps (id, mission_id, kind, executor, ready, run_at) select step, mission, 'noop', 'noop', ${when === 'now'}, run_at from waiting;
  insert into ops.queue (step_id, mission_id, status, executor, priority, run_at, ready)
    select step, mission, 'queued', 'noop', 0, run_at, ${when === 'now'} from waiting;
  drop table waiting;
  analyze;
  set session_replication_role = origin`
