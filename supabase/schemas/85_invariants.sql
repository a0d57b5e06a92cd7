-- Invariants: what must be true at every moment, whatever happened. Each is a query with one row for each breach; no rows is the
-- good answer. Tests run them over everything after everything they do; the monitor (86_monitor.sql) runs them every few minutes
-- over what changed last (84_watched.sql), so that they cost the same however much work is finished.

insert into ops.checks (name, severity, detects, scoped, wide, query) values

-- Events are processed exactly once.
('event_processed_once', 'critical', 'Events that are processed without a verdict, or have a verdict and are not processed', true, false, $q$
  select e.id, 'processed without a verdict: ' || e.type as message
  from watched_events e
  where e.processed_at is not null and e.type not like 'heartbeat:%' and not exists (select from ops.event_verdicts v where v.event_id = e.id)
  union all
  select e.id, 'has a verdict and is not processed'
  from watched_events e join ops.event_verdicts v on v.event_id = e.id where e.processed_at is null
$q$),
('reaction_needs_verdict', 'critical', 'Reactions that their event''s verdict does not name', true, false, $q$
  select r.id, 'the event''s verdict does not name the pattern ' || coalesce(r.pattern_id, '(none)') as message
  from watched_reactions r join ops.event_verdicts v on v.event_id = r.event_id
  where not v.decisions @> jsonb_build_array(jsonb_build_object('pattern_id', r.pattern_id, 'decision', 'matched'))
$q$),

-- Results are recorded exactly once.
('one_success_per_step', 'critical', 'Steps that succeeded more than once', true, false, $q$
  select r.step_id as id, count(*) || ' successful runs' as message
  from watched_runs r where r.status = 'succeeded' group by r.step_id having count(*) > 1
$q$),
('success_has_run', 'critical', 'Steps that succeeded without a successful run', true, false, $q$
  select s.id, 'succeeded without a successful run' as message
  from watched_steps s
  where s.status = 'succeeded' and s.end_reason is distinct from 'by hand'
    and not exists (select from public.ops_action_runs r where r.step_id = s.id and r.status = 'succeeded')
    and not exists (select from ops.archive a where a.parent_id = s.id and a.entity = 'run' and a.status = 'succeeded')
$q$),
('terminal_is_final', 'critical', 'Attempts that began after their step had ended', true, false, $q$
  select s.id, 'an attempt began after the step had ended' as message
  from watched_steps s join public.ops_action_runs r on r.step_id = s.id
  where s.status in ('succeeded', 'failed', 'cancelled') and r.started_at > s.completed_at
$q$),
('claims_equal_runs', 'critical', 'Steps whose claims and ended attempts do not agree', true, false, $q$
  select s.id, format('%s claims, %s ended runs, status %s', s.attempt, r.n, s.status) as message
  from watched_steps s, lateral (
    select (select count(*) from public.ops_action_runs r where r.step_id = s.id)
      + (select count(*) from ops.archive a where a.parent_id = s.id and a.entity = 'run') as n) r
  where s.attempt <> r.n + case when s.status = 'running' then 1 else 0 end
$q$),

-- At most one live lease per step.
('running_has_lease', 'critical', 'Running steps without a lease', true, false, $q$
  select s.id, 'running without token or deadline' as message
  from watched_steps s where s.status = 'running' and (s.lease_token is null or s.lease_expires_at is null)
$q$),
('token_names_one_attempt', 'critical', 'Live lease tokens that already ended an attempt', true, false, $q$
  select s.id, 'the live token already ended an attempt' as message
  from watched_steps s join public.ops_action_runs r on r.id = s.lease_token
$q$),

-- What can be claimed is found in the queue, what runs by its claim.
('queue_follows_steps', 'critical', 'Steps that the queue does not know, or knows otherwise than they are', true, false, $q$
  select s.id, format('is %s, and the queue says %s', s.status, coalesce(q.status::text, 'nothing')) as message
  from watched_steps s left join ops.queue q on q.step_id = s.id
  where case when s.status in ('waiting', 'queued', 'failed')
    then (q.status, q.mission_id, q.executor, q.priority, q.run_at, q.ready, q.service)
      is distinct from (s.status, s.mission_id, s.executor, s.priority, s.run_at, s.ready, s.service)
    else q.step_id is not null end
$q$),
('running_has_claim', 'critical', 'Running steps that recovery would not find in time', true, false, $q$
  select s.id, 'runs until ' || s.lease_expires_at || ', and no claim says so' as message
  from watched_steps s where s.status = 'running' and not exists (
    select from ops.claims c where s.id = any (c.steps) and c.look_at <= greatest(s.lease_expires_at, (select ops.now())))
$q$),

-- Steps run in order.
('order', 'critical', 'Steps that were let go before what they depend on had succeeded', true, false, $q$
  select s.id, format('%s before its dependencies have succeeded', s.status) as message
  from watched_steps s
  where s.status in ('queued', 'running', 'succeeded') and s.end_reason is null and exists (
    select from public.ops_mission_steps d where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status <> 'succeeded')
$q$),
('no_step_waits_for_nothing', 'critical', 'Steps that wait though all they depend on has succeeded', true, false, $q$
  select s.id, 'waiting though all its dependencies have succeeded' as message
  from watched_steps s
  where s.status = 'waiting' and not exists (
    select from public.ops_mission_steps d where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status <> 'succeeded')
$q$),
('no_step_waits_for_ever', 'critical', 'Steps that wait for one that has failed or was cancelled', true, false, $q$
  select s.id, 'waiting for a step that has failed or was cancelled' as message
  from watched_steps s
  where s.status = 'waiting' and exists (
    select from public.ops_mission_steps d where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status in ('failed', 'cancelled'))
$q$),

-- A mission is terminal if and only if all of its steps are, and says so exactly once.
('mission_agrees_with_steps', 'critical', 'Missions that do not agree with their steps: open with all steps ended, or the other way round', true, false, $q$
  select m.id, format('%s, %s open by its counter, %s open, %s failed, %s cancelled in fact', m.status, m.steps_open, c.open, c.failed, c.cancelled) as message
  from watched_missions m, lateral (
    select count(*) filter (where s.status in ('waiting', 'queued', 'running')) as open, count(*) filter (where s.status = 'failed') as failed,
      count(*) filter (where s.status = 'cancelled') as cancelled, count(*) as total
    from public.ops_mission_steps s where s.mission_id = m.id) c
  where c.total > 0 and (m.steps_open <> c.open or (m.completed_at is null) <> (c.open > 0)
    or (m.status = 'succeeded' and c.failed + c.cancelled > 0) or (m.status = 'failed' and c.failed = 0 and c.total = m.steps_total))
$q$),
('mission_runs_once_started', 'critical', 'Missions that say approved though a step was claimed', true, false, $q$
  select m.id, 'a step was claimed and the mission still says approved' as message
  from watched_missions m where m.status = 'approved' and exists (
    select from public.ops_mission_steps s where s.mission_id = m.id and s.attempt > 0)
$q$),
('one_event_per_end', 'critical', 'Missions whose end was told never, or more than once', true, false, $q$
  select m.id, format('%s roll-up events after round %s, %s', e.n, m.round, m.status) as message
  from watched_missions m, lateral (
    select count(*) as n
    from (select e.type, e.round from public.ops_agent_events e where e.mission_id = m.id
          union all
          select a.data ->> 'type', (a.data ->> 'round')::integer from ops.archive a where a.parent_id = m.id and a.entity = 'event') e
    where e.type in ('mission:succeeded', 'mission:failed', 'mission:cancelled') and e.round is not null) e
  where e.n <> m.round - case when m.completed_at is null then 1 else 0 end
$q$),
('depth_follows_mission', 'critical', 'Events whose depth in the chain is not one more than their mission''s', true, false, $q$
  select e.id, format('depth %s under a mission of depth %s', e.depth, m.depth) as message
  from watched_events e join public.ops_missions m on m.id = e.mission_id where e.depth <> m.depth + 1
$q$),

-- Only an approval of exactly what runs leads to a mission.
('admitted_has_mission', 'critical', 'Admitted proposals without a mission, and missions of proposals that were not admitted', true, false, $q$
  select p.id, format('%s, %s missions', p.status, count(m.id)) as message
  from watched_proposals p left join public.ops_missions m on m.proposal_id = p.id
  where not exists (select from ops.archive a where a.parent_id = p.id and a.entity = 'mission')
  group by p.id, p.status having count(m.id) <> case when p.status in ('approved', 'auto_approved') then 1 else 0 end
$q$),
('mission_was_decided', 'critical', 'Missions without a decision for exactly what they run', true, false, $q$
  select m.id, 'no decision for the template''s digest' as message
  from watched_missions m join public.ops_mission_proposals p on p.id = m.proposal_id
  where not exists (select from ops.decisions d where d.proposal_id = p.id and d.decision = p.status::text and d.digest = ops.template_digest(p.template))
$q$),

-- No cap is ever exceeded, and counters say what is there.
('cap_kept', 'critical', 'Caps that were exceeded', true, false, $q$
  select format('%s %s %s', k.day, k.scope, k.name) as id, format('%s admitted, %s allowed at most', k.used, l.most) as message
  from watched_counters k, lateral (
    -- The most that any version of the policy in force around that day allowed; a version without the limit allows all.
    select max(coalesce((h.value #>> case k.scope when 'daily' then '{daily_limit}' else array['per_' || k.scope, k.name] end)::integer,
      (h.value #>> array['per_' || k.scope || '_limits', k.name])::integer, 2147483647)) as most
    from (select value, case when row_number() over w > 1 then updated_at end as since, lead(updated_at) over w as until
          from ops.policy_history where key = 'proposal_caps' window w as (order by version)) h
    where coalesce(h.since < k.day + 2, true) and coalesce(h.until > k.day - 1, true)) l
  where k.used > l.most and not exists (
    select from ops.policy_audit a where a.policy_key in ('proposal_caps', '*') and a.action in ('delete', 'truncate'))
$q$),
('cap_dealt_once', 'critical', 'Caps of which more was dealt to their stripes than is left', true, false, $q$
  select format('%s %s %s', s.day, s.scope, s.name) as id,
    format('%s and $%s used, %s and $%s dealt of %s and $%s', sum(s.used), sum(s.used_usd), sum(s.room), sum(s.room_usd),
      string_agg(distinct s.max_units::text, ' or '), string_agg(distinct s.max_usd::text, ' or ')) as message
  from watched_stripes s
  group by s.day, s.scope, s.name
  having sum(s.room) > greatest(max(s.max_units) - sum(s.used), 0) or sum(s.room_usd) > greatest(max(s.max_usd) - sum(s.used_usd), 0)
    or count(distinct concat(s.max_units, ' ', s.max_usd)) > 1
$q$),
('counters_are_true', 'critical', 'Counters of caps that do not say what was admitted', false, true, $q$
  select format('%s %s %s', coalesce(k.day, t.day), coalesce(k.scope, t.scope), coalesce(k.name, t.name)) as id,
    format('counted %s, in fact %s', k.used, t.units) as message
  from ops.cap_counters k
  full join (
    select p.cap_day as day, u.scope, u.name, sum(u.units)::integer as units
    -- Older days have no counters any more.
    from (select cap_day, source, pattern_id, template from public.ops_mission_proposals where cap_day >= ops.oldest_cap_day()
          union all
          select (a.data ->> 'cap_day')::date, a.data ->> 'source', a.data ->> 'pattern_id', a.data -> 'template'
          from ops.archive a where a.entity = 'proposal' and (a.data ->> 'cap_day')::date >= ops.oldest_cap_day()) p,
      unnest(ops.cap_units(p.source, p.pattern_id, p.template)) u
    group by p.cap_day, u.scope, u.name) t using (day, scope, name)
  where coalesce(k.used, 0) <> coalesce(t.units, 0)
$q$),
('money_is_true', 'critical', 'Days whose money does not add up', false, true, $q$
  select k.day as id, format('counted $%s, in fact $%s', k.used_usd, t.usd) as message
  from ops.cap_counters k, lateral (
    select coalesce(sum(usd), 0) as usd from (
      select p.reserved_usd as usd from public.ops_mission_proposals p where p.cap_day = k.day
      union all
      select (a.data ->> 'reserved_usd')::numeric from ops.archive a where a.entity = 'proposal' and (a.data ->> 'cap_day')::date = k.day) s) t
  where k.scope = 'daily' and k.used_usd <> t.usd
$q$),
('chain_is_counted', 'critical', 'Chains whose counter does not say how many missions they started', false, true, $q$
  select r.root_event_id as id, format('counted %s missions, in fact %s', r.missions, coalesce(t.n, 0)) as message
  from ops.root_missions r left join (
    select root_event_id, count(*) as n
    from (select p.root_event_id, p.status::text from public.ops_mission_proposals p
          union all
          select (a.data ->> 'root_event_id')::uuid, a.data ->> 'status' from ops.archive a where a.entity = 'proposal') p
    where p.status in ('pending', 'approved', 'auto_approved')
    group by root_event_id) t using (root_event_id)
  where r.missions <> coalesce(t.n, 0)
$q$),

-- A dedupe key is held exactly by live work.
('live_key_is_live', 'critical', 'Dedupe keys held by work that has ended', true, false, $q$
  select k.dedupe_key as id, 'held by work that has ended' as message
  from watched_keys k
  where k.live and not exists (
    select from public.ops_mission_proposals p left join public.ops_missions m on m.proposal_id = p.id
    where p.id = k.proposal_id and (p.status = 'pending' or (m.id is not null and m.completed_at is null)))
$q$),
('live_work_holds_its_key', 'critical', 'Live work that does not hold its dedupe key', true, false, $q$
  select p.id, format('dedupe key "%s" is not held by this proposal', p.dedupe_key) as message
  from watched_proposals p left join public.ops_missions m on m.proposal_id = p.id
  where p.dedupe_key is not null and (p.status = 'pending' or (m.id is not null and m.completed_at is null))
    and not exists (select from ops.live_keys k where k.dedupe_key = p.dedupe_key and k.proposal_id = p.id and k.live)
$q$),

-- Every policy change is audited.
('policy_is_audited', 'critical', 'Versions of policies without an audit entry', false, false, $q$
  select h.key || ' ' || h.version as id, 'this version has no audit entry' as message
  from ops.policy_history h where not exists (
    select from ops.policy_audit a where a.policy_key = h.key and a.new_version = h.version and a.new_value = h.value)
$q$),
('policy_is_in_history', 'critical', 'Policies in force that are not the version kept', false, false, $q$
  select p.key || ' ' || p.version as id, 'the row in force is not the version kept' as message
  from public.ops_policy p where not exists (
    select from ops.policy_history h where h.key = p.key and h.version = p.version and h.value = p.value)
$q$);

-- Every breach of an invariant of the engine, over everything there is.
create function ops.broken_invariants()
returns table (invariant text, id text, problem text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return query execute (
    select ops.scope(true) || string_agg(format('select %L, b.id::text, b.message from (%s) b', c.name, c.query), ' union all ')
    from ops.checks c where c.scoped or c.wide or c.name like 'policy\_is\_%');
end
$$;
