-- The queue follows the steps: every step that is waiting, queued or a dead letter has its row in ops.queue, every running one is named
-- by a row of ops.claims. The engine's transitions, which bump a step's revision, see to it themselves, hundreds of steps at once;
-- triggers do it for everybody else.

-- Steps that came into being. What a hand inserted is queued by what follows it (65_hand_edits.sql), which may change it.
create function ops.queue_inserted() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.queue (step_id, mission_id, status, executor, priority, run_at, ready, service, ended_at)
  select s.id, s.mission_id, s.status, s.executor, s.priority, s.run_at, s.ready, s.service, case when s.status = 'failed' then s.completed_at end
  from came s where s.status in ('waiting', 'queued', 'failed') and s.revision > 0;
  return null;
end
$$;
create trigger ops_mission_steps_queue_inserted after insert on public.ops_mission_steps
  referencing new table as came for each statement execute function ops.queue_inserted();

-- Makes the queue agree with steps as they are now.
create function ops.queue_again(p_steps uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_rows integer;
begin
  if p_steps is null then
    return;
  end if;
  insert into ops.queue as q (step_id, mission_id, status, executor, priority, run_at, ready, service, ended_at)
  select s.id, s.mission_id, s.status, s.executor, s.priority, s.run_at, s.ready, s.service, case when s.status = 'failed' then s.completed_at end
  from public.ops_mission_steps s where s.id = any (p_steps) and s.status in ('waiting', 'queued', 'failed')
  on conflict (step_id) do update set mission_id = excluded.mission_id, status = excluded.status, executor = excluded.executor,
    priority = excluded.priority, run_at = excluded.run_at, ready = excluded.ready, service = excluded.service, ended_at = excluded.ended_at;
  get diagnostics v_rows = row_count;
  if v_rows < cardinality(p_steps) then
    delete from ops.queue q where q.step_id = any (p_steps) and not exists (
      select from public.ops_mission_steps s where s.id = q.step_id and s.status in ('waiting', 'queued', 'failed'));
  end if;
end
$$;

-- A step that was changed by hand. It is read again: what follows another row's edit may have changed it further.
create function ops.queue_updated() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform ops.queue_again(array[new.id]);
  return null;
end
$$;
create trigger ops_mission_steps_enqueue
  after update of status, ready, run_at, priority, executor, service, mission_id on public.ops_mission_steps
  for each row when (new.revision = old.revision)
  execute function ops.queue_updated();

create function ops.queue_deleted() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from ops.queue where step_id = old.id;
  return null;
end
$$;
create trigger ops_mission_steps_dequeue after delete on public.ops_mission_steps
  for each row when (old.status in ('waiting', 'queued', 'failed')) execute function ops.queue_deleted();

create function ops.queue_truncated() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from ops.queue;
  delete from ops.claims;
  return null;
end
$$;
create trigger ops_mission_steps_queue_truncated after truncate on public.ops_mission_steps
  for each statement execute function ops.queue_truncated();

-- A step that came running is looked at when its lease is over, and one whose lease was made shorter, by its worker or by hand, the sooner.
create function ops.look_at_lease() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status = 'running' then
    insert into ops.claims (steps, claimed_at, look_at) values (array[new.id], ops.now(), new.lease_expires_at);
  end if;
  return null;
end
$$;
create trigger ops_mission_steps_lease_shortened after update of lease_expires_at on public.ops_mission_steps
  for each row when (new.lease_expires_at < old.lease_expires_at)
  execute function ops.look_at_lease();
create trigger ops_mission_steps_running_inserted after insert on public.ops_mission_steps
  for each row when (new.status = 'running') execute function ops.look_at_lease();

-- Looks at claims whose time has come since p_since, at most p_limit, oldest first: what has ended leaves them, and they come up again
-- when they are twice as old, or when the first of their leases is over. What somebody else looks at is passed over.
create function ops.look_at_claims(p_since timestamptz, p_limit integer) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_now timestamptz := ops.now();
begin
  with due as materialized (
    select c.id, c.claimed_at, c.steps from ops.claims c where c.look_at between p_since and v_now
    order by c.look_at limit p_limit for no key update skip locked
  ), at_work as materialized (
    select d.id, d.claimed_at, array_agg(s.id) as steps, min(s.lease_expires_at) as deadline
    from due d, unnest(d.steps) u(id), lateral (
      select s.id, s.lease_expires_at from public.ops_mission_steps s where s.id = u.id and s.status = 'running' offset 0) s
    group by d.id, d.claimed_at
  ), gone as (
    delete from ops.claims c using due d where c.id = d.id and d.id not in (select w.id from at_work w)
  )
  update ops.claims c
  set steps = w.steps, look_at = greatest(v_now, least(w.deadline, v_now + (v_now - w.claimed_at)))
  from at_work w where c.id = w.id;
end
$$;

-- Steps at work, found by their claims.
create view ops.running_steps with (security_invoker = true) as
  select s.*
  from (select distinct u.id from ops.claims c, unnest(c.steps) u(id)) r,
    lateral (select t.* from public.ops_mission_steps t where t.id = r.id and t.status = 'running' offset 0) s;

-- Missions with open steps.
create view ops.open_missions with (security_invoker = true) as
  select q.mission_id as id from ops.queue q where q.status in ('waiting', 'queued')
  union
  select s.mission_id from ops.running_steps s;
