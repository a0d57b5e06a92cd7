-- What alert rules measure.
--
-- Every measure reads a bounded number of rows by an index, whatever the loop has before or behind it: what is counted, up to twice the
-- highest threshold, and rates and durations over the last thousand. Those are found by what only work that has ended leaves, attempts and
-- the events of missions, because behind a long queue the newest steps and missions have not begun.

-- The thousand attempts that were claimed last, of those that have ended.
create view ops.last_attempts with (security_invoker = true) as
  select r.* from public.ops_action_runs r order by r.id desc limit 1000;

-- How far a rule with these thresholds counts.
create function ops.count_up_to(p_warning numeric, p_critical numeric) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return least(greatest(ceil(2 * greatest(p_warning, p_critical)), 1), 1000000);
end
$$;

-- The value of a rule's measure now, for each subject that it tells apart, with a sentence. No row: there is nothing to measure. What is
-- counted is counted up to p_most. No bitmap scans: they would read a whole backlog to count the first rows of it. Each plan is the only one
-- there is, so it is made once.
create function ops.measure(p_rule text, p_most integer default 1) returns table (subject text, value numeric, summary text)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set max_parallel_workers_per_gather = 0
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
  v_since timestamptz;
  v_claimed timestamptz;
begin
  if p_rule = 'heartbeat_failures' then
    return query
    select '', n::numeric, format('%s heartbeats in a row have failed: %s', n, error)
    from (select count(*) filter (where b.run = 0) as n, (array_agg(b.error))[1] as error
          from (select sum(h.ok::integer) over (order by h.at desc) as run, h.report #>> '{errors,0,message}' as error
                from (select * from ops.heartbeats order by at desc limit 100) h) b) f;
  elsif p_rule = 'heartbeat_silence_minutes' then
    return query
    select '', ops.minutes(v_now - b.at), format('no heartbeat was recorded since %s', b.at) from (
      select at from ops.heartbeats order by at desc limit 1) b;
  elsif p_rule = 'worker_idle_minutes' then
    select min(o.run_at) into v_since from ops.oldest_due() o where o.executor <> all (ops.blocked_executors());
    if v_since is null or ops.paused('claims') then
      return;
    end if;
    v_claimed := ops.last_claim();
    if v_claimed > v_now - interval '5 minutes' then
      return;
    end if;
    v_since := greatest(v_since, v_claimed);
    return query select '', ops.minutes(v_now - v_since), format('steps are due, and none was claimed for %s minutes', ops.minutes(v_now - v_since));
  elsif p_rule = 'unclaimable_minutes' then
    return query
    select o.executor, ops.minutes(v_now - o.run_at), format('no live worker offers executor "%s"', o.executor)
    from ops.oldest_due() o
    where o.executor <> all (ops.blocked_executors()) and not ops.paused('claims')
      and not exists (select from ops.workers w where o.executor = any (w.executors) and w.last_seen_at > v_now - interval '2 minutes');
  elsif p_rule = 'proposal_latency_p95_seconds' then
    return query
    select '', round(max(l.p95)::numeric, 1), format('95 %% of the last %s proposals came within %s s of their event', max(l.n), round(max(l.p95)::numeric, 1))
    from (select percentile_cont(0.95) within group (order by extract(epoch from p.created_at - e.created_at)) as p95, count(*) as n
          from (select * from public.ops_mission_proposals order by id desc limit 1000) p
          join public.ops_agent_reactions r on r.id = p.reaction_id join public.ops_agent_events e on e.id = r.event_id
          where p.created_at > v_now - interval '1 day' and p.source <> 'canary') l
    having max(l.n) > 0;
  elsif p_rule = 'mission_success_percent' then
    return query
    select '', round(100.0 * m.good / m.n, 2), format('%s of %s missions failed', m.n - m.good, m.n)
    from (select count(*) as n, count(*) filter (where l.status = 'succeeded') as good
          -- Only missions that have ended have the event of a round.
          from (select distinct e.mission_id from (
                  select mission_id from public.ops_agent_events where mission_id is not null and round is not null
                  order by mission_id desc, round desc limit 1000) e) w,
            lateral (select t.* from public.ops_missions t where t.id = w.mission_id offset 0) l
          where l.status in ('succeeded', 'failed') and l.completed_at > v_now - interval '1 day' and l.source is distinct from 'canary') m
    where m.n >= 5;
  elsif p_rule = 'step_error_percent' then
    return query
    select '', round(100.0 * a.bad / a.n, 2), format('%s of %s attempts failed', a.bad, a.n)
    from (select count(*) as n, count(*) filter (where l.status = 'failed') as bad
          from ops.last_attempts l
          where l.status in ('succeeded', 'failed') and l.completed_at > v_now - interval '1 hour') a
    where a.n >= 20;
  elsif p_rule = 'dead_letters_per_hour' then
    return query
    select '', count(*)::numeric, format('%s steps ran out of attempts within the hour', ops.up_to(count(*), p_most)) from (
      select from ops.queue q, lateral (select s.kind from public.ops_mission_steps s where s.id = q.step_id offset 0) s
      where q.status = 'failed' and q.ended_at > v_now - interval '1 hour' and s.kind <> 'noop:canary' limit p_most) d;
  elsif p_rule = 'queued_events' then
    return query
    select '', count(*)::numeric, format('%s events wait to be processed', ops.up_to(count(*), p_most)) from (
      select from public.ops_agent_events where processed_at is null limit p_most) d;
  elsif p_rule = 'queued_steps' then
    return query
    select '', count(*)::numeric, format('%s steps wait for a worker', ops.up_to(count(*), p_most)) from (
      select from ops.queue where status = 'queued' and ready and run_at <= v_now limit p_most) d;
  elsif p_rule = 'proposals_per_hour' then
    return query
    select '', count(*)::numeric, format('%s proposals within the hour', ops.up_to(count(*), p_most)) from (
      select from (
        -- As many more as there may be canaries among them.
        select created_at, source from public.ops_mission_proposals order by id desc limit p_most + 100) l
      where l.created_at > v_now - interval '1 hour' and l.source <> 'canary' limit p_most) d;
  elsif p_rule = 'average_step_seconds' then
    return query
    select l.kind, round(avg(l.seconds), 1), format('steps of kind %s take %s s on average', l.kind, round(avg(l.seconds), 1))
    from (select s.kind, extract(epoch from s.completed_at - s.reserved_at) as seconds
          from ops.last_attempts a, lateral (select * from public.ops_mission_steps t where t.id = a.step_id offset 0) s
          where s.attempt = a.attempt and s.status in ('succeeded', 'failed') and s.completed_at > v_now - interval '1 day') l
    group by l.kind;
  elsif p_rule = 'pattern_errors_per_hour' then
    return query
    select '', sum(f.n)::numeric, format('%s patterns failed on events, or their reactions could not become proposals', sum(f.n))
    from (select count(*) as n from (select * from ops.event_verdicts order by event_id desc limit 2000) v
          where v.settled_at > v_now - interval '1 hour' and (v.error is not null or v.decisions @> '[{"decision": "error"}]')
          union all
          select count(*) from (select * from public.ops_agent_reactions order by id desc limit 2000) r
          where r.status = 'failed' and r.updated_at > v_now - interval '1 hour') f;
  elsif p_rule in ('quarantined_patterns', 'api_error_percent', 'api_p99_ms', 'database_latency_ms') then
    return query
    select '', r.value, case p_rule
      when 'quarantined_patterns' then format('%s patterns are out of service: %s', r.value, (select string_agg(k, ', ') from jsonb_object_keys(r.details) k))
      when 'api_error_percent' then format('the control plane answered %s %% of its requests with an error', r.value)
      when 'api_p99_ms' then format('1 of 100 requests to the control plane takes more than %s ms', r.value)
      else format('the control plane waited %s ms for a trivial query', r.value) end
    -- Patterns are reported with each round of checks, the others with each look at the rules.
    from ops.reports r where r.name = p_rule and r.reported_at > v_now - greatest(30,
      case p_rule when 'quarantined_patterns' then 2 * (ops.policy('invariants') ->> 'every_minutes')::integer end) * interval '1 minute';
  elsif p_rule = 'backup_age_hours' then
    return query
    select '', round(extract(epoch from v_now - r.reported_at) / 3600, 1), format('the last backup was reported at %s', r.reported_at)
    from ops.reports r where r.name = 'backup';
  elsif p_rule = 'database_gigabytes' then
    return query
    select '', round(pg_database_size(current_database()) / 1e9, 3), format('the database takes %s', pg_size_pretty(pg_database_size(current_database())));
  elsif p_rule = 'connections_percent' then
    return query
    select '', round(100.0 * c.used / c.most, 1), format('%s of %s connections are in use', c.used, c.most)
    from (select sum(numbackends) as used, current_setting('max_connections')::numeric as most from pg_stat_database) c;
  elsif p_rule = 'longest_query_seconds' then
    return query
    select '', round(max(extract(epoch from clock_timestamp() - a.query_start)), 1), format('a query has run since %s: process %s',
      min(a.query_start), (array_agg(a.pid order by a.query_start))[1])
    from pg_stat_activity a
    where a.datname = current_database() and a.backend_type = 'client backend' and a.state = 'active' and a.pid <> pg_backend_pid()
    having count(*) > 0;
  elsif p_rule = 'worker_memory_percent' then
    return query
    select w.name, round((w.health ->> 'memory_percent')::numeric, 1), format('worker "%s" uses %s %% of its memory', w.name, round((w.health ->> 'memory_percent')::numeric, 1))
    from ops.workers w where w.last_seen_at > v_now - interval '2 minutes' and w.health ? 'memory_percent';
  elsif p_rule = 'service_down_minutes' then
    return query
    select s.name, ops.minutes(v_now - s.opened_at), format('service %s does not answer as it should: %s', s.name, s.error)
    from ops.services s where s.state = 'open';
  elsif p_rule = 'channel_failures' then
    return query
    select c.name, c.failures::numeric, format('channel %s fails: %s', c.name, c.last_error)
    from ops.channels c where ops.policy('alerts') -> 'channels' ? c.name;
  end if;
end
$$;

create function ops.minutes(p_interval interval) returns numeric
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return round(extract(epoch from p_interval) / 60, 1);
end
$$;

-- A number that was counted up to p_most, in words.
create function ops.up_to(p_count bigint, p_most integer) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when p_count < p_most then p_count::text else 'at least ' || p_count end;
end
$$;

-- When a step was claimed last, canaries aside: of the attempts that have ended and of those at work. Null when that was long ago.
create function ops.last_claim() returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return greatest(
    (select max(r.started_at)
     from (select step_id, started_at from public.ops_action_runs order by id desc limit 100) r,
       lateral (select t.kind from public.ops_mission_steps t where t.id = r.step_id offset 0) s
     where s.kind <> 'noop:canary'),
    (select max(s.reserved_at)
     from (select steps from ops.claims order by id desc limit 20) c,
       lateral (
         select t.reserved_at from unnest(c.steps) u(id), lateral (select * from public.ops_mission_steps where id = u.id offset 0) t
         where t.kind <> 'noop:canary' limit 1) s));
end
$$;

-- Since when the longest waiting step of each executor has been due; looks at the first hundred of each.
create function ops.oldest_due() returns table (executor text, run_at timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return query
  select x.name, min(s.run_at)
  from unnest(ops.claimable_executors()) x(name), lateral (
    select q.run_at from ops.queue q, lateral (select t.kind from public.ops_mission_steps t where t.id = q.step_id offset 0) t
    where q.status = 'queued' and q.ready and q.executor = x.name and q.run_at <= (select ops.now()) and t.kind <> 'noop:canary'
    order by q.priority, q.run_at, q.step_id limit 100) s
  group by x.name;
end
$$;
