-- Invariants: what must be true at every moment, whatever happened. One row for each breach; no rows is the good answer.
-- Tests run this after everything they do, and the monitor runs it in production.

create function ops.broken_invariants()
returns table (invariant text, id text, problem text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  -- Events are processed exactly once.
  select 'event_processed_once', e.id::text, 'processed without a verdict: ' || e.type
  from public.ops_agent_events e
  where e.processed_at is not null and e.type not like 'heartbeat:%' and not exists (select from ops.event_verdicts v where v.event_id = e.id)
  union all
  select 'event_processed_once', e.id::text, 'has a verdict and is not processed'
  from ops.event_verdicts v join public.ops_agent_events e on e.id = v.event_id where e.processed_at is null
  union all
  select 'reaction_needs_verdict', r.id::text, 'the event''s verdict does not name the pattern ' || r.pattern_id
  from public.ops_agent_reactions r join ops.event_verdicts v on v.event_id = r.event_id
  where not v.decisions @> jsonb_build_array(jsonb_build_object('pattern_id', r.pattern_id, 'decision', 'matched'))

  -- Results are recorded exactly once.
  union all
  select 'one_success_per_step', r.step_id::text, count(*) || ' successful runs'
  from public.ops_action_runs r where r.status = 'succeeded' group by r.step_id having count(*) > 1
  union all
  select 'success_has_run', s.id::text, 'succeeded without a successful run'
  from public.ops_mission_steps s
  where s.status = 'succeeded' and s.end_reason is distinct from 'by hand'
    and not exists (select from public.ops_action_runs r where r.step_id = s.id and r.status = 'succeeded')
    and not exists (select from ops.archive a where a.parent_id = s.id and a.entity = 'run' and a.status = 'succeeded')
  union all
  select 'terminal_is_final', s.id::text, 'an attempt began after the step had ended'
  from public.ops_mission_steps s join public.ops_action_runs r on r.step_id = s.id
  where s.status in ('succeeded', 'failed', 'cancelled') and r.started_at > s.completed_at
  union all
  select 'claims_equal_runs', s.id::text, format('%s claims, %s ended runs, status %s', s.attempt, r.n, s.status)
  from public.ops_mission_steps s, lateral (
    select (select count(*) from public.ops_action_runs r where r.step_id = s.id)
      + (select count(*) from ops.archive a where a.parent_id = s.id and a.entity = 'run') as n) r
  where s.attempt <> r.n + case when s.status = 'running' then 1 else 0 end

  -- At most one live lease per step.
  union all
  select 'running_has_lease', s.id::text, 'running without token or deadline'
  from public.ops_mission_steps s where s.status = 'running' and (s.lease_token is null or s.lease_expires_at is null)
  union all
  select 'token_names_one_attempt', s.id::text, 'the live token already ended an attempt'
  from public.ops_mission_steps s join public.ops_action_runs r on r.id = s.lease_token

  -- Steps run in order.
  union all
  select 'order', s.id::text, format('%s before its dependencies have succeeded', s.status)
  from public.ops_mission_steps s
  where s.status in ('queued', 'running', 'succeeded') and s.end_reason is null and exists (
    select from public.ops_mission_steps d where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status <> 'succeeded')
  union all
  select 'no_step_waits_for_nothing', s.id::text, 'waiting though all its dependencies have succeeded'
  from public.ops_mission_steps s
  where s.status = 'waiting' and not exists (
    select from public.ops_mission_steps d where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status <> 'succeeded')

  union all
  select 'no_step_waits_for_ever', s.id::text, 'waiting for a step that has failed or was cancelled'
  from public.ops_mission_steps s
  where s.status = 'waiting' and exists (
    select from public.ops_mission_steps d where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status in ('failed', 'cancelled'))

  -- A mission is terminal if and only if all of its steps are, and says so exactly once.
  union all
  select 'mission_agrees_with_steps', m.id::text, format('%s, %s open by its counter, %s open, %s failed, %s cancelled in fact', m.status, m.steps_open, c.open, c.failed, c.cancelled)
  from public.ops_missions m, lateral (
    select count(*) filter (where s.status in ('waiting', 'queued', 'running')) as open, count(*) filter (where s.status = 'failed') as failed,
      count(*) filter (where s.status = 'cancelled') as cancelled, count(*) as total
    from public.ops_mission_steps s where s.mission_id = m.id) c
  where c.total > 0 and (m.steps_open <> c.open or (m.completed_at is null) <> (c.open > 0)
    or (m.status = 'succeeded' and c.failed + c.cancelled > 0) or (m.status = 'failed' and c.failed = 0 and c.total = m.steps_total))
  union all
  select 'mission_runs_once_started', m.id::text, 'a step was claimed and the mission still says approved'
  from public.ops_missions m where m.status = 'approved' and exists (
    select from public.ops_mission_steps s where s.mission_id = m.id and s.attempt > 0)
  union all
  select 'one_event_per_end', m.id::text, format('%s roll-up events after round %s, %s', e.n, m.round, m.status)
  from public.ops_missions m, lateral (
    select count(*) as n
    from (select e.type, e.dedupe_key from public.ops_agent_events e where e.mission_id = m.id
          union all
          select a.data ->> 'type', a.data ->> 'dedupe_key' from ops.archive a where a.parent_id = m.id and a.entity = 'event') e
    where e.type in ('mission:succeeded', 'mission:failed', 'mission:cancelled') and e.dedupe_key like 'mission:%') e
  where e.n <> m.round - case when m.completed_at is null then 1 else 0 end
  union all
  select 'depth_follows_mission', e.id::text, format('depth %s under a mission of depth %s', e.depth, m.depth)
  from public.ops_agent_events e join public.ops_missions m on m.id = e.mission_id where e.depth <> m.depth + 1

  -- Only an approval of exactly what runs leads to a mission.
  union all
  select 'admitted_has_mission', p.id::text, format('%s, %s missions', p.status, count(m.id))
  from public.ops_mission_proposals p left join public.ops_missions m on m.proposal_id = p.id
  where not exists (select from ops.archive a where a.parent_id = p.id and a.entity = 'mission')
  group by p.id, p.status having count(m.id) <> case when p.status in ('approved', 'auto_approved') then 1 else 0 end
  union all
  select 'mission_was_decided', m.id::text, 'no decision for the template''s digest'
  from public.ops_missions m join public.ops_mission_proposals p on p.id = m.proposal_id
  where not exists (select from ops.decisions d where d.proposal_id = p.id and d.decision = p.status::text and d.digest = ops.template_digest(p.template))

  -- No cap is ever exceeded, and counters say what is there.
  union all
  select 'counters_are_true', format('%s %s %s', coalesce(k.day, t.day), coalesce(k.scope, t.scope), coalesce(k.name, t.name)),
    format('counted %s, in fact %s', k.used, t.units)
  from ops.cap_counters k
  full join (
    select p.cap_day as day, u.scope, u.name, sum(u.units)::integer as units
    from (select cap_day, source, pattern_id, template from public.ops_mission_proposals where cap_day is not null
          union all
          select (a.data ->> 'cap_day')::date, a.data ->> 'source', a.data ->> 'pattern_id', a.data -> 'template'
          from ops.archive a where a.entity = 'proposal' and a.data ->> 'cap_day' is not null) p,
      unnest(ops.cap_units(p.source, p.pattern_id, p.template)) u
    group by p.cap_day, u.scope, u.name) t using (day, scope, name)
  where coalesce(k.used, 0) <> coalesce(t.units, 0)
  union all
  select 'money_is_true', k.day::text, format('counted $%s, in fact $%s', k.used_usd, t.usd)
  from ops.cap_counters k, lateral (
    select coalesce(sum(usd), 0) as usd from (
      select p.reserved_usd as usd from public.ops_mission_proposals p where p.cap_day = k.day
      union all
      select (a.data ->> 'reserved_usd')::numeric from ops.archive a where a.entity = 'proposal' and (a.data ->> 'cap_day')::date = k.day) s) t
  where k.scope = 'daily' and k.used_usd <> t.usd
  union all
  select 'cap_kept', format('%s %s %s', k.day, k.scope, k.name), format('%s admitted, %s allowed at most', k.used, l.most)
  from ops.cap_counters k, lateral (
    -- The most that any version of the policy in force that day allowed; a version without the limit allows all.
    select max(coalesce((h.value #>> case k.scope when 'daily' then '{daily_limit}' else array['per_' || k.scope, k.name] end)::integer,
      (h.value #>> array['per_' || k.scope || '_limits', k.name])::integer, 2147483647)) as most
    from ops.policy_history h where h.key = 'proposal_caps') l
  where k.used > l.most and not exists (
    select from ops.policy_audit a where a.policy_key in ('proposal_caps', '*') and a.action in ('delete', 'truncate'))
  union all
  select 'chain_is_counted', r.root_event_id::text, format('counted %s missions, in fact %s', r.missions, coalesce(t.n, 0))
  from ops.root_missions r left join (
    select root_event_id, count(*) as n
    from (select p.root_event_id, p.status::text from public.ops_mission_proposals p
          union all
          select (a.data ->> 'root_event_id')::uuid, a.data ->> 'status' from ops.archive a where a.entity = 'proposal') p
    where p.status in ('pending', 'approved', 'auto_approved')
    group by root_event_id) t using (root_event_id)
  where r.missions <> coalesce(t.n, 0)

  -- A dedupe key is held exactly by live work.
  union all
  select 'live_key_is_live', k.dedupe_key, 'held by work that has ended'
  from ops.live_keys k
  where k.live and not exists (
    select from public.ops_mission_proposals p left join public.ops_missions m on m.proposal_id = p.id
    where p.id = k.proposal_id and (p.status = 'pending' or (m.id is not null and m.completed_at is null)))
  union all
  select 'live_work_holds_its_key', p.id::text, format('dedupe key "%s" is not held by this proposal', p.dedupe_key)
  from public.ops_mission_proposals p left join public.ops_missions m on m.proposal_id = p.id
  where p.dedupe_key is not null and (p.status = 'pending' or (m.id is not null and m.completed_at is null))
    and not exists (select from ops.live_keys k where k.dedupe_key = p.dedupe_key and k.proposal_id = p.id and k.live)

  -- Every policy change is audited.
  union all
  select 'policy_is_audited', h.key || ' ' || h.version, 'this version has no audit entry'
  from ops.policy_history h where not exists (
    select from ops.policy_audit a where a.policy_key = h.key and a.new_version = h.version and a.new_value = h.value)
  union all
  select 'policy_is_in_history', p.key || ' ' || p.version, 'the row in force is not the version kept'
  from public.ops_policy p where not exists (
    select from ops.policy_history h where h.key = p.key and h.version = p.version and h.value = p.value)
$$;
