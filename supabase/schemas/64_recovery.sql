-- Recovery: attempts whose worker fell silent, or that renew for ever.
--
-- A step that can be tried again needs no lock but its own. One that would die takes its mission down, so its mission is
-- locked first. Both skip what somebody else holds: that step is being ended this very moment, or will be met next time;
-- locked rows are passed over before the limit counts, so they never starve the rest.

-- Fails up to p_limit running steps that p_condition, evaluated under the step's lock, names as overdue.
create function ops.recover(p_mode text, p_threshold interval, p_limit integer, out requeued integer, out died integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_missions uuid[];
  v_failures jsonb;
  v_steps uuid[];
begin
  select jsonb_agg(jsonb_build_object('step_id', o.id, 'token', o.lease_token, 'error', o.error)) into v_failures
  from (
    select s.id, s.lease_token, ops.overdue(s, p_mode, p_threshold, v_now) as error
    from public.ops_mission_steps s
    where s.status = 'running' and (p_mode <> 'lease' or s.lease_expires_at < v_now)
      and ops.overdue(s, p_mode, p_threshold, v_now) is not null
      and s.failure_count + 1 < coalesce(s.max_retries, 3)
    order by s.lease_expires_at limit p_limit
    for no key update skip locked) o;
  v_steps := ops.fail_attempts(coalesce(v_failures, '[]'));
  requeued := coalesce(array_length(v_steps, 1), 0);
  if requeued > 0 then
    perform ops.wake_workers();
  end if;

  select array_agg(l.id) into v_missions
  from (
    select m.id from public.ops_missions m
    where m.id in (
      select s.mission_id from public.ops_mission_steps s
      where s.status = 'running' and (p_mode <> 'lease' or s.lease_expires_at < v_now)
        and ops.overdue(s, p_mode, p_threshold, v_now) is not null
        and s.failure_count + 1 >= coalesce(s.max_retries, 3))
    order by m.id limit p_limit
    for no key update skip locked) l;
  select jsonb_agg(jsonb_build_object('step_id', o.id, 'token', o.lease_token, 'error', o.error)) into v_failures
  from (
    select s.id, s.lease_token, ops.overdue(s, p_mode, p_threshold, v_now) as error
    from public.ops_mission_steps s
    where s.mission_id = any (v_missions) and s.status = 'running'
      and ops.overdue(s, p_mode, p_threshold, v_now) is not null
    order by s.id
    for no key update skip locked) o;
  v_steps := ops.fail_attempts(coalesce(v_failures, '[]'));
  select count(*) into died from public.ops_mission_steps where id = any (v_steps) and status = 'failed';
end
$$;

-- Why a running step is overdue, or null. Mode `lease`: its deadline has passed. Mode `stale`: it is older than its own timeout
-- and a minute's grace for the worker to end it, or, without one, than the threshold; however often it was renewed.
create function ops.overdue(p_step public.ops_mission_steps, p_mode text, p_threshold interval, p_now timestamptz) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_mode = 'lease' and p_step.lease_expires_at < p_now
      then 'lease expired: the worker fell silent'
    when p_mode = 'stale' and p_step.reserved_at < p_now
        - coalesce((p_step.timeout_seconds + 60) * interval '1 second', p_threshold)
      then 'stale: still running after ' || round(extract(epoch from p_now - p_step.reserved_at)) || ' seconds'
  end;
end
$$;

-- Requeues, with backoff, or dead-letters up to p_limit steps whose lease has expired. Never NULL counts.
create function public.ops_recover_expired_leases(p_limit integer default 500)
returns table (requeued_steps integer, failed_steps integer)
language sql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$ select r.requeued, r.died from ops.recover('lease', null, p_limit) r $$;

-- Fails up to p_limit steps that run on past their timeout, or past p_threshold_minutes where they have none
-- (null: worker_policy.stale_minutes, then 15).
create function public.ops_recover_stale_steps(p_threshold_minutes integer default null, p_limit integer default 500)
returns table (recovered_steps integer)
language sql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
  select r.requeued + r.died
  from ops.recover('stale',
    coalesce(p_threshold_minutes, (ops.policy('worker_policy') ->> 'stale_minutes')::numeric, 15) * interval '1 minute', p_limit) r
$$;
