-- The synthetic canary: each round of the monitor sends an event of the engine's own through the whole loop, as real ones go:
--
--   canary:ping ──pattern──▶ reaction ──gate──▶ mission ──▶ noop step ──worker──▶ mission:succeeded
--
-- It stands outside the caps, auto_approve and the loop guard, and outside what operators count. One that does not come back, or not
-- in time, is a violation. While a part of the loop that it needs is paused none is sent, and that is what is told.

-- What keeps a canary from being sent now, or null.
create function ops.canary_obstacle() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_part text;
begin
  foreach v_part in array array['intake', 'reactions', 'approvals', 'claims'] loop
    if ops.paused(v_part) then
      return format('%s paused by the control switch', case v_part when 'intake' then 'intake is' else v_part || ' are' end);
    end if;
  end loop;
  return case
    when 'noop' = any (ops.blocked_executors()) then 'executor noop is blocked'
    when ops.policy('control') ->> 'max_depth' = '0' then 'control.max_depth is 0' end;
end
$$;

-- Milliseconds of each leg of a canary's way, null for those that it has not gone, with the mission's status.
create function ops.canary_way(p_event_id uuid, out legs jsonb, out mission_id uuid, out status text, out proposal_id uuid, out proposal_status text,
  out returned_at timestamptz, out error text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
as $$
begin
  select jsonb_strip_nulls(jsonb_build_object(
      'pattern_ms', ops.milliseconds(e.created_at, v.settled_at), 'gate_ms', ops.milliseconds(v.settled_at, p.created_at),
      'pickup_ms', ops.milliseconds(m.created_at, r.started_at), 'step_ms', ops.milliseconds(r.started_at, r.completed_at),
      'event_ms', ops.milliseconds(r.completed_at, b.created_at), 'total_ms', ops.milliseconds(e.created_at, b.created_at))),
    m.id, m.status::text, p.id, p.status::text, case when m.status = 'succeeded' then b.created_at end, s.last_error
  into legs, mission_id, status, proposal_id, proposal_status, returned_at, error
  from public.ops_agent_events e
  left join ops.event_verdicts v on v.event_id = e.id
  left join public.ops_agent_reactions a on a.event_id = e.id
  left join public.ops_mission_proposals p on p.reaction_id = a.id
  left join public.ops_missions m on m.proposal_id = p.id
  left join public.ops_mission_steps s on s.mission_id = m.id
  left join lateral (select * from public.ops_action_runs x where x.step_id = s.id order by x.attempt desc limit 1) r on true
  left join lateral (select * from public.ops_agent_events x where x.mission_id = m.id and x.type like 'mission:%' order by x.created_at limit 1) b on true
  where e.id = p_event_id;
end
$$;

create function ops.milliseconds(p_from timestamptz, p_to timestamptz) returns numeric
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return round(extract(epoch from p_to - p_from) * 1000, 1);
end
$$;

-- Looks after the canaries that are on their way: notes those that came back, and tells of those that are late.
create function ops.collect_canaries() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('invariants') -> 'canary', '{}');
  v_slow interval := coalesce((v_policy ->> 'slow_seconds')::numeric, 600) * interval '1 second';
  v_missing interval := coalesce((v_policy ->> 'missing_minutes')::numeric, 15) * interval '1 minute';
  v_canary ops.canaries;
  v_way record;
  v_obstacle text := ops.canary_obstacle();
  v_disturbed boolean;
  v_status text;
begin
  for v_canary in
    select * from ops.canaries c where c.status = 'travelling' order by c.sent_at limit 50 for no key update skip locked
  loop
    select * into v_way from ops.canary_way(v_canary.event_id);
    -- A pause since it was sent says nothing about the loop's speed.
    v_disturbed := exists (select from public.ops_policy p where p.key in ('control', 'worker_policy') and p.updated_at > v_canary.sent_at);
    v_status := case
      when v_way.returned_at is not null then
        case when v_way.returned_at - v_canary.sent_at > v_slow and not v_disturbed then 'slow' else 'returned' end
      when v_way.status in ('failed', 'cancelled') then 'missing'
      when v_obstacle is not null then 'paused'
      when ops.now() - v_canary.sent_at > v_missing and not (v_disturbed and ops.now() - v_canary.sent_at < 2 * v_missing) then 'missing' end;
    continue when v_status is null;

    update ops.canaries c
    set status = v_status, returned_at = v_way.returned_at, legs = coalesce(v_way.legs, '{}'),
      reason = case v_status when 'paused' then v_obstacle when 'missing' then ops.canary_last_seen(v_way.mission_id, v_way.status, v_way.proposal_id, v_way.error) end
    where c.id = v_canary.id
    returning * into v_canary;
    if v_status in ('returned', 'slow') then
      perform ops.record_canary(v_canary, v_slow);
    elsif v_status = 'missing' then
      perform ops.open_violation('canary_missing', '', 'high',
        format('the canary sent at %s did not come back: %s', v_canary.sent_at, v_canary.reason), to_jsonb(v_canary));
    else
      perform ops.resolve_violations('canary_missing');
    end if;
    if v_way.status in ('approved', 'running') and v_status in ('missing', 'paused') then
      perform public.ops_cancel_mission(v_way.mission_id, 'engine', 'the canary is late');
    end if;
  end loop;
end
$$;

create function ops.canary_last_seen(p_mission_id uuid, p_status text, p_proposal_id uuid, p_error text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_status in ('failed', 'cancelled') then format('its mission %s%s', case p_status when 'failed' then 'failed' else 'was cancelled' end, coalesce(': ' || p_error, ''))
    when p_mission_id is not null then 'no worker has done its step (executor noop)'
    when p_proposal_id is not null then 'its proposal was not admitted'
    else 'no heartbeat has turned its event into a proposal' end;
end
$$;

-- A canary that came back proves the loop alive: a line among the violations, resolved from the start, as dashboards ask for it.
create function ops.record_canary(p_canary ops.canaries, p_slow interval) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.invariant_violations (check_name, subject, severity, message, details, resolved, created_at, last_seen_at, resolved_at)
  values ('synthetic_canary', p_canary.id::text, 'info', format('came back after %s ms', p_canary.legs ->> 'total_ms'), p_canary.legs,
    true, p_canary.returned_at, p_canary.returned_at, p_canary.returned_at);
  perform ops.resolve_violations('canary_missing');
  if p_canary.status = 'slow' then
    perform ops.open_violation('canary_slow', '', 'warning', format('the canary sent at %s took %s s, allowed are %s', p_canary.sent_at,
      round((p_canary.legs ->> 'total_ms')::numeric / 1000, 1), round(extract(epoch from p_slow))), p_canary.legs);
  else
    perform ops.resolve_violations('canary_slow');
  end if;
end
$$;

-- Looks after the canaries under way and, once in each round, sends another or notes what keeps it from being sent. A heartbeat
-- calls it before it looks for events, so that the canary's first legs are that heartbeat's own. Returns true when one was sent.
create function public.ops_send_canary() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('invariants'), '{}');
  v_obstacle text;
  v_event_id uuid;
begin
  perform ops.collect_canaries();
  if not coalesce((v_policy #>> '{canary,enabled}')::boolean, true) then
    perform ops.resolve_violations('canary_missing'), ops.resolve_violations('canary_slow');
    return false;
  elsif not ops.take_turn('canary', coalesce((v_policy ->> 'every_minutes')::numeric, 5)) then
    return false;
  end if;
  v_obstacle := ops.canary_obstacle();
  if v_obstacle is null then
    insert into public.ops_agent_events (type, data) values ('canary:ping', '{"source": "canary"}') returning id into v_event_id;
  end if;
  insert into ops.canaries (event_id, status, reason)
  values (v_event_id, case when v_obstacle is null then 'travelling' else 'paused' end, v_obstacle);
  return v_obstacle is null;
end
$$;

-- Keeps a number that only somebody outside the database can know: the API's latency, a backup's end. One row a name, the last report.
create function public.ops_report(p_name text, p_value numeric, p_details jsonb default '{}') returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_name !~ '^[a-z][a-z0-9_]{0,99}$' then
    perform ops.fail('OPS_011', 'p_name must be 1 to 100 lower-case letters, digits or "_"', 'p_name');
  end if;
  insert into ops.reports (name, value, details) values (p_name, p_value, coalesce(p_details, '{}'))
  on conflict (name) do update set value = excluded.value, details = excluded.details, reported_at = ops.now();
end
$$;

-- Takes away what old canaries left in the loop, a day after they were sent, and old records of the watch. Each call a little.
create function ops.prune_watch() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_canary record;
  v_ids uuid[];
begin
  for v_canary in
    select c.id, c.event_id from ops.canaries c join public.ops_agent_events e on e.id = c.event_id
    where c.sent_at < ops.now() - interval '1 day' and c.sent_at > ops.now() - interval '8 days' and c.status <> 'travelling'
    order by c.sent_at limit 24
  loop
    v_ids := ops.chain_of(v_canary.event_id);
    continue when not ops.ended_before(v_ids, ops.now() - interval '1 hour') or not ops.hold_chain(v_ids);
    delete from public.ops_agent_events where id = any (v_ids) and id <> v_canary.event_id;
    delete from public.ops_mission_proposals where id = any (v_ids);
    delete from public.ops_agent_events where id = v_canary.event_id;
    delete from ops.archive where id = any (v_ids);
  end loop;
  delete from ops.canaries c where c.sent_at < ops.now() - interval '8 days';
  delete from ops.invariant_violations v where v.created_at < ops.now() - interval '90 days' and v.resolved;
  delete from ops.invariant_violations v
  where v.check_name = 'synthetic_canary' and v.created_at between ops.now() - interval '10 days' and ops.now() - interval '8 days';
  delete from ops.alert_notices n where n.created_at < ops.now() - interval '90 days' and n.status <> 'pending';
  delete from ops.alerts a where a.opened_at < ops.now() - interval '90 days' and a.status = 'resolved';
  delete from ops.silences s where s.until < ops.now() - interval '90 days';
end
$$;

-- Canaries, and how many milliseconds each leg of their way took.
create view public.ops_canary with (security_invoker = true) as
  select id, event_id, status, sent_at, returned_at, reason, (legs ->> 'pattern_ms')::numeric as pattern_ms, (legs ->> 'gate_ms')::numeric as gate_ms,
    (legs ->> 'pickup_ms')::numeric as pickup_ms, (legs ->> 'step_ms')::numeric as step_ms, (legs ->> 'event_ms')::numeric as event_ms,
    (legs ->> 'total_ms')::numeric as total_ms
  from ops.canaries;
