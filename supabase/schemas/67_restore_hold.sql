-- The hold on a restored copy.
--
-- A dump that is taken while work is in flight and restored elsewhere holds steps that the first database goes on with, or has
-- finished since. Two databases cannot see each other, so neither can tell what the other has done: the copy hands out no steps
-- and takes none back until an operator says that it is the one to go on. Workers that still hold leases may record their results.
--
-- A database is recognised by its cluster's identifier, its own number and that of a table of ours: a restore changes at least one of them,
-- wherever it goes. The first worker makes it the work's home, so new databases and clones without work are never held. A
-- replica that is promoted is the same database; so is a cluster that was restored from its files, which nothing inside can tell.

-- Which database this is. Immutable, because a session never meets another one: what is asked at each claim is worked out once for each
-- session, when the statement is planned. A table of homes that is put in place of ours makes the statement be planned again.
create function ops.identity() returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cluster text := 'unknown';
begin
  -- Not one expression: Postgres checks the right to call a function before it knows whether it will.
  if has_function_privilege('pg_control_system()', 'execute') then
    select system_identifier::text into v_cluster from pg_control_system();
  end if;
  return format('%s/%s/%s', v_cluster, (select oid from pg_database where datname = current_database()), 'ops.homes'::regclass::oid);
end
$$;

-- True in a restored copy that nobody has released.
create function ops.on_hold() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((select h.identity <> ops.identity() from ops.homes h order by h.id desc limit 1), false);
end
$$;

-- The first worker settles where the work is at home.
create function ops.settle_home() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from ops.homes) then
    insert into ops.homes (identity, actor) values (ops.identity(), ops.actor_context());
  end if;
end
$$;

-- Whether this is a restored copy that waits for an operator, and what was in flight in it: those steps may have been done, or are
-- being done, by workers of the database that the copy was taken from. What is queued is counted up to counted_up_to.
create function public.ops_hold()
returns table (held boolean, home text, home_since timestamptz, here text, steps_running integer, steps_queued integer, counted_up_to integer)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_most constant integer := 10000;
begin
  return query
  select coalesce(h.identity <> i.identity, false), h.identity, h.since, i.identity,
    (select count(*)::integer from ops.running_steps),
    (select count(*)::integer from (
      (select from ops.queue where status = 'queued' and ready limit v_most) union all
      (select from ops.queue where status = 'queued' and not ready limit v_most) limit v_most) q), v_most
  from (select ops.identity() as identity) i left join (select * from ops.homes order by id desc limit 1) h on true;
end
$$;

-- Says that the work goes on in this database, and nowhere else: steps are handed out again, and those whose lease is over are
-- taken back as after any silence. Cancel before what must not run again. Answers false when nothing was held. Errors: OPS_011.
create function public.ops_release_hold(p_actor text) returns table (released boolean, steps_running integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if coalesce(trim(p_actor), '') = '' then
    perform ops.fail('OPS_011', 'say who releases the work', 'p_actor', 'pass the name of the person, such as "dana"');
  end if;
  perform pg_advisory_xact_lock(hashtextextended('ops homes', 0));
  if not ops.on_hold() then
    return query select false, 0;
    return;
  end if;
  return query
  insert into ops.homes (identity, released_by, actor, steps_running)
  select h.here, p_actor, ops.actor_context(), h.steps_running from public.ops_hold() h
  returning true, steps_running;
  perform ops.wake_workers();
end
$$;

-- What is in flight in a restored copy that nobody has released. No rows anywhere else.
create view public.ops_held_steps with (security_invoker = true) as
  select s.id as step_id, s.kind, s.executor, s.agent, s.attempt, s.worker_id, s.reserved_at, s.lease_expires_at, s.mission_id, m.title as mission_title
  from ops.running_steps s, lateral (select m.title from public.ops_missions m where m.id = s.mission_id offset 0) m
  where (select h.held from public.ops_hold() h);
