-- Workers make themselves known and give signs of life. They are told the policies that they work under.

-- What a worker is told when it registers and at each of its heartbeats.
create function ops.worker_orders(p_worker_id uuid) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object(
    'worker_id', p_worker_id,
    'schema_version', ops.schema_version(),
    'worker_policy', coalesce(ops.policy('worker_policy'), '{}'),
    'agent_roles', coalesce(ops.policy('agent_roles'), '{}'),
    'control', coalesce(ops.policy('control'), '{}'));
end
$$;

-- Registers a worker process. `p_schema_version` is the newest schema it understands; `p_settings` are its environment's
-- {"max_retries", "lease_minutes"}, which policy overrides. Errors: OPS_011 when the schema is newer than the worker, or names the argument.
create function public.ops_register_worker(
  p_name text, p_version text, p_executors text[], p_concurrency integer, p_schema_version integer, p_settings jsonb default '{}')
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
  v_setting record;
begin
  if ops.schema_version() > p_schema_version then
    perform ops.fail('OPS_011',
      format('the database has schema %s, this worker (%s) understands up to %s', ops.schema_version(), p_version, p_schema_version),
      'p_schema_version', 'update the worker');
  end if;
  if length(coalesce(p_name, '')) not between 1 and 200 then
    perform ops.fail('OPS_011', 'a worker''s name must have 1 to 200 characters', 'p_name');
  end if;
  if length(coalesce(p_version, '')) not between 1 and 200 then
    perform ops.fail('OPS_011', 'a worker''s version must have 1 to 200 characters', 'p_version');
  end if;
  if coalesce(cardinality(p_executors), 0) not between 1 and 200 then
    perform ops.fail('OPS_011', 'a worker must offer 1 to 200 executors', 'p_executors');
  end if;
  if exists (select from unnest(p_executors) e(name) where length(coalesce(e.name, '')) not between 1 and 100) then
    perform ops.fail('OPS_011', 'the name of an executor must have 1 to 100 characters', 'p_executors');
  end if;
  if (p_concurrency between 1 and 1000) is not true then
    perform ops.fail('OPS_011', 'a worker takes 1 to 1000 steps at the same time', 'p_concurrency');
  end if;
  if jsonb_typeof(coalesce(p_settings, '{}')) <> 'object' then
    perform ops.fail('OPS_011', 'the settings of a worker must be an object', 'p_settings');
  end if;
  for v_setting in select * from (values ('max_retries', 100), ('lease_minutes', 1440)) s(name, most) loop
    if jsonb_typeof(p_settings -> v_setting.name) not in ('number', 'null')
      or (case jsonb_typeof(p_settings -> v_setting.name) when 'number' then (p_settings ->> v_setting.name)::numeric end) not between 0 and v_setting.most
    then
      perform ops.fail('OPS_011', format('%s must be a number from 0 to %s', v_setting.name, v_setting.most), 'p_settings.' || v_setting.name);
    end if;
  end loop;
  insert into ops.workers (name, version, executors, concurrency, settings, role)
  values (p_name, p_version, p_executors, p_concurrency, coalesce(p_settings, '{}'),
    coalesce(nullif(current_setting('role', true), 'none'), session_user))
  returning id into v_id;
  perform ops.settle_home();
  return ops.worker_orders(v_id);
end
$$;

-- A worker's sign of life, at least once a minute. `p_listening` says that it sleeps until it is notified on channel
-- `ops_steps`; `p_health` tells how it is: {"memory_percent"}. `p_takes` names executors of which it may be handed one step while it sleeps, leased
-- for `p_lease_seconds` (1..86400, null: as policy has it). The step comes as the payload of a notification on `p_channel`, 'ops_hand_' and 32 hexadecimal
-- digits that nobody can guess: whoever knows them may listen too. Where it is too long for one the payload is empty, and ops_handed_steps() gives the step.
-- Returns the policies it works under. Errors: OPS_011 names the argument, OPS_013 when it has never registered.
create function public.ops_worker_heartbeat(p_worker_id uuid, p_listening boolean default false, p_health jsonb default null,
  p_takes text[] default null, p_channel text default null, p_lease_seconds integer default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_lease_seconds not between 1 and 86400 then
    perform ops.fail('OPS_011', 'a lease lasts 1 second to 24 hours', 'p_lease_seconds');
  end if;
  if p_takes is not null and (p_channel ~ '^ops_hand_[0-9a-f]{32}$') is not true then
    perform ops.fail('OPS_011', 'who is handed steps names a channel: ops_hand_ and 32 hexadecimal digits', 'p_channel');
  end if;
  if jsonb_typeof(p_health) <> 'object' or jsonb_typeof(p_health -> 'memory_percent') not in ('number', 'null') then
    perform ops.fail('OPS_011', 'how a worker is must be an object, and its memory_percent a number', 'p_health');
  end if;
  update ops.workers set last_seen_at = ops.now(), health = coalesce(p_health, health) where id = p_worker_id;
  if not found then
    perform ops.fail('OPS_013', format('there is no worker %s', p_worker_id), 'p_worker_id', 'register first');
  end if;
  -- Who is being handed a step at this moment is not waited for: that transaction may be anybody's, and long.
  perform from ops.sleepers where worker_id = p_worker_id for update skip locked;
  if found then
    if p_listening then
      update ops.sleepers set until = ops.now() + interval '2 minutes', takes = p_takes, channel = p_channel, lease_seconds = p_lease_seconds
      where worker_id = p_worker_id;
    else
      delete from ops.sleepers where worker_id = p_worker_id;
    end if;
  elsif p_listening and not exists (select from ops.sleepers where worker_id = p_worker_id) then
    insert into ops.sleepers (worker_id, until, takes, channel, lease_seconds)
    values (p_worker_id, ops.now() + interval '2 minutes', p_takes, p_channel, p_lease_seconds)
    on conflict (worker_id) do nothing;
  end if;
  return ops.worker_orders(p_worker_id);
end
$$;
