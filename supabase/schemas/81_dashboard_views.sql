-- The runbook's queries, as views: for Supabase Reports, Grafana or psql. Each looks back over a fixed window by an index, so
-- that it stays fast over ten million rows. Rates and durations leave the engine's own canary out. Days and
-- hours are those of the session's time zone.
--
-- The clock stands in a sub-select on purpose: read once, it can steer an index scan. So does `offset 0` in what is looked up for each
-- row: joined, all that ever was would be read to find what belongs to a day.

-- Everything at a glance, over the last 24 hours.
create view public.ops_system_health with (security_invoker = true) as
  with w as (select (select ops.now()) - interval '24 hours' as day, (select ops.now()) - interval '1 hour' as hour)
  select e.*, r.*, p.*, m.*, s.*
  from
    (select count(*) filter (where processed_at is null) as unprocessed_events,
       count(*) filter (where processed_at > (select hour from w)) as recent_events
     from public.ops_agent_events where created_at > (select day from w)) e,
    (select count(*) filter (where status = 'queued') as queued_reactions, count(*) filter (where status = 'processing') as processing_reactions
     from public.ops_agent_reactions where created_at > (select day from w)) r,
    (select count(*) filter (where status = 'pending') as pending_proposals, count(*) filter (where created_at > (select hour from w)) as recent_proposals
     from public.ops_mission_proposals where created_at > (select day from w)) p,
    (select count(*) filter (where status = 'running') as running_missions, count(*) filter (where status = 'failed') as failed_missions
     from public.ops_missions where created_at > (select day from w)) m,
    (select count(*) filter (where status = 'queued') as queued_steps, count(*) filter (where status = 'running') as running_steps,
       count(*) filter (where status = 'failed') as failed_steps
     from public.ops_mission_steps where created_at > (select day from w)) s;

-- Beats by the hour, over 24 hours.
create view public.ops_heartbeat_health with (security_invoker = true) as
  select date_trunc('hour', created_at) as hour,
    count(*) filter (where type = 'heartbeat:success') as successes,
    count(*) filter (where type = 'heartbeat:failure') as failures
  from public.ops_agent_events
  where created_at > (select ops.now()) - interval '24 hours' and type in ('heartbeat:success', 'heartbeat:failure')
  group by 1 order by 1 desc;

-- Claims by the hour, over 24 hours, with what became of those steps.
create view public.ops_worker_activity with (security_invoker = true) as
  select date_trunc('hour', reserved_at) as hour, count(*) as steps_claimed,
    count(*) filter (where status = 'succeeded') as succeeded, count(*) filter (where status = 'failed') as failed
  from public.ops_mission_steps
  where reserved_at > (select ops.now()) - interval '24 hours' and kind <> 'noop:canary'
  group by 1 order by 1 desc;

-- Seconds from an event to the proposal that answers it, over 24 hours.
create view public.ops_proposal_latency with (security_invoker = true) as
  select count(*) as proposals, avg(seconds) as avg_latency_seconds,
    percentile_cont(0.5) within group (order by seconds) as p50_latency,
    percentile_cont(0.95) within group (order by seconds) as p95_latency,
    percentile_cont(0.99) within group (order by seconds) as p99_latency
  from (
    select extract(epoch from p.created_at - e.created_at) as seconds
    from public.ops_mission_proposals p,
      lateral (select r.event_id from public.ops_agent_reactions r where r.id = p.reaction_id offset 0) r,
      lateral (select e.created_at from public.ops_agent_events e where e.id = r.event_id offset 0) e
    where p.created_at > (select ops.now()) - interval '24 hours' and p.source <> 'canary') latency;

-- Seconds from a step's creation to its end, and spent in its last attempt, by kind, over 24 hours.
create view public.ops_step_durations with (security_invoker = true) as
  select kind, count(*) as total_steps, avg(extract(epoch from completed_at - created_at)) as avg_duration_seconds,
    percentile_cont(0.95) within group (order by extract(epoch from completed_at - created_at)) as p95_duration_seconds,
    avg(extract(epoch from completed_at - reserved_at)) as avg_attempt_seconds
  from public.ops_mission_steps
  where status in ('succeeded', 'failed') and created_at > (select ops.now()) - interval '24 hours' and kind <> 'noop:canary'
  group by kind order by 3 desc;

-- Proposals by day and source, over 7 days.
create view public.ops_proposal_rate with (security_invoker = true) as
  select date_trunc('day', created_at) as day, source, count(*) as proposals, count(*) filter (where status = 'rejected') as rejected
  from public.ops_mission_proposals
  where created_at > (select ops.now()) - interval '7 days' and source <> 'canary'
  group by 1, 2 order by 1 desc, 2;

-- Ended missions by day, over 7 days.
create view public.ops_mission_success_rate with (security_invoker = true) as
  select date_trunc('day', completed_at) as day, count(*) as total_missions, count(*) filter (where status = 'succeeded') as succeeded,
    100.0 * count(*) filter (where status = 'succeeded') / count(*) as success_rate_pct
  from public.ops_missions
  where completed_at > (select ops.now()) - interval '7 days' and source is distinct from 'canary'
  group by 1 order by 1 desc;

-- Steps that died, by day, over 7 days.
create view public.ops_dead_letter_rate with (security_invoker = true) as
  select date_trunc('day', q.ended_at) as day, count(*) as dead_letters
  from ops.queue q, lateral (select s.kind from public.ops_mission_steps s where s.id = q.step_id offset 0) s
  where q.status = 'failed' and q.ended_at > (select ops.now()) - interval '7 days' and s.kind <> 'noop:canary'
  group by 1 order by 1 desc;

-- The steps that failed last, over 24 hours.
create view public.ops_recent_failures with (security_invoker = true) as
  select s.id as step_id, s.kind, s.executor, s.last_error, s.failure_count, s.updated_at, m.id as mission_id, m.source as proposal_source
  from ops.queue q,
    lateral (select t.* from public.ops_mission_steps t where t.id = q.step_id offset 0) s,
    lateral (select m.id, m.source from public.ops_missions m where m.id = s.mission_id offset 0) m
  where q.status = 'failed' and q.ended_at > (select ops.now()) - interval '24 hours'
  order by q.ended_at desc;

-- Limits beside their use, on the current day of the policy's time zone.
create view public.ops_policy_compliance with (security_invoker = true) as
  select c.scope, c.name, c.used, c.max_units as limit, c.used_usd, c.max_usd as budget_usd, c.day
  from public.ops_cap_usage() c;

-- How often each pattern of the matrix answered, over 30 days; also those that never did.
create view public.ops_pattern_effectiveness with (security_invoker = true) as
  with answered as (
    select r.pattern_id, count(*) as reactions from public.ops_agent_reactions r
    where r.created_at > (select ops.now()) - interval '30 days' group by r.pattern_id)
  select coalesce(p.value ->> 'id', p.value ->> 'name') as pattern_id, coalesce(p.value ->> 'mode', 'active') as mode,
    coalesce(a.reactions, 0) as reactions_created
  from public.ops_policy m, jsonb_array_elements(m.value -> 'patterns') p
  left join answered a on a.pattern_id = coalesce(p.value ->> 'id', p.value ->> 'name')
  where m.key = 'reaction_matrix'
  order by 3 desc;

-- What the tables and their indexes take on disk.
create view public.ops_table_sizes with (security_invoker = true) as
  select c.relnamespace::regnamespace::text as schema, c.relname::text as "table", c.reltuples::bigint as rows_estimated,
    pg_size_pretty(pg_total_relation_size(c.oid)) as total_size, pg_size_pretty(pg_relation_size(c.oid)) as table_size,
    pg_total_relation_size(c.oid) as total_bytes
  from pg_class c
  where c.relkind = 'r' and (c.relnamespace = 'ops'::regnamespace or (c.relnamespace = 'public'::regnamespace and c.relname like 'ops\_%'))
  order by 6 desc;
