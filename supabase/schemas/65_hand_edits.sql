-- Hand edits: an operator's UPDATE or INSERT on a step does what the engine's own functions would have done.
--
-- The engine raises `revision` with each of its transitions; a change of status that leaves it alone was made by hand. Only the
-- owner may write `revision` by hand (90_rights.sql), and says with it that he has done all of it himself, as with triggers switched off.
-- The first trigger makes the row whole, so that constraints can judge it; the second lets the mission follow. Conditions of triggers are
-- read from their text by each statement of the engine, so they ask for the revision alone. A hand edit
-- holds its step before it locks the mission, the engine the other way round: Postgres may answer one of them with a deadlock,
-- and then nothing has happened.

create function ops.complete_hand_edit() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  if new.status = old.status then
    return new;
  elsif new.status = 'running' then
    perform ops.fail('OPS_014', 'only a claim can start a step', 'status', 'set it to queued and let a worker claim it');
  elsif old.status = 'succeeded' then
    perform ops.fail('OPS_014', format('step %s has succeeded, and its result may be in use', old.id), 'status', 'propose it again');
  end if;
  new.lease_token := null;
  new.lease_expires_at := null;
  new.updated_at := v_now;
  if new.status in ('succeeded', 'failed', 'cancelled') then
    new.completed_at := v_now;
    new.end_reason := 'by hand';
  else
    new.completed_at := null;
    new.end_reason := null;
    if old.status in ('succeeded', 'failed', 'cancelled') then
      new.run_at := greatest(new.run_at, v_now);
    end if;
    new.ready := new.run_at <= v_now;
  end if;
  return new;
end
$$;

create function ops.follow_hand_edit() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status = old.status then
    return null;
  end if;
  perform from public.ops_missions where id = new.mission_id for no key update;
  if old.status = 'running' then
    insert into public.ops_action_runs (id, step_id, executor, status, started_at, completed_at, error, attempt, worker_id)
    values (old.lease_token, old.id, old.executor,
      case new.status when 'succeeded' then 'succeeded' when 'failed' then 'failed' else 'cancelled' end,
      old.reserved_at, ops.now(), 'ended by hand: ' || ops.actor(), old.attempt, old.worker_id);
  end if;

  if new.status = 'failed' and exists (select from public.ops_missions where id = new.mission_id and completed_at is null) then
    perform ops.end_missions(array[new.mission_id], 'failed', ops.actor(), 'a step was failed by hand', 'mission_failed');
  elsif new.status in ('failed', 'cancelled') then
    perform ops.cancel_steps(array(select id from ops.step_and_dependents(new.id) where id <> new.id), 'by hand');
    perform ops.resync_mission(new.mission_id);
  else
    perform ops.join_order(new.id);
    perform ops.revive_steps(new.mission_id);
  end if;
  return null;
end
$$;

-- Puts a step that a hand opened in its place, and into the queue: one that waits for others is waiting, whatever was written. The
-- mission is locked.
-- Errors: OPS_014 when it would wait for ever. Rows of one statement are judged when all of them are written.
create function ops.join_order(p_step_id uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step public.ops_mission_steps;
begin
  update public.ops_mission_steps s set status = 'waiting', revision = s.revision + 1
  where s.id = p_step_id and s.status = 'queued' and exists (
    select from public.ops_mission_steps d
    where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status <> 'succeeded');
  perform ops.queue_again(array[p_step_id]);
  select * into v_step from public.ops_mission_steps where id = p_step_id;
  if v_step.status in ('waiting', 'queued') and v_step.key = any (ops.unreachable_keys(v_step.mission_id)) then
    perform ops.fail('OPS_014', format('step %s depends on one that failed or was cancelled', p_step_id), 'depends_on',
      'reset that one as well, before it or in the same statement');
  end if;
end
$$;

create trigger ops_mission_steps_hand_edit before update of status on public.ops_mission_steps
  for each row when (new.revision = old.revision)
  execute function ops.complete_hand_edit();
create trigger ops_mission_steps_hand_edit_follow after update of status on public.ops_mission_steps
  for each row when (new.revision = old.revision)
  execute function ops.follow_hand_edit();

-- Which attempt runs, and for whom, only the engine knows.
create function ops.refuse_engine_edit() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.mission_id = old.mission_id and new.key = old.key and new.depends_on = old.depends_on and new.attempt = old.attempt
    and (new.status <> old.status
      or (new.lease_token is not distinct from old.lease_token and new.completed_at is not distinct from old.completed_at))
  then
    return new;
  end if;
  perform ops.fail('OPS_014',
    format('mission_id, key, depends_on, attempt, lease_token and completed_at of step %s are the engine''s own', old.id),
    'attempt', 'to run it again, set its status to queued');
  return null;
end
$$;
create trigger ops_mission_steps_engine_edit
  before update of mission_id, key, depends_on, attempt, lease_token, completed_at on public.ops_mission_steps
  for each row when (new.revision = old.revision)
  execute function ops.refuse_engine_edit();

-- Params that a hand wrote may name results of other steps.
create function ops.read_params() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  new.uses_results := new.params::text ~ '\{\{\s*steps\.';
  return new;
end
$$;
create trigger ops_mission_steps_params_edit before update of params on public.ops_mission_steps
  for each row when (new.revision = old.revision) execute function ops.read_params();

-- A step that somebody inserts is made whole and joins its mission; an open step that somebody deletes must be cancelled first.
create function ops.complete_hand_insert() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status = 'running' then
    perform ops.fail('OPS_014', 'only a claim can start a step', 'status', 'insert it as queued and let a worker claim it');
  end if;
  new.executor := coalesce(new.executor, split_part(new.kind, ':', 1));
  new.agent := coalesce(new.agent, nullif(split_part(new.kind, ':', 2), ''));
  new.uses_results := new.params::text ~ '\{\{\s*steps\.';
  new.attempt := 0;
  new.lease_token := null;
  new.lease_expires_at := null;
  if new.status in ('succeeded', 'failed', 'cancelled') then
    new.completed_at := coalesce(new.completed_at, ops.now());
    new.end_reason := 'by hand';
  else
    new.completed_at := null;
    new.end_reason := null;
    new.ready := new.run_at <= ops.now();
  end if;
  return new;
end
$$;
create trigger ops_mission_steps_hand_insert before insert on public.ops_mission_steps
  for each row when (new.revision = 0) execute function ops.complete_hand_insert();

create function ops.follow_hand_insert() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_unknown text;
begin
  perform from public.ops_missions where id = new.mission_id for no key update;
  perform ops.join_order(new.id);
  select k into v_unknown from unnest(new.depends_on) k
  where not exists (select from public.ops_mission_steps d where d.mission_id = new.mission_id and d.key = k)
    and not exists (select from ops.archive a where a.parent_id = new.mission_id and a.entity = 'step' and a.data ->> 'key' = k
                    and a.status = 'succeeded')
  limit 1;
  if found then
    perform ops.fail('OPS_014', format('step %s depends on "%s", and its mission has no such step', new.id, v_unknown), 'depends_on',
      'name keys of the same mission; steps of one statement may name each other');
  end if;
  if exists (
    with recursive before as (
      select unnest(new.depends_on) as key
      union
      select unnest(d.depends_on) from before b join public.ops_mission_steps d on d.mission_id = new.mission_id and d.key = b.key)
    select from before where key = new.key)
  then
    perform ops.fail('OPS_014', format('step %s is part of a circle: these steps wait for each other', new.id), 'depends_on',
      'leave out one of the dependencies');
  end if;
  -- An insert brings nothing back, also not what the mission's end had cancelled.
  if new.status in ('waiting', 'queued') and exists (
    select from public.ops_mission_steps d
    where d.mission_id = new.mission_id and d.key = any (new.depends_on) and d.status in ('failed', 'cancelled'))
  then
    perform ops.fail('OPS_014', format('step %s depends on one that failed or was cancelled', new.id), 'depends_on',
      'reset that one first, or its mission''s dead step');
  end if;
  perform ops.resync_mission(new.mission_id);
  perform ops.release_waiting(array[new.mission_id]);
  perform ops.wake_workers();
  return null;
end
$$;
create trigger ops_mission_steps_hand_insert_follow after insert on public.ops_mission_steps
  for each row when (new.revision = 0) execute function ops.follow_hand_insert();

create function ops.refuse_open_delete() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform ops.fail('OPS_014', format('step %s is %s and cannot be deleted', old.id, old.status), 'status',
    format('first: select * from ops_cancel_step(''%s'', ''your name'')', old.id));
  return null;
end
$$;
create trigger ops_mission_steps_open_delete before delete on public.ops_mission_steps
  for each row when (old.status in ('waiting', 'queued', 'running')) execute function ops.refuse_open_delete();
