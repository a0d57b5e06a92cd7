-- Outcomes: how an attempt ends. Every write carries the token and answers `ok` or `lost`; a lost one changes nothing and is
-- kept as evidence. Missions are locked before their steps, so the last two steps of a mission may end at once, in any order.

-- The items of a call without repetitions: the first for each step and token.
create function ops.first_items(p_items jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(jsonb_agg(f.item order by f.n), '[]')
  from (select distinct on (i.item ->> 'step_id', i.item ->> 'token') i.item, i.n
        from jsonb_array_elements(p_items) with ordinality i(item, n)
        order by i.item ->> 'step_id', i.item ->> 'token', i.n) f);
end
$$;

-- Locks the missions of steps whose token still holds, in id order.
create function ops.lock_missions_of(p_leases jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.ops_missions m
  where m.id = any (array(
    select s.mission_id from jsonb_to_recordset(p_leases) as g(step_id uuid, token uuid)
    join public.ops_mission_steps s on s.id = g.step_id and s.lease_token = g.token))
  order by m.id
  for no key update;
end
$$;

-- Keeps what came too late. p_tokens are those that held.
create function ops.keep_late(p_items jsonb, p_outcome text, p_tokens uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.late_results (step_id, token, outcome, payload)
  select (i ->> 'step_id')::uuid, (i ->> 'token')::uuid, p_outcome, i - 'step_id' - 'token'
  from jsonb_array_elements(p_items) i
  where (i ->> 'token')::uuid <> all (coalesce(p_tokens, '{}'))
    and exists (select from public.ops_mission_steps s where s.id = (i ->> 'step_id')::uuid);
end
$$;

-- Stores what executors emitted, in the chain of their mission. Part of the outcome's transaction: an event of an attempt that
-- was not recorded never happened. Errors: OPS_011 names the event.
create function ops.emit_of_runs(p_items jsonb, p_tokens uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_bad record;
begin
  if not jsonb_path_exists(p_items, '$[*].events[*] ? (@ != null)') then
    return;
  end if;
  select i ->> 'step_id' as step_id, p.field, p.problem into v_bad
  from jsonb_array_elements(p_items) i, jsonb_path_query(i, '$.events[*] ? (@ != null)') e, ops.event_problem(e, false) p
  where p.problem is not null and (i ->> 'token')::uuid = any (p_tokens) limit 1;
  if found then
    perform ops.fail('OPS_011', format('event of step %s: %s %s', v_bad.step_id, v_bad.field, v_bad.problem), 'events.' || v_bad.field);
  end if;
  insert into public.ops_agent_events (type, data, dedupe_key, mission_id, run_id, root_event_id, depth)
  select e ->> 'type', coalesce(nullif(e -> 'data', 'null'), '{}'), e ->> 'dedupe_key', m.id, (i ->> 'token')::uuid,
    m.root_event_id, m.depth + 1
  from jsonb_array_elements(p_items) i
  join public.ops_mission_steps s on s.id = (i ->> 'step_id')::uuid
  join public.ops_missions m on m.id = s.mission_id,
  jsonb_path_query(i, '$.events[*] ? (@ != null)') e
  where (i ->> 'token')::uuid = any (p_tokens)
  order by e ->> 'dedupe_key'
  on conflict (dedupe_key) do nothing;
end
$$;

-- What a worker says an attempt cost, within what a step may cost at all: no report may spoil the day's count.
create function ops.reported_usd(p_cost numeric) returns numeric
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when p_cost is not null then round(least(greatest(p_cost, 0), 1000000), 6) end;
end
$$;

-- Records success: [{"step_id", "token", "result"?, "cost_usd"?, "meta"?, "events"?}], at most 1,000. Steps that waited for
-- these become claimable, missions without open steps end, all in this one transaction.
create function public.ops_complete_steps(p_results jsonb)
returns table (step_id uuid, outcome text, mission_id uuid, mission_status text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_count integer := ops.require_array(p_results, 'p_results', 1000);
  v_now timestamptz;
  v_ids uuid[];
  v_given uuid[];
  v_results jsonb[];
  v_costs numeric[];
  v_metas jsonb[];
  v_distinct integer;
  v_steps uuid[];
  v_tokens uuid[];
  v_missions uuid[];
  v_statuses jsonb;
  v_going uuid[];
begin
  -- JSON is read once; from here on it is arrays. Only a call that repeats itself is read again, without the repetitions.
  for v_reading in 1..2 loop
    select array_agg(g.step_id), array_agg(g.token), array_agg(g.result), array_agg(nullif(g.meta, 'null')), count(distinct g.token),
      array_agg(case when g.cost_usd is not null then ops.reported_usd(g.cost_usd) end)
    into v_ids, v_given, v_results, v_metas, v_distinct, v_costs
    from jsonb_to_recordset(p_results) as g(step_id uuid, token uuid, result jsonb, cost_usd numeric, meta jsonb);
    exit when v_distinct = v_count or v_reading = 2;
    p_results := ops.first_items(p_results);
    v_count := jsonb_array_length(p_results);
  end loop;

  -- Also those of leases that somebody else has by now: looking at tokens here costs more than their locks.
  perform from public.ops_missions m
  where m.id = any (array(select s.mission_id from public.ops_mission_steps s where s.id = any (v_ids) and s.lease_token is not null))
  order by m.id
  for no key update;
  v_now := ops.now();

  with done as (
    update public.ops_mission_steps s
    set status = 'succeeded', result = g.result, cost_usd = coalesce(s.cost_usd + g.cost_usd, s.cost_usd, g.cost_usd), lease_token = null,
      lease_expires_at = null, last_error = null, completed_at = v_now, updated_at = v_now, revision = s.revision + 1
    from unnest(v_ids, v_given, v_results, v_costs, v_metas) g(id, token, result, cost_usd, meta)
    where s.id = g.id and s.lease_token = g.token
    returning s.id, s.mission_id, s.executor, s.reserved_at, s.attempt, s.worker_id, g.token, g.meta, g.cost_usd
  ), recorded as (
    insert into public.ops_action_runs (id, step_id, executor, status, started_at, completed_at, meta, attempt, worker_id, cost_usd)
    select token, id, executor, 'succeeded', reserved_at, v_now, coalesce(meta, '{}'), attempt, worker_id, cost_usd from done
  )
  select array_agg(id), array_agg(token), array_agg(mission_id) into v_steps, v_tokens, v_missions from done;

  if v_steps is not null then
    perform ops.emit_of_runs(p_results, v_tokens);
    select r.statuses, r.going into v_statuses, v_going from ops.roll_up(v_missions) r;
    if v_going is not null and ops.release_waiting(v_going) > 0 then
      perform ops.wake_workers();
    end if;
    -- Now and then for all: what has ended leaves the claims. Not when steps are claimed, which somebody waits for.
    if random() < 0.125 then
      perform ops.look_at_claims(v_now - interval '10 seconds', 32);
    end if;
    return query
    select d.id, 'ok', d.mission_id, case when v_statuses is null then 'succeeded' else coalesce(v_statuses ->> d.mission_id::text, 'succeeded') end
    from unnest(v_steps, v_missions) d(id, mission_id);
  end if;
  if coalesce(cardinality(v_steps), 0) < v_count then
    perform ops.keep_late(p_results, 'succeeded', v_tokens);
    return query
    select l.id, 'lost', m.id, m.status::text
    from (select unnest(v_ids) as id except select unnest(v_steps)) l
    left join public.ops_mission_steps s on s.id = l.id
    left join public.ops_missions m on m.id = s.mission_id;
  end if;
end
$$;
