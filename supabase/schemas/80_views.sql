-- Views for dashboards and the runbook's queries. They run with their reader's own rights.

create view public.ops_policy_history with (security_invoker = true) as
  select key, version, value, updated_at, changed_by from ops.policy_history;

create view public.ops_policy_audit with (security_invoker = true) as
  select id, policy_key, action, old_value, new_value, old_version, new_version, changed_by, actor, changed_at from ops.policy_audit;

-- The runbook has operators build an audit of their own, with a trigger that writes here. The engine has written the entry
-- already, so theirs is accepted and dropped; refusing it would refuse every edit of a policy.
create function ops.ignore_second_audit() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return null;
end
$$;
create trigger ops_policy_audit_ignore instead of insert on public.ops_policy_audit
  for each row execute function ops.ignore_second_audit();

-- What waits, and where.
create view public.ops_queue_depth with (security_invoker = true) as
  select 'queued_events' as metric, count(*) as count from public.ops_agent_events where processed_at is null
  union all select 'queued_reactions', count(*) from public.ops_agent_reactions where status = 'queued'
  union all select 'pending_proposals', count(*) from public.ops_mission_proposals where status = 'pending'
  union all select 'queued_steps', count(*) from ops.queue where status = 'queued'
  union all select 'running_steps', count(*) from ops.running_steps
  union all select 'waiting_steps', count(*) from ops.queue where status = 'waiting';

-- Steps that are out of attempts, kept for an operator. `offset 0` keeps the look-up of a mission one by its key: joined, all missions
-- would be read to find those of a few steps.
create view public.ops_dead_letters with (security_invoker = true) as
  select s.id as step_id, s.kind, s.executor, s.last_error, s.failure_count, s.max_retries, s.end_reason, s.updated_at,
    s.mission_id, m.title as mission_title, m.status as mission_status, m.source as proposal_source
  from ops.queue q,
    lateral (select t.* from public.ops_mission_steps t where t.id = q.step_id offset 0) s,
    lateral (select m.title, m.status, m.source from public.ops_missions m where m.id = s.mission_id offset 0) m
  where q.status = 'failed';

-- Queued steps that no live worker offers to run.
create view public.ops_unclaimable_steps with (security_invoker = true) as
  select s.executor, count(*) as steps, min(s.run_at) as oldest_run_at
  from ops.queue s
  where s.status = 'queued' and s.ready
    and not exists (select from ops.workers w where s.executor = any (w.executors) and w.last_seen_at > ops.now() - interval '2 minutes')
  group by s.executor;

-- What shadow patterns would have done, beside what active ones did.
create view public.ops_reactions_and_shadows with (security_invoker = true) as
  select id, event_id, pattern_id, 'active' as mode, status, payload, created_at from public.ops_agent_reactions
  union all
  select id, event_id, pattern_id, 'shadow', 'shadow', payload, created_at from ops.shadow_reactions;

create view public.ops_workers with (security_invoker = true) as
  select id, name, version, executors, concurrency, role, registered_at, last_seen_at,
    last_seen_at > ops.now() - interval '2 minutes' as live
  from ops.workers;

-- What the last check of each service said, and how many of the last day's went well.
create view public.ops_services with (security_invoker = true) as
  select s.name, s.state, s.healthy, s.failures, s.http_status, s.latency_ms, s.error, s.checked_at, s.opened_at, s.next_check_at,
    d.checks as checks_last_day, round(100.0 * d.good / nullif(d.checks, 0), 2) as healthy_percent_last_day
  from ops.services s, lateral (
    select count(*) as checks, count(*) filter (where c.ok) as good
    from ops.service_checks c where c.name = s.name and c.at > ops.now() - interval '1 day') d;
