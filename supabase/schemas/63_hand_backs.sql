-- Attempts that end without having failed: snoozed by their executor, or handed back by a worker that has to go.

-- Gives leases back without a failure, to run again after some seconds. p_status tells the run's record why. Waits for its steps,
-- so it locks their missions first, as everyone does who waits.
create function ops.hand_back(p_items jsonb, p_status text) returns uuid[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_steps uuid[];
begin
  perform ops.lock_missions_of(p_items);
  with given as materialized (
    select g.* from jsonb_to_recordset(ops.first_items(p_items)) as g(step_id uuid, token uuid, seconds numeric, reason text)
  ), held as materialized (
    select s.id, s.executor, s.reserved_at, s.attempt, s.worker_id, g.token, g.reason,
      v_now + least(greatest(coalesce(g.seconds, 0), 0), 31536000) * interval '1 second' as run_at
    from public.ops_mission_steps s join given g on g.step_id = s.id and g.token = s.lease_token
    order by s.id for no key update of s
  ), returned as (
    update public.ops_mission_steps s
    set status = 'queued', lease_token = null, lease_expires_at = null, run_at = h.run_at, ready = h.run_at <= v_now,
      updated_at = v_now, revision = s.revision + 1
    from held h where s.id = h.id
    returning s.id
  ), recorded as (
    insert into public.ops_action_runs (id, step_id, executor, status, started_at, completed_at, error, attempt, worker_id)
    select h.token, h.id, h.executor, p_status, h.reserved_at, v_now, h.reason, h.attempt, h.worker_id from held h
  )
  select array_agg(id) into v_steps from returned;
  if v_steps is not null then
    perform ops.queue_again(v_steps);
    perform ops.wake_workers();
  end if;
  return v_steps;
end
$$;

-- Puts steps off: [{"step_id", "token", "seconds", "reason"?}]. Costs no failure.
create function public.ops_snooze_steps(p_snoozes jsonb) returns table (step_id uuid, outcome text, run_at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_steps uuid[];
begin
  perform ops.require_array(p_snoozes, 'p_snoozes', 1000);
  v_steps := ops.hand_back(p_snoozes, 'snoozed');
  return query
  select g.step_id, case when g.step_id = any (v_steps) then 'ok' else 'lost' end, case when g.step_id = any (v_steps) then s.run_at end
  from (select distinct (i ->> 'step_id')::uuid as step_id from jsonb_array_elements(p_snoozes) i) g
  left join public.ops_mission_steps s on s.id = g.step_id;
end
$$;

-- Hands leases back at once, as a stopping worker does: [{"step_id", "token"}]. Costs no failure.
create function public.ops_release_steps(p_leases jsonb) returns table (step_id uuid, outcome text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_steps uuid[];
begin
  perform ops.require_array(p_leases, 'p_leases', 1000);
  v_steps := ops.hand_back(p_leases, 'released');
  return query
  select g.step_id, case when g.step_id = any (v_steps) then 'ok' else 'lost' end
  from (select distinct (i ->> 'step_id')::uuid as step_id from jsonb_array_elements(p_leases) i) g;
end
$$;
