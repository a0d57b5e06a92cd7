-- Operators give dead letters another chance. The mission opens again, with the steps that were cancelled because of them.

-- Keys of a mission's steps that cannot be reached any more: dead ones, those that somebody cancelled, and all that depend on them.
create function ops.unreachable_keys(p_mission_id uuid) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (with recursive lost as (
    select s.key from public.ops_mission_steps s
    where s.mission_id = p_mission_id
      and (s.status = 'failed' or (s.status = 'cancelled' and s.end_reason is distinct from 'mission_failed'))
    union
    select d.key from lost l join public.ops_mission_steps d on d.mission_id = p_mission_id and l.key = any (d.depends_on)
  )
  select coalesce(array_agg(key), '{}') from lost);
end
$$;

-- Puts back what a mission's end had cancelled, but for what cannot be reached: queued where nothing is waited for, waiting
-- otherwise. The mission is locked.
create function ops.revive_steps(p_mission_id uuid) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_unreachable text[] := ops.unreachable_keys(p_mission_id);
  v_steps uuid[];
begin
  with revived as (
    update public.ops_mission_steps s
    set status = 'waiting', end_reason = null, completed_at = null, reserved_at = null, revision = s.revision + 1, updated_at = v_now,
      run_at = greatest(s.run_at, v_now)
    where s.mission_id = p_mission_id and s.status = 'cancelled' and s.end_reason = 'mission_failed'
      and s.key <> all (v_unreachable)
    returning s.id
  )
  select array_agg(id) into v_steps from revived;
  perform ops.queue_again(v_steps);
  perform ops.resync_mission(p_mission_id);
  perform ops.release_waiting(array[p_mission_id]);
  perform ops.wake_workers();
  return coalesce(cardinality(v_steps), 0);
end
$$;

-- Gives a dead step its attempts back and reopens its mission with the steps that were cancelled because of it, in one
-- transaction. Errors: OPS_013 unknown; OPS_014 when the step is not a dead letter, depends on another that is dead, or newer
-- work holds the dedupe key.
create function public.ops_retry_step(p_step_id uuid, p_actor text)
returns table (step_id uuid, status text, mission_id uuid, mission_status text, reopened_steps integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_mission_id uuid := ops.mission_of_step(p_step_id);
  v_now timestamptz := ops.now();
  v_reopened integer;
begin
  perform ops.locked_mission(v_mission_id);
  update public.ops_mission_steps s
  set status = 'queued', failure_count = 0, end_reason = null, completed_at = null, reserved_at = null, run_at = v_now, ready = true,
    revision = s.revision + 1, updated_at = v_now
  where s.id = p_step_id and s.status = 'failed';
  if not found then
    perform ops.fail('OPS_014', format('step %s is not a dead letter', p_step_id), 'status', 'only failed steps can be retried');
  end if;
  perform ops.join_order(p_step_id);
  v_reopened := ops.revive_steps(v_mission_id);
  return query
  select s.id, s.status::text, m.id, m.status::text, v_reopened
  from public.ops_mission_steps s join public.ops_missions m on m.id = s.mission_id where s.id = p_step_id;
end
$$;

-- Retries dead letters, oldest first, all kinds or one, at most p_limit. Those whose key newer work holds are passed over.
create function public.ops_retry_dead_steps(p_kind text default null, p_limit integer default 100, p_actor text default null)
returns table (step_id uuid, mission_id uuid)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_steps uuid[];
  v_missions uuid[];
begin
  select array_agg(d.id order by d.mission_id, d.id), array_agg(d.mission_id order by d.mission_id, d.id) into v_steps, v_missions
  from (
    select s.id, s.mission_id from ops.queue q join public.ops_mission_steps s on s.id = q.step_id
    where q.status = 'failed' and (p_kind is null or s.kind = p_kind)
    order by q.ended_at, s.id limit least(p_limit, 1000)) d;
  -- Each of them takes its key and counts its money, so what comes before those is locked for all of them.
  perform ops.lock_keys(array(select m.dedupe_key from public.ops_missions m where m.id = any (v_missions)));
  perform from public.ops_missions m where m.id = any (v_missions) order by m.id for no key update;
  for v_at in 1 .. coalesce(cardinality(v_steps), 0) loop
    begin
      perform public.ops_retry_step(v_steps[v_at], coalesce(p_actor, ops.actor()));
    exception when sqlstate 'OP014' then
      continue;
    end;
    step_id := v_steps[v_at];
    mission_id := v_missions[v_at];
    return next;
  end loop;
end
$$;
