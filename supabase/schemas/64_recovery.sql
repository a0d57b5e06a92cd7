-- Recovery: attempts whose worker fell silent, or that renew for ever.
--
-- A step that can be tried again needs no lock but its own. One that would die takes its mission down, so its mission and all
-- its open steps are locked first. Neither waits: what somebody else holds is being ended this very moment, or is met next
-- time, and is passed over before the limit counts, so it never starves the rest.

-- Locks open missions with all their open steps, but for those of which somebody else holds a part. Returns the ones it has.
create function ops.hold_missions(p_missions uuid[]) returns uuid[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_missions uuid[];
  v_steps uuid[];
begin
  select array_agg(m.id) into v_missions
  from (select id from public.ops_missions where id = any (p_missions) and completed_at is null
        order by id for no key update skip locked) m;
  select array_agg(s.id) into v_steps
  from (select id from public.ops_mission_steps where mission_id = any (v_missions) and status in ('waiting', 'queued', 'running')
        order by id for no key update skip locked) s;
  return array(
    select m.id from unnest(v_missions) m(id)
    where not exists (
      select from public.ops_mission_steps s
      where s.mission_id = m.id and s.status in ('waiting', 'queued', 'running') and s.id <> all (coalesce(v_steps, '{}'))));
end
$$;

-- Takes back what was handed to workers that have not begun it within a minute, up to p_limit steps: to run again at once, and no failure.
-- Returns how many. Waits for nobody.
create function ops.take_back(p_limit integer) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_now timestamptz := ops.now();
  v_handed uuid[];
  v_items jsonb;
begin
  -- First which steps they are: in one statement, a plan that was made over empty tables read all steps to find out.
  v_handed := array(select c.steps[1] from ops.claims c
    where c.handed_to is not null and (c.claimed_at < v_now - interval '1 minute' or c.handed_until < v_now));
  if v_handed = '{}' then
    return 0;
  end if;
  select jsonb_agg(jsonb_build_object('step_id', o.id, 'token', o.lease_token, 'reason', 'handed to a worker that did not begin it')) into v_items
  from (select s.id, s.lease_token
        from public.ops_mission_steps s join public.ops_missions m on m.id = s.mission_id
        where s.id = any (v_handed) and s.status = 'running'
          -- Not handed over anew since.
          and exists (select from ops.claims c
            where c.handed_to is not null and c.steps[1] = s.id and c.handed_until = s.lease_expires_at
              and (c.claimed_at < v_now - interval '1 minute' or c.handed_until < v_now))
        limit p_limit for no key update of m, s skip locked) o;
  if v_items is null then
    return 0;
  end if;
  return cardinality(ops.hand_back(v_items, 'released'));
end
$$;

-- Fails overdue attempts: up to p_limit that can be tried again, and those that end up to p_limit missions.
create function ops.recover(p_mode text, p_threshold interval, p_limit integer, out requeued integer, out died integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_batch uuid[];
  v_met uuid[] := '{}';
  v_held uuid[] := '{}';
  v_failures jsonb;
  v_running uuid[];
  v_taken integer := 0;
begin
  requeued := 0;
  died := 0;
  if ops.on_hold() then
    return;
  end if;
  if p_mode = 'lease' then
    v_taken := ops.take_back(p_limit);
  end if;
  -- Leases are over in claims whose time has come; what runs on and on may be in any. Far more are looked at than will be taken, so that those
  -- that somebody holds do not stand before the others; next time they come last (look_at_claims).
  select array_agg(o.id) into v_running
  from (select s.id from ops.claims c, unnest(c.steps) u(id), lateral (
          select t.id from public.ops_mission_steps t
          where t.id = u.id and t.status = 'running' and (p_mode <> 'lease' or t.lease_expires_at < v_now) offset 0) s
        where p_mode <> 'lease' or c.look_at <= v_now
        order by c.look_at limit case when p_mode = 'lease' then 20 * p_limit end) o;

  if v_running is not null then
    -- Deaths come first: whoever holds steps already may not wait for more.
    while cardinality(v_held) < p_limit loop
      select array_agg(distinct o.mission_id) into v_batch
      from (
        select s.mission_id from public.ops_mission_steps s
        where s.id = any (v_running) and s.status = 'running' and (p_mode <> 'lease' or s.lease_expires_at < v_now)
          and ops.overdue(s, p_mode, p_threshold, v_now) is not null
          and s.failure_count + 1 >= coalesce(s.max_retries, 3) and s.mission_id <> all (v_met)
        order by s.lease_expires_at limit p_limit - cardinality(v_held)) o;
      exit when v_batch is null;
      v_met := v_met || v_batch;
      v_held := v_held || ops.hold_missions(v_batch);
    end loop;
    select jsonb_agg(jsonb_build_object('step_id', o.id, 'token', o.lease_token, 'error', o.error)) into v_failures
    from (
      select s.id, s.lease_token, ops.overdue(s, p_mode, p_threshold, v_now) as error
      from public.ops_mission_steps s
      where s.mission_id = any (v_held) and s.status = 'running') o
    where o.error is not null;
    select f.died into died from ops.fail_attempts(coalesce(v_failures, '[]')) f;

    select jsonb_agg(jsonb_build_object('step_id', o.id, 'token', o.lease_token, 'error', o.error)) into v_failures
    from (
      select s.id, s.lease_token, ops.overdue(s, p_mode, p_threshold, v_now) as error
      from public.ops_mission_steps s
      where s.id = any (v_running) and s.status = 'running' and (p_mode <> 'lease' or s.lease_expires_at < v_now)
        and ops.overdue(s, p_mode, p_threshold, v_now) is not null
        and s.failure_count + 1 < coalesce(s.max_retries, 3)
      order by s.lease_expires_at limit p_limit
      for no key update skip locked) o;
    select coalesce(cardinality(f.steps), 0) into requeued from ops.fail_attempts(coalesce(v_failures, '[]')) f;
    if requeued > 0 then
      perform ops.wake_workers();
    end if;
  end if;

  requeued := requeued + v_taken;
  if p_mode = 'lease' then
    perform ops.look_at_claims('-infinity', 1000);
  end if;

  -- A first claim that met its mission locked could not start it.
  update public.ops_missions m set status = 'running', started_at = coalesce(m.started_at, v_now), updated_at = v_now
  from (select f.id from public.ops_missions f
        where f.status = 'approved' and f.id = any (array(select s.mission_id from ops.running_steps s))
        order by f.id for no key update skip locked) unstarted
  where m.id = unstarted.id;
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

-- Requeues, with backoff, up to p_limit steps whose lease has expired, and dead-letters those that end up to p_limit missions.
-- Never NULL counts.
create function public.ops_recover_expired_leases(p_limit integer default 500)
returns table (requeued_steps integer, failed_steps integer)
language sql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$ select r.requeued, r.died from ops.recover('lease', null, p_limit) r $$;

-- Fails steps that run on past their timeout, or past p_threshold_minutes where they have none, in batches as above
-- (null: worker_policy.stale_minutes, then 15).
create function public.ops_recover_stale_steps(p_threshold_minutes integer default null, p_limit integer default 500)
returns table (recovered_steps integer)
language sql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
  select r.requeued + r.died
  from ops.recover('stale',
    coalesce(p_threshold_minutes, (ops.policy('worker_policy') ->> 'stale_minutes')::numeric, 15) * interval '1 minute', p_limit) r
$$;
