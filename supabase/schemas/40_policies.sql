-- Policy rows: checked, versioned, audited, whoever edits them and however.

create function ops.check_policy() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_schema jsonb;
  v_fault ops.schema_fault;
begin
  if tg_op = 'UPDATE' and new.key <> old.key then
    perform ops.fail('OPS_011', 'a policy cannot be renamed', 'key', 'insert the new key and delete the old one');
  end if;
  select schema into v_schema from ops.policy_schemas where key = new.key;
  if v_schema is null then
    perform ops.fail('OPS_011', format('there is no policy "%s"%s', new.key,
        ops.suggestion(new.key, array(select key from ops.policy_schemas))), 'key',
      'known policies: ' || (select string_agg(key, ', ' order by key) from ops.policy_schemas));
  end if;
  v_fault := ops.schema_fault(v_schema, new.value);
  if v_fault.problem is not null then
    perform ops.fail('OPS_011', format('policy %s: %s %s', new.key, coalesce(nullif(v_fault.path, ''), 'value'), v_fault.problem), v_fault.path,
      'nothing was changed; see docs/policies.md for the fields of each policy');
  end if;

  new.version := 1 + coalesce((select max(h.version) from ops.policy_history h where h.key = new.key), 0);
  new.updated_at := ops.now();
  return new;
end
$$;

-- An edit that changes nothing is not a version.
create trigger ops_policy_check_insert before insert on public.ops_policy
  for each row execute function ops.check_policy();
create trigger ops_policy_check_update before update on public.ops_policy
  for each row when (new.value is distinct from old.value or new.key is distinct from old.key or new.version is distinct from old.version)
  execute function ops.check_policy();

create function ops.record_policy() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_action text := coalesce(nullif(current_setting('ops.policy_action', true), ''), lower(tg_op));
begin
  if tg_op in ('INSERT', 'UPDATE') then
    insert into ops.policy_history (key, version, value, updated_at, changed_by)
    values (new.key, new.version, new.value, new.updated_at, ops.actor());
  end if;
  if tg_op = 'TRUNCATE' then
    insert into ops.policy_audit (policy_key, action, changed_by, actor) values ('*', 'truncate', ops.actor(), ops.actor_context());
    return null;
  end if;
  insert into ops.policy_audit (policy_key, action, old_value, new_value, old_version, new_version, changed_by, actor)
  values (
    case when tg_op = 'DELETE' then old.key else new.key end,
    case when v_action = 'rollback' and tg_op <> 'DELETE' then 'rollback' else lower(tg_op) end,
    case when tg_op <> 'INSERT' then old.value end,
    case when tg_op <> 'DELETE' then new.value end,
    case when tg_op <> 'INSERT' then old.version end,
    case when tg_op <> 'DELETE' then new.version end,
    ops.actor(), ops.actor_context());
  return null;
end
$$;

create trigger ops_policy_record after insert or delete on public.ops_policy
  for each row execute function ops.record_policy();
create trigger ops_policy_record_update after update on public.ops_policy
  for each row when (new.version is distinct from old.version) execute function ops.record_policy();
create trigger ops_policy_record_truncate after truncate on public.ops_policy
  for each statement execute function ops.record_policy();

-- Puts an earlier version of a policy back in force, as a new version. Returns the new version.
-- Errors: OPS_013 when that version never existed.
create function public.ops_policy_rollback(p_key text, p_version integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_value jsonb;
  v_version integer;
begin
  select value into v_value from ops.policy_history where key = p_key and version = p_version;
  if not found then
    perform ops.fail('OPS_013', format('policy %s has no version %s', p_key, p_version), 'p_version',
      'select version, updated_at from ops_policy_history where key = ''' || p_key || '''');
  end if;
  perform set_config('ops.policy_action', 'rollback', true);
  insert into public.ops_policy (key, value) values (p_key, v_value)
  on conflict (key) do update set value = excluded.value;
  perform set_config('ops.policy_action', '', true);
  select version into v_version from public.ops_policy where key = p_key;
  return v_version;
end
$$;

-- Policies in force, all or the named ones.
create function public.ops_read_policies(p_keys text[] default null)
returns table (key text, value jsonb, version integer, updated_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select p.key, p.value, p.version, p.updated_at
  from public.ops_policy p
  where p_keys is null or p.key = any (p_keys)
  order by p.key
$$;
