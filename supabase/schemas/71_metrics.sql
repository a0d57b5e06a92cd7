-- Metrics: what /metrics tells. Gauges are read where they stand, by partial indexes; totals are kept in ops.totals.

-- Upper bounds of the histograms' buckets, in seconds.
create function ops.duration_bounds() returns double precision[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return '{0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600}';
end
$$;

-- Adds durations to a total. A null duration counts without one.
create function ops.add_to_total(p_metric text, p_kind text, p_outcome text, p_seconds double precision[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.totals as t (metric, kind, outcome, count, seconds, buckets)
  select p_metric, p_kind, p_outcome, cardinality(p_seconds), coalesce((select sum(s) from unnest(p_seconds) s), 0),
    array(select (select count(*) from unnest(p_seconds) s where s <= b.bound)
          from unnest(ops.duration_bounds()) with ordinality b(bound, n) order by b.n)
  on conflict (metric, kind, outcome) do update set count = t.count + excluded.count, seconds = t.seconds + excluded.seconds,
    buckets = array(select coalesce(u.mine, 0) + coalesce(u.new, 0)
                    from unnest(t.buckets, excluded.buckets) with ordinality as u(mine, new, i) order by u.i);
end
$$;

-- The kinds that are told apart, at most 200: who names kinds must not be able to flood whoever reads the metrics.
create function ops.told_kind(p_kind text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when exists (select from ops.totals where metric = 'attempts' and kind = p_kind) then p_kind
    when (select count(distinct kind) from ops.totals where metric = 'attempts') >= 200 then 'other'
    else p_kind
  end;
end
$$;

-- Adds up one more window of finished attempts and of deaths: five minutes at most, ending a minute ago, since what ended a moment
-- ago may not be committed yet. Answers whether there is another one. Whoever comes while somebody else adds up does nothing. Planned once, for any window:
-- statistics of full tables make planning dearer than the work, and so would compiling what such a plan expects to read.
create function public.ops_roll_up_metrics() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set random_page_cost = 1.1
set jit = off
as $$
declare
  v_end timestamptz := ops.now() - interval '1 minute';
  v_from timestamptz;
  v_to timestamptz;
  v_row record;
  v_deaths double precision[];
begin
  if not pg_try_advisory_xact_lock(hashtextextended('ops metrics', 0)) then
    return false;
  end if;
  select at into v_from from ops.totals_until;
  if v_from is null then
    insert into ops.totals_until (at) values (v_end);
    return false;
  elsif v_from >= v_end then
    return false;
  end if;
  v_to := least(v_end, v_from + interval '5 minutes');

  for v_row in
    select s.kind, r.status, array_agg(extract(epoch from r.completed_at - r.started_at)::double precision) as seconds,
      array_agg(r.id) filter (where r.status = 'failed') as failed
    from public.ops_action_runs r join public.ops_mission_steps s on s.id = r.step_id
    where r.completed_at > v_from and r.completed_at <= v_to
    group by 1, 2 order by 1, 2
  loop
    perform ops.add_to_total('attempts', ops.told_kind(v_row.kind), v_row.status, v_row.seconds);
    -- An attempt that killed its step has an event that says so, and is asked for it: events of a window of time would all have to be looked at.
    select array_agg(null::double precision) into v_deaths
    from unnest(v_row.failed) f(id), lateral (
      select from public.ops_agent_events e where e.run_id = f.id and e.type like 'step:%:failed' limit 1) e;
    if v_deaths is not null then
      perform ops.add_to_total('deaths', ops.told_kind(v_row.kind), 'failed', v_deaths);
    end if;
  end loop;
  update ops.totals_until set at = v_to;
  return v_to < v_end;
end
$$;
insert into ops.totals_until (at) values (ops.now()) on conflict do nothing;

-- Everything that /metrics tells: {"totals": [{"metric", "kind", "outcome", "count", "seconds", "buckets"}], "bounds": [seconds],
-- "queues": {name: count up to a million, of open missions up to 100,000}, "oldest_queued_seconds", "claims" (in the last five minutes), "workers", "alerts": [{"rule", "severity", "count"}], "heartbeat": {"ok", "at"} | null,
-- "watch": as ops_watch_state}.
create function public.ops_metrics() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set random_page_cost = 1.1
as $$
declare
  v_health jsonb := public.ops_health();
  v_recent timestamptz := ops.now() - interval '5 minutes';
begin
  return jsonb_build_object(
    'totals', (select coalesce(jsonb_agg(to_jsonb(t) order by t.metric, t.kind, t.outcome), '[]') from ops.totals t),
    'bounds', to_jsonb(ops.duration_bounds()),
    'queues', ops.count_queues(1000000, 100000),
    'oldest_queued_seconds', v_health -> 'oldest_queued_seconds',
    'workers', v_health #> '{workers,live}',
    'alerts', (
      select coalesce(jsonb_agg(to_jsonb(a) order by a.rule, a.severity), '[]')
      from (select rule, severity, count(*) as count from ops.alerts where status = 'open' group by rule, severity) a),
    'claims', (select count(*) from public.ops_mission_steps where reserved_at > v_recent),
    'heartbeat', (select jsonb_build_object('ok', h.ok, 'at', extract(epoch from h.at)) from ops.heartbeats h order by h.at desc limit 1),
    'watch', public.ops_watch_state());
end
$$;
