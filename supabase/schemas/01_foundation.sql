-- The private schema, the clock, and identifiers.
--
-- Schema `public` holds what operators and clients touch; schema `ops` holds machinery that is reachable only
-- through public functions and views.

create schema ops;
revoke all on schema ops from public;
grant usage on schema ops to service_role, ops_operator, ops_readonly;

-- What has been applied. Every migration adds its own row as its last statement.
create table ops.migrations (
  version text primary key,
  name text not null,
  applied_at timestamptz not null default clock_timestamp()
);

-- The engine's only source of time. Tests and simulations replace this function, which only its owner can do;
-- no setting or argument changes it. Not transaction time: a deadline must count from when it was given, also
-- after waiting for a lock.
create function ops.now() returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  return clock_timestamp();
end
$$;

-- Time-ordered UUID, version 7 (RFC 9562, with microseconds in the 12 bits after the version): new rows land at the right edge
-- of every index, and ids sort by age.
create function ops.new_id() returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_us bigint := date_part('epoch', clock_timestamp()) * 1000000; -- as a float: exact to the microsecond, and cheap
begin
  return encode(
    int8send(((v_us / 1000) << 16) | (7 << 12) | ((v_us % 1000) * 4096 / 1000)) || substring(uuid_send(gen_random_uuid()) from 9),
    'hex')::uuid;
end
$$;

-- Ids for a batch, in their order: up to 16,384 have one moment and share what is random, and are numbered in between, which costs a
-- tenth of calling ops.new_id() for each. The last five digits, by which people call them, are other ones for each.
create function ops.new_ids(p_count integer) returns uuid[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_head text;
  v_middle text;
  v_end integer;
begin
  if p_count = 1 then
    return array[ops.new_id()];
  end if;
  v_head := left(ops.new_id()::text, 18) || '-';
  v_middle := '-' || right(gen_random_uuid()::text, 7);
  v_end := floor(random() * 983040);
  return array(
      -- 983,040 numbers have five digits; a step that has no divisor in common with them meets each before any comes again.
      select (v_head || to_hex(32768 + n) || v_middle || to_hex(65536 + (v_end + n * 40507) % 983040))::uuid
      from generate_series(0, least(p_count, 16384) - 1) n)
    || case when p_count > 16384 then ops.new_ids(p_count - 16384) end;
end
$$;

-- Keeps `updated_at` true for hand edits too.
create function public.ops_set_updated_at() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  new.updated_at := ops.now();
  return new;
end
$$;

-- Statuses that end a mission or a step come last, so that a check can say `status >= 'succeeded'`: every statement that writes reads the
-- checks of its table from their text, and a list of statuses is long.
create type public.ops_proposal_status as enum ('pending', 'approved', 'rejected', 'auto_approved', 'expired');
create type public.ops_mission_status as enum ('approved', 'running', 'succeeded', 'failed', 'cancelled');
create type public.ops_step_status as enum ('waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled');
