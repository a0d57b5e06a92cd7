-- Alerts: policy `alerts` says when the loop asks for a person, and which way.
--
--   rule broken ──▶ open ──worse──▶ escalated ──still there──▶ repeated … ──kept for a while──▶ resolved
--
-- Each of these is told once through every channel that the severity is routed to, as a notice in the outbox: whoever delivers takes a
-- notice under a lease, so that a crash loses none, and sends it under the notice's id, so that a receiver can tell a repetition.
-- Acknowledged alerts are told again only when they get worse or end; silenced ones are not told of at all.
--
-- Every measure reads a bounded number of rows by an index, whatever the loop has before or behind it: what is counted, up to twice the
-- highest threshold, and rates and durations over the last thousand. Those are found by what only work that has ended leaves, attempts and
-- the events of missions, because behind a long queue the newest steps and missions have not begun.

create function ops.severity_rank(p_severity text) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_position(array['info', 'warning', 'high', 'critical'], p_severity);
end
$$;

-- How severities are called where people are woken: P0 critical, P1 high, P2 warning, P3 info.
create function ops.priority(p_severity text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return 'P' || 4 - ops.severity_rank(p_severity);
end
$$;

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

-- Whether a value breaks a rule at a threshold. Rules say by their nature which side is bad.
create function ops.breaks(p_rule text, p_value numeric, p_threshold numeric) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_threshold is null or p_value is null then false
    when p_rule = 'mission_success_percent' then p_value < p_threshold
    when p_rule in ('heartbeat_failures', 'heartbeat_silence_minutes', 'worker_idle_minutes', 'unclaimable_minutes', 'pattern_errors_per_hour',
      'quarantined_patterns', 'service_down_minutes', 'channel_failures') then p_value >= p_threshold
    else p_value > p_threshold end;
end
$$;

-- Opens an alert or brings it up to date, and tells of what is new about it.
create function ops.raise_alert(p_rule text, p_subject text, p_severity text, p_value numeric, p_threshold numeric, p_summary text, p_details jsonb default '{}')
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_alert ops.alerts;
begin
  insert into ops.alerts as a (rule, subject, severity, summary, details, value, threshold)
  values (p_rule, left(p_subject, 500), p_severity, left(p_summary, 1000), p_details, p_value, p_threshold)
  on conflict (rule, subject) where status = 'open' do update
  set severity = case when ops.severity_rank(excluded.severity) > ops.severity_rank(a.severity) then excluded.severity else a.severity end,
    summary = excluded.summary, details = excluded.details, value = excluded.value, threshold = excluded.threshold,
    last_seen_at = ops.now(), clear_since = null
  returning * into v_alert;

  if v_alert.told_at is null then
    perform ops.tell(v_alert, 'opened');
  elsif ops.severity_rank(v_alert.severity) > ops.severity_rank(v_alert.told_severity) then
    -- Whoever has acknowledged the lesser trouble has not heard of this one.
    update ops.alerts set acknowledged_at = null, acknowledged_by = null where id = v_alert.id;
    perform ops.tell(v_alert, 'escalated');
  elsif v_alert.acknowledged_at is null
    and v_alert.told_at <= ops.now() - coalesce((ops.policy('alerts') ->> 'repeat_minutes')::numeric, 240) * interval '1 minute'
  then
    perform ops.tell(v_alert, 'repeated');
  end if;
end
$$;

-- Ends the alerts of a rule whose subjects are no longer in trouble, once they have been so for a while (p_at_once: now).
create function ops.clear_alerts(p_rule text, p_except text[] default '{}', p_at_once boolean default false) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold interval := case when p_at_once then interval '0'
    else coalesce((ops.policy('alerts') ->> 'resolve_after_minutes')::numeric, 5) * interval '1 minute' end;
  v_alert ops.alerts;
begin
  for v_alert in
    update ops.alerts a set clear_since = coalesce(a.clear_since, ops.now())
    where a.rule = p_rule and a.status = 'open' and a.subject <> all (p_except)
    returning a.*
  loop
    continue when v_alert.clear_since > ops.now() - v_hold;
    update ops.alerts a set status = 'resolved', resolved_at = ops.now() where a.id = v_alert.id returning * into v_alert;
    if v_alert.told_at is not null then
      perform ops.tell(v_alert, 'resolved');
    end if;
  end loop;
end
$$;

create function ops.silenced(p_rule text, p_subject text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from ops.silences s where s.rule in (p_rule, '*') and (s.subject is null or s.subject = p_subject) and s.until > ops.now());
end
$$;

-- Puts a notice for each channel of the alert's severity into the outbox, unless somebody has silenced it. What a channel cannot
-- deliver is not told through that channel.
create function ops.tell(p_alert ops.alerts, p_transition text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('alerts'), '{}');
  v_default jsonb := case when p_alert.severity = 'info' then '[]' else '["slack"]' end::jsonb;
begin
  if ops.silenced(p_alert.rule, p_alert.subject) then
    return;
  end if;
  update ops.alerts a set told_at = ops.now(), told_severity = p_alert.severity, notices = a.notices + 1 where a.id = p_alert.id
  returning a.notices into p_alert.notices;
  insert into ops.alert_notices (alert_id, number, transition, channel, message)
  select p_alert.id, p_alert.notices, p_transition, c.channel, jsonb_build_object(
    'alert_id', p_alert.id, 'rule', p_alert.rule, 'subject', p_alert.subject, 'transition', p_transition, 'severity', p_alert.severity,
    'priority', ops.priority(p_alert.severity), 'summary', p_alert.summary, 'value', p_alert.value, 'threshold', p_alert.threshold,
    'opened_at', p_alert.opened_at, 'at', ops.now())
  from (select distinct jsonb_array_elements_text(coalesce(v_policy #> array['routes', p_alert.severity], v_default)) as channel) c
  where coalesce(v_policy -> 'channels', '{}') ? c.channel and not (p_alert.rule = 'channel_failures' and p_alert.subject = c.channel)
  order by c.channel;
end
$$;

-- Looks at every rule, when it is time to, for one of any number of callers. p_reports are numbers that only the caller knows:
-- {"database_latency_ms": 3.2, …}. A rule that cannot be measured stops no other and is an alert itself. Returns how many alerts are open,
-- or null when it was not time.
create function public.ops_evaluate_alerts(p_reports jsonb default '{}') returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('alerts'), '{}');
  v_rule record;
  v_measure record;
  v_severity text;
  v_seen text[];
  v_broken text[] := '{}';
begin
  if not ops.take_turn('alerts', coalesce((v_policy ->> 'every_minutes')::numeric, 1)) then
    return null;
  end if;
  perform public.ops_report(r.key, r.value::numeric) from jsonb_each_text(p_reports) r;
  if not coalesce((v_policy ->> 'enabled')::boolean, true) then
    v_policy := '{"violations": false}';
  end if;

  for v_rule in select r.key as name, (r.value ->> 'warning')::numeric as warning, (r.value ->> 'critical')::numeric as critical
    from jsonb_each(coalesce(v_policy -> 'rules', '{}')) r
  loop
    begin
      v_seen := '{}';
      for v_measure in select * from ops.measure(v_rule.name, ops.count_up_to(v_rule.warning, v_rule.critical)) loop
        v_severity := case when ops.breaks(v_rule.name, v_measure.value, v_rule.critical) then 'critical'
          when ops.breaks(v_rule.name, v_measure.value, v_rule.warning) then 'warning' end;
        continue when v_severity is null;
        v_seen := v_seen || left(v_measure.subject, 500);
        perform ops.raise_alert(v_rule.name, v_measure.subject, v_severity, v_measure.value,
          case v_severity when 'critical' then v_rule.critical else v_rule.warning end, v_measure.summary);
      end loop;
      perform ops.clear_alerts(v_rule.name, v_seen);
    exception
      when query_canceled then
        raise;
      when others then
        v_broken := v_broken || v_rule.name;
        perform ops.raise_alert('rule_failed', v_rule.name, 'warning', null, null, format('rule %s cannot be measured: %s', v_rule.name, sqlerrm));
    end;
  end loop;
  perform ops.clear_alerts('rule_failed', v_broken);
  perform ops.alert_violations(coalesce((v_policy ->> 'violations')::boolean, true));
  perform ops.clear_alerts(a.rule, '{}', true) from (
    select distinct rule from ops.alerts where status = 'open' and rule not in ('rule_failed', 'invariant')
      and not coalesce(v_policy -> 'rules', '{}') ? rule) a;
  perform ops.send_digest(v_policy -> 'digest');
  return (select count(*) from ops.alerts where status = 'open');
end
$$;

-- An alert for each check that is violated, with the severity of the check.
create function ops.alert_violations(p_wanted boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_check record;
  v_seen text[] := '{}';
begin
  for v_check in
    select v.check_name, count(*) as n, (array_agg(v.severity order by ops.severity_rank(v.severity) desc))[1] as severity,
      (array_agg(v.message order by v.created_at))[1] as message
    from ops.invariant_violations v where not v.resolved and p_wanted group by v.check_name
  loop
    v_seen := v_seen || v_check.check_name;
    perform ops.raise_alert('invariant', v_check.check_name, v_check.severity, v_check.n, 0,
      format('%s violation%s of %s: %s', v_check.n, case when v_check.n > 1 then 's' else '' end, v_check.check_name, v_check.message));
  end loop;
  perform ops.clear_alerts('invariant', v_seen, not p_wanted);
end
$$;

-- What the last day was like, for people who read one mail a day.
create function ops.digest() returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_since timestamptz := ops.now() - interval '1 day';
begin
  return jsonb_build_object('since', v_since, 'at', ops.now(),
    'open_alerts', (select coalesce(jsonb_agg(jsonb_build_object('priority', ops.priority(a.severity), 'rule', a.rule, 'subject', a.subject,
        'summary', a.summary, 'opened_at', a.opened_at) order by ops.severity_rank(a.severity) desc, a.opened_at), '[]')
      from (select * from ops.alerts where status = 'open' order by opened_at limit 50) a),
    'alerts_opened', (select count(*) from ops.alerts where opened_at > v_since),
    'alerts_resolved', (select count(*) from ops.alerts where resolved_at > v_since and opened_at > v_since - interval '7 days'),
    'open_violations', (select count(*) from ops.invariant_violations where not resolved),
    'canaries_returned', (select count(*) from ops.canaries where sent_at > v_since and status in ('returned', 'slow')),
    'canaries_missing', (select count(*) from ops.canaries where sent_at > v_since and status = 'missing'),
    'dead_letters', (select count(*) from (select from ops.queue where status = 'failed' and ended_at > v_since limit 10000) d),
    'pending_approvals', (select count(*) from (select from public.ops_mission_proposals where status = 'pending' limit 10000) p),
    'heartbeats', (select count(*) from ops.heartbeats where at > v_since),
    'failed_heartbeats', (select count(*) from ops.heartbeats where at > v_since and not ok));
end
$$;

-- Puts the day's digest into the outbox, once for each day of the digest's time zone, when its hour has come.
create function ops.send_digest(p_digest jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_local timestamp := ops.now() at time zone coalesce(p_digest ->> 'time_zone', 'UTC');
  v_day text := v_local::date::text;
begin
  if p_digest is null or extract(hour from v_local) < coalesce((p_digest ->> 'hour')::integer, 8) then
    return;
  end if;
  insert into ops.watch as w (part, ran_at, role, details) values ('digest', ops.now(), ops.caller(), jsonb_build_object('day', v_day))
  on conflict (part) do update set ran_at = excluded.ran_at, details = excluded.details where coalesce(w.details ->> 'day', '') < v_day;
  if found then
    insert into ops.alert_notices (number, transition, channel, message)
    select 0, 'digest', c, ops.digest() || '{"transition": "digest", "severity": "info"}' from jsonb_array_elements_text(p_digest -> 'channels') c
    where coalesce(ops.policy('alerts') -> 'channels', '{}') ? c;
  end if;
end
$$;

-- Takes up to p_limit notices that are due, under a lease, the oldest first; only those of some channels and of one rule, if these are
-- given. Notices about one alert leave through a channel one after the other. A restored copy tells nobody: what waits in it was or
-- will be told by the database that it was taken from.
create function ops.take_notices(p_limit integer, p_lease_seconds integer, p_channels text[] default null, p_rule text default null)
returns table (id uuid, token uuid, channel text, config jsonb, message jsonb, attempt integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_channels jsonb := coalesce(ops.policy('alerts') -> 'channels', '{}');
begin
  if ops.on_hold() then
    return;
  end if;
  return query
  with due as materialized (
    select n.id from ops.alert_notices n
    where n.status = 'pending' and n.due_at <= ops.now() and coalesce(n.lease_expires_at, '-infinity') <= ops.now()
      and (p_channels is null or n.channel = any (p_channels))
      and (p_rule is null or exists (select from ops.alerts a where a.id = n.alert_id and a.rule = p_rule))
      and not exists (select from ops.alert_notices e
                      where e.alert_id = n.alert_id and e.channel = n.channel and e.number < n.number and e.status = 'pending')
    order by n.due_at, n.id limit least(p_limit, 100) for update skip locked
  )
  update ops.alert_notices n
  set lease_token = gen_random_uuid(), lease_expires_at = ops.now() + least(p_lease_seconds, 600) * interval '1 second', attempts = n.attempts + 1
  from due d where n.id = d.id
  returning n.id, n.lease_token, n.channel, v_channels -> n.channel, n.message, n.attempts;
end
$$;

-- Takes up to p_limit notices (1..100) that are due. Answers what to send, and the channel as policy describes it.
create function public.ops_claim_notices(p_limit integer default 20, p_lease_seconds integer default 120)
returns table (id uuid, token uuid, channel text, config jsonb, message jsonb, attempt integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_channels jsonb := coalesce(ops.policy('alerts') -> 'channels', '{}');
begin
  update ops.alert_notices n set status = 'skipped', last_error = 'there is no such channel any more', lease_token = null, lease_expires_at = null
  where n.status = 'pending' and not v_channels ? n.channel;
  return query select * from ops.take_notices(p_limit, p_lease_seconds);
end
$$;

-- What came of sending a notice: delivered, later (again after p_after_seconds, or with backoff from 30 s to 1 h; given up after a day), refused, or
-- skipped because the channel is not set up. Answers ok, or lost when the lease is another's by now.
create function public.ops_record_notice(p_id uuid, p_token uuid, p_outcome text, p_detail jsonb default '{}', p_error text default null,
  p_after_seconds integer default null)
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_notice ops.alert_notices;
begin
  if p_outcome not in ('delivered', 'later', 'refused', 'skipped') then
    perform ops.fail('OPS_011', 'p_outcome must be delivered, later, refused or skipped', 'p_outcome');
  end if;
  update ops.alert_notices n
  set lease_token = null, lease_expires_at = null, last_error = left(p_error, 2000), detail = p_detail,
    status = case when p_outcome <> 'later' then p_outcome when n.created_at < ops.now() - interval '1 day' then 'refused' else 'pending' end,
    delivered_at = case when p_outcome = 'delivered' then ops.now() end,
    due_at = case when p_outcome = 'later'
      then ops.now() + greatest(least(30 * 2 ^ least(n.attempts - 1, 12), 3600), least(coalesce(p_after_seconds, 0), 86400)) * interval '1 second' else n.due_at end
  where n.id = p_id and n.lease_token = p_token and n.status = 'pending'
  returning * into v_notice;
  if not found then
    return 'lost';
  end if;
  if p_outcome = 'delivered' then
    insert into ops.channels (name, last_ok_at) values (v_notice.channel, ops.now())
    on conflict (name) do update set failures = 0, last_error = null, last_ok_at = ops.now();
  elsif p_outcome in ('later', 'refused') then
    insert into ops.channels as c (name, failures, last_error, last_failure_at) values (v_notice.channel, 1, left(p_error, 2000), ops.now())
    on conflict (name) do update set failures = c.failures + 1, last_error = excluded.last_error, last_failure_at = ops.now();
  end if;
  return 'ok';
end
$$;

-- Alerts, newest first, at most 200; p_filter {"id"?, "status"?, "rule"?, "severity"?}, p_after is the last id of the page before.
create function public.ops_list_alerts(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(a) || jsonb_build_object('priority', ops.priority(a.severity), 'silenced', ops.silenced(a.rule, a.subject))
  from ops.alerts a
  where (p_after is null or a.id < p_after)
    and (not p_filter ? 'id' or a.id = (p_filter ->> 'id')::uuid)
    and (not p_filter ? 'status' or a.status = p_filter ->> 'status')
    and (not p_filter ? 'rule' or a.rule = p_filter ->> 'rule')
    and (not p_filter ? 'severity' or a.severity = p_filter ->> 'severity')
  order by a.id desc limit least(p_limit, 200)
$$;

-- Somebody has taken an alert on: it is told again only when it gets worse, or ends. Doing it again changes nothing.
-- Errors: OPS_011 without a name, OPS_013 unknown, OPS_014 when it is over.
create function public.ops_acknowledge_alert(p_alert_id uuid, p_actor text, p_note text default null) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_alert ops.alerts;
begin
  if length(coalesce(p_actor, '')) not between 1 and 200 then
    perform ops.fail('OPS_011', 'p_actor must have 1 to 200 characters', 'p_actor');
  end if;
  select * into v_alert from ops.alerts where id = p_alert_id for update;
  if not found then
    perform ops.fail('OPS_013', format('there is no alert %s', p_alert_id), 'p_alert_id');
  elsif v_alert.status <> 'open' then
    perform ops.fail('OPS_014', format('alert %s was resolved at %s', p_alert_id, v_alert.resolved_at), 'status');
  end if;
  update ops.alerts set acknowledged_at = coalesce(acknowledged_at, ops.now()), acknowledged_by = coalesce(acknowledged_by, p_actor),
    note = coalesce(p_note, note)
  where id = p_alert_id returning * into v_alert;
  return to_jsonb(v_alert) || jsonb_build_object('priority', ops.priority(v_alert.severity), 'silenced', ops.silenced(v_alert.rule, v_alert.subject));
end
$$;

-- Keeps a rule ('*': all) quiet for some minutes (1..43200), for one subject or all (null), with a reason. What is still open then is told.
-- Notices that have not left yet stay unsent. Errors: OPS_011.
create function public.ops_silence_alerts(p_rule text, p_minutes integer, p_reason text, p_actor text, p_subject text default null)
returns table (silence_id uuid, until timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if p_minutes is null or p_minutes not between 1 and 43200 then
    perform ops.fail('OPS_011', 'a silence lasts 1 to 43200 minutes, 30 days', 'p_minutes');
  elsif length(coalesce(p_reason, '')) not between 1 and 1000 then
    perform ops.fail('OPS_011', 'a silence needs a reason of 1 to 1000 characters', 'p_reason');
  elsif length(coalesce(p_actor, '')) not between 1 and 200 then
    perform ops.fail('OPS_011', 'p_actor must have 1 to 200 characters', 'p_actor');
  elsif p_rule is distinct from '*' and p_rule is distinct from 'invariant' and p_rule is distinct from 'rule_failed'
    and not exists (select from ops.policy_schemas s where s.key = 'alerts' and s.schema #> '{properties,rules,properties}' ? p_rule)
  then
    perform ops.fail('OPS_011', format('there is no rule "%s"', p_rule), 'p_rule',
      'known rules: *, invariant, rule_failed, ' || (select string_agg(k, ', ' order by k) from ops.policy_schemas s,
        jsonb_object_keys(s.schema #> '{properties,rules,properties}') k where s.key = 'alerts'));
  end if;
  update ops.alert_notices n set status = 'skipped', last_error = 'silenced by ' || p_actor, lease_token = null, lease_expires_at = null
  from ops.alerts a
  where n.alert_id = a.id and n.status = 'pending' and n.lease_token is null and p_rule in (a.rule, '*') and (p_subject is null or a.subject = p_subject);
  return query
  insert into ops.silences as s (rule, subject, until, reason, actor) values (p_rule, p_subject, ops.now() + p_minutes * interval '1 minute', p_reason, p_actor)
  returning s.id, s.until;
end
$$;

-- Alerts as rows.
create view public.ops_alerts with (security_invoker = true) as
  select id, rule, subject, severity, case severity when 'critical' then 'P0' when 'high' then 'P1' when 'warning' then 'P2' else 'P3' end as priority,
    status, summary, value, threshold, opened_at, last_seen_at, resolved_at, acknowledged_at, acknowledged_by, note, notices
  from ops.alerts;

-- What was told through which channel, and what could not be.
create view public.ops_alert_notices with (security_invoker = true) as
  select id, alert_id, number, transition, channel, status, attempts, due_at, delivered_at, last_error, created_at, message from ops.alert_notices;

create view public.ops_silences with (security_invoker = true) as
  select id, rule, subject, until, reason, actor, created_at from ops.silences;
