-- Services: whose check is due, what a check said, and the steps that wait for a breaker to close.

-- What policy `services` says of each enabled service.
create function ops.listed_services() returns table (name text, config jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select s.key, s.value from jsonb_each(coalesce(ops.policy('services') -> 'services', '{}')) s
  where coalesce((s.value ->> 'enabled')::boolean, true);
end
$$;

-- Takes the checks that are due, at most p_limit (1..100), and answers what to ask: name and the policy's entry. Whoever gets a
-- service has its check to itself: the next is due after `every_minutes`, or when the open breaker tries again.
create function public.ops_take_service_checks(p_limit integer default 10) returns table (name text, config jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
begin
  if p_limit not between 1 and 100 then
    perform ops.fail('OPS_011', 'p_limit must be between 1 and 100', 'p_limit');
  end if;
  insert into ops.services (name, next_check_at)
  select l.name, v_now from ops.listed_services() l
  where not exists (select from ops.services s where s.name = l.name)
  order by 1 on conflict do nothing;

  return query
  with due as materialized (
    select s.name, l.config from ops.services s join ops.listed_services() l on l.name = s.name
    where s.next_check_at <= v_now order by s.next_check_at, s.name limit p_limit
    for no key update of s skip locked
  )
  update ops.services s
  set next_check_at = v_now + case when s.state = 'open' then ops.breaker_wait(d.config)
    else coalesce((d.config ->> 'every_minutes')::numeric, 5) * interval '1 minute' end
  from due d where s.name = d.name
  returning d.name, d.config;
end
$$;

create function ops.breaker_wait(p_config jsonb) returns interval
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((p_config #>> '{breaker,reset_seconds}')::numeric, 60) * interval '1 second';
end
$$;

-- Records what a check said. The breaker opens after `breaker.failures` failed checks in a row and closes with the first that
-- goes well; each change is an event, `service:down` or `service:up`. p_latency_ms in milliseconds. Answers the breaker's state.
-- Errors: OPS_013 when policy `services` lists no such service.
create function public.ops_record_service_check(
  p_name text, p_ok boolean, p_http_status integer default null, p_latency_ms integer default null, p_error text default null)
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_config jsonb;
  v_was ops.services;
  v_opens boolean;
begin
  select l.config into v_config from ops.listed_services() l where l.name = p_name;
  if not found then
    perform ops.fail('OPS_013', format('policy services lists no service "%s"', p_name), 'p_name');
  end if;
  insert into ops.services (name) values (p_name) on conflict do nothing;
  select * into v_was from ops.services s where s.name = p_name for no key update;
  insert into ops.service_checks (name, ok, http_status, latency_ms, error)
  values (p_name, p_ok, p_http_status, p_latency_ms, left(p_error, 2000));

  v_opens := not p_ok and (v_was.state = 'open' or v_was.failures + 1 >= coalesce((v_config #>> '{breaker,failures}')::integer, 3));
  update ops.services s
  set checked_at = v_now, healthy = p_ok, http_status = p_http_status, latency_ms = p_latency_ms,
    error = case when not p_ok then left(coalesce(p_error, 'the check failed'), 2000) end,
    failures = case when p_ok then 0 else s.failures + 1 end,
    state = case when v_opens then 'open' else 'closed' end,
    opened_at = case when v_opens then coalesce(s.opened_at, v_now) end,
    retry_at = case when v_opens then v_now + ops.breaker_wait(v_config) end,
    next_check_at = case when v_opens then v_now + ops.breaker_wait(v_config) else s.next_check_at end,
    changed_at = case when v_opens = (s.state = 'open') then s.changed_at else v_now end
  where s.name = p_name;

  if v_opens and v_was.state = 'closed' then
    perform ops.emit_own('service:down', jsonb_build_object('service', p_name, 'error', coalesce(p_error, 'the check failed'),
      'failures', v_was.failures + 1), null, null, 0);
    update public.ops_mission_steps t set ready = t.ready
    from ops.queue q where q.service = p_name and q.status = 'queued' and q.ready and t.id = q.step_id and t.status = 'queued' and t.ready;
  elsif not v_opens and v_was.state = 'open' then
    perform ops.emit_own('service:up', jsonb_build_object('service', p_name,
      'down_seconds', round(extract(epoch from v_now - v_was.opened_at))), null, null, 0);
    perform ops.let_go(p_name);
  end if;
  return case when v_opens then 'open' else 'closed' end;
end
$$;

-- Puts the steps that a breaker held back into the queue.
create function ops.let_go(p_service text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  update public.ops_mission_steps t set ready = true, held = false, run_at = v_now
  from (select s.id from ops.queue q join public.ops_mission_steps s on s.id = q.step_id
        where q.service = p_service and q.status = 'queued' and s.status = 'queued' and s.held order by s.id for no key update of s) h
  where t.id = h.id;
  if found then
    perform ops.wake_workers();
  end if;
end
$$;

-- Holds a step that could be claimed while the breaker of its service is open: it comes up again when that is tried. Half a minute
-- at least, so that a loop whose heartbeat has stopped does not turn in circles.
create function ops.hold_for_service() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_retry_at timestamptz;
begin
  if new.status <> 'queued' or not new.ready then
    return new;
  end if;
  select s.retry_at into v_retry_at from ops.services s join ops.listed_services() l on l.name = s.name
  where s.name = new.service and s.state = 'open';
  new.held := found;
  if found then
    new.ready := false;
    new.run_at := greatest(v_retry_at, ops.now() + interval '30 seconds');
  end if;
  return new;
end
$$;
create trigger ops_mission_steps_hold before insert or update of status, ready, run_at on public.ops_mission_steps
  for each row when (new.service is not null)
  execute function ops.hold_for_service();

-- A service that leaves the policy, or is switched off there, holds nobody any more.
create function ops.forget_services() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_gone text;
begin
  for v_gone in
    delete from ops.services s where s.name not in (select l.name from ops.listed_services() l) returning s.name
  loop
    perform ops.let_go(v_gone);
  end loop;
  return null;
end
$$;
create trigger ops_policy_forget_services after insert or update or delete on public.ops_policy
  for each statement execute function ops.forget_services();

-- A service whose entry was changed is asked at once: when it would have been asked again was said by the old entry.
create function ops.recheck_services() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update ops.services s set next_check_at = ops.now()
  from jsonb_each(coalesce(new.value -> 'services', '{}')) n
  where s.name = n.key and n.value is distinct from old.value -> 'services' -> n.key;
  return null;
end
$$;
create trigger ops_policy_recheck_services after update on public.ops_policy
  for each row when (new.key = 'services') execute function ops.recheck_services();

-- The services that policy lists, with what their last check said.
create function public.ops_list_services() returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select to_jsonb(v) from (
    select l.name, coalesce(s.state, 'closed') as state, s.healthy, coalesce(s.failures, 0) as failures, s.http_status, s.latency_ms,
      s.error, s.checked_at, s.opened_at, s.next_check_at,
      (select count(*) from ops.queue q join public.ops_mission_steps t on t.id = q.step_id
       where q.service = l.name and q.status = 'queued' and t.held) as held_steps,
      l.config ->> 'url' as url
    from ops.listed_services() l left join ops.services s on s.name = l.name) v
  order by v.name;
end
$$;
