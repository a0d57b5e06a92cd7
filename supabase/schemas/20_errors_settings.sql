-- Locks. One order everywhere: advisory keys (sorted) → missions (by id) → steps → dedupe keys (sorted) → counters (by day; the
-- day's own first) → root events.
-- Whoever meets that order backwards does not wait: claims, renewals and recovery take steps with SKIP LOCKED.
-- No session-level advisory locks: behind a transaction pooler they would outlive their caller.
--
-- Plans. The hot functions reach rows by index whatever the statistics say (right after a burst they describe an empty table):
-- enable_seqscan off, no merge joins over whole indexes, index look-ups priced as what they cost in memory.
--
-- Functions that clients call are SECURITY DEFINER, live in `public` and pin their search_path; rights are given
-- by name in 90_rights.sql. Errors carry SQLSTATE OPnnn for code OPS_nnn, a DETAIL {"path": …} and a HINT.

-- Raises one of the engine's errors. p_code like 'OPS_011'.
create function ops.fail(p_code text, p_message text, p_path text default null, p_hint text default null) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'OP' || right(p_code, 3),
    message = p_message,
    detail = jsonb_build_object('path', p_path)::text,
    hint = coalesce(p_hint, '');
end
$$;

-- A policy's value, or null when there is no such row.
create function ops.policy(p_key text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select value from public.ops_policy where key = p_key);
end
$$;

-- True while the control switch pauses that part: intake, reactions, approvals or claims.
create function ops.paused(p_part text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((ops.policy('control') #>> array['pause', p_part])::boolean, false);
end
$$;

create function ops.require_not_paused(p_part text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if ops.paused(p_part) then
    perform ops.fail('OPS_015', format('%s is paused by the control switch', p_part), 'control.pause.' || p_part,
      format('set pause.%s to false in policy "control"', p_part));
  end if;
end
$$;

-- Who is calling, as far as the database can tell: the login, the JWT's subject and role, the application's name.
create function ops.actor_context() returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_strip_nulls(jsonb_build_object(
    'session_user', session_user,
    'role', nullif(current_setting('role', true), 'none'),
    'jwt_subject', nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub',
    'jwt_role', nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role',
    'application_name', nullif(current_setting('application_name', true), '')));
end
$$;

create function ops.actor() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(ops.actor_context() ->> 'jwt_subject', ops.actor_context() ->> 'jwt_role', session_user::text);
end
$$;

-- The version of the schema: how many migrations have been applied.
create function ops.schema_version() returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(max(version::integer), 0) from ops.migrations where version ~ '^\d{4}$');
end
$$;

-- Wakes workers that lie down, if there are any. Transactional: they wake when the work can be seen.
create function ops.wake_workers() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from ops.sleepers where until > ops.now()) then
    perform pg_notify('ops_steps', '');
  end if;
end
$$;

-- A JSON array argument, checked for being one and for its length.
create function ops.require_array(p_value jsonb, p_name text, p_max integer) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_length integer;
begin
  if p_value is null or jsonb_typeof(p_value) <> 'array' then
    perform ops.fail('OPS_011', format('%s must be a JSON array', p_name), p_name);
  end if;
  v_length := jsonb_array_length(p_value);
  if v_length > p_max then
    perform ops.fail('OPS_011', format('%s holds %s items; at most %s fit one call', p_name, v_length, p_max), p_name,
      'send them in several calls');
  end if;
  return v_length;
end
$$;
