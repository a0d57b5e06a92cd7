-- Operators stop a mission, or a step with all that depends on it.

create function ops.locked_mission(p_mission_id uuid) returns public.ops_missions
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mission public.ops_missions;
begin
  select * into v_mission from public.ops_missions where id = p_mission_id for no key update;
  if not found then
    perform ops.fail('OPS_013', format('there is no mission %s', p_mission_id), 'p_mission_id');
  end if;
  return v_mission;
end
$$;

create function ops.mission_of_step(p_step_id uuid) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mission_id uuid;
begin
  select mission_id into v_mission_id from public.ops_mission_steps where id = p_step_id;
  if not found then
    perform ops.fail('OPS_013', format('there is no step %s', p_step_id), 'p_step_id');
  end if;
  return v_mission_id;
end
$$;

create function ops.step_and_dependents(p_step_id uuid) returns table (id uuid)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive affected as (
    select s.id, s.key, s.mission_id from public.ops_mission_steps s where s.id = p_step_id
    union
    select d.id, d.key, d.mission_id
    from affected a join public.ops_mission_steps d on d.mission_id = a.mission_id and a.key = any (d.depends_on)
  )
  select id from affected
$$;

-- Stops a mission: steps that have not started are cancelled, those in flight are told to stop. Doing it again changes nothing.
-- Errors: OPS_013 unknown mission.
create function public.ops_cancel_mission(p_mission_id uuid, p_actor text, p_reason text default null)
returns table (mission_id uuid, status text, cancelled_steps integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_mission public.ops_missions := ops.locked_mission(p_mission_id);
  v_cancelled integer := 0;
begin
  if v_mission.completed_at is null then
    v_cancelled := ops.end_missions(array[p_mission_id], 'cancelled', p_actor, coalesce(p_reason, 'cancelled by ' || p_actor), 'mission_cancelled');
  end if;
  return query select m.id, m.status::text, v_cancelled from public.ops_missions m where m.id = p_mission_id;
end
$$;

-- Stops one step and all that depend on it. One that has ended already stays as it is, and so does the rest.
-- Errors: OPS_013 unknown step.
create function public.ops_cancel_step(p_step_id uuid, p_actor text, p_reason text default null)
returns table (step_id uuid, status text, mission_status text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_mission_id uuid := ops.mission_of_step(p_step_id);
  v_steps uuid[];
begin
  perform ops.locked_mission(v_mission_id);
  if exists (select from public.ops_mission_steps s where s.id = p_step_id and s.status in ('waiting', 'queued', 'running')) then
    select array_agg(d.id order by d.id) into v_steps from ops.step_and_dependents(p_step_id) d;
    perform ops.cancel_steps(v_steps, coalesce(p_reason, 'cancelled by ' || p_actor));
    perform ops.resync_mission(v_mission_id);
  end if;
  return query
  select s.id, s.status::text, m.status::text
  from public.ops_mission_steps s join public.ops_missions m on m.id = s.mission_id where s.id = p_step_id;
end
$$;
