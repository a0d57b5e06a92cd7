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

-- Who is behind a change: the name that was given for it, if one was, beside the login that nobody can choose.
create function ops.policy_author() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(nullif(current_setting('ops.policy_actor', true), '') || ' (' || ops.actor() || ')', ops.actor());
end
$$;

create function ops.record_policy() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_action text := coalesce(nullif(current_setting('ops.policy_action', true), ''), lower(tg_op));
begin
  if tg_op in ('INSERT', 'UPDATE') then
    insert into ops.policy_history (key, version, value, updated_at, changed_by)
    values (new.key, new.version, new.value, new.updated_at, ops.policy_author());
  end if;
  if tg_op = 'TRUNCATE' then
    insert into ops.policy_audit (policy_key, action, changed_by, actor) values ('*', 'truncate', ops.policy_author(), ops.actor_context());
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
    ops.policy_author(),
    ops.actor_context() || jsonb_strip_nulls(jsonb_build_object('as', nullif(current_setting('ops.policy_actor', true), ''))));
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
create function public.ops_policy_rollback(p_key text, p_version integer, p_actor text default null) returns integer
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
  perform set_config('ops.policy_action', 'rollback', true), set_config('ops.policy_actor', coalesce(p_actor, ''), true);
  insert into public.ops_policy (key, value) values (p_key, v_value)
  on conflict (key) do update set value = excluded.value;
  perform set_config('ops.policy_action', '', true), set_config('ops.policy_actor', '', true);
  select version into v_version from public.ops_policy where key = p_key;
  return v_version;
end
$$;

-- Puts policies in force, all or none: [{"key", "value", "expected_version"?}], at most 100; a value of null deletes the policy.
-- `expected_version` is the version that the caller has seen (0: no such row); when it is not the one in force any more, nothing is
-- changed. Answers for each: created, changed, deleted or unchanged, and the version now in force (0: none).
-- Errors: OPS_011 names the policy and the field; OPS_014 when somebody changed the policy meanwhile.
create function public.ops_apply_policies(p_policies jsonb, p_actor text default null)
returns table (key text, outcome text, version integer, previous_version integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_item record;
  v_bad integer;
  v_made boolean;
begin
  perform ops.require_array(p_policies, 'p_policies', 100);
  select min(i.n) - 1 into v_bad from jsonb_array_elements(p_policies) with ordinality i(item, n)
  where jsonb_typeof(i.item) is distinct from 'object' or jsonb_typeof(i.item -> 'key') is distinct from 'string'
    or coalesce(jsonb_typeof(i.item -> 'value'), 'none') not in ('object', 'null')
    or jsonb_typeof(i.item -> 'expected_version') not in ('number', 'null');
  if v_bad is not null then
    perform ops.fail('OPS_011', format('p_policies[%s] must be {"key": text, "value": object or null, "expected_version"?: number}', v_bad),
      format('p_policies[%s]', v_bad));
  end if;
  perform set_config('ops.policy_actor', coalesce(p_actor, ''), true);
  -- In key order, so that two callers cannot wait for each other.
  for v_item in
    select i ->> 'key' as key, i -> 'value' as value, (i ->> 'expected_version')::numeric as expected
    from jsonb_array_elements(p_policies) i order by 1
  loop
    select p.version into previous_version from public.ops_policy p where p.key = v_item.key for update;
    previous_version := coalesce(previous_version, 0);
    if v_item.expected is not null and v_item.expected <> previous_version then
      perform ops.fail('OPS_014',
        case when previous_version = 0 then format('policy %s is not there any more', v_item.key)
          else format('policy %s is at version %s, not %s', v_item.key, previous_version, v_item.expected) end,
        v_item.key, 'somebody changed it meanwhile: compare again, then apply');
    end if;
    if jsonb_typeof(v_item.value) = 'null' then
      key := v_item.key;
      version := 0;
      outcome := case when previous_version = 0 then 'unchanged' else 'deleted' end;
      if previous_version > 0 then
        delete from public.ops_policy p where p.key = v_item.key;
      end if;
      return next;
      continue;
    end if;
    if previous_version = 0 then
      insert into public.ops_policy (key, value) values (v_item.key, v_item.value) on conflict do nothing;
      v_made := found;
    end if;
    if previous_version > 0 or not v_made then
      if v_item.expected = 0 then
        perform ops.fail('OPS_014', format('policy %s is there by now', v_item.key), v_item.key,
          'somebody made it meanwhile: compare again, then apply');
      end if;
      update public.ops_policy p set value = v_item.value where p.key = v_item.key;
    end if;
    key := v_item.key;
    select p.version into version from public.ops_policy p where p.key = v_item.key;
    outcome := case when previous_version = 0 then 'created' when version = previous_version then 'unchanged' else 'changed' end;
    return next;
  end loop;
  perform set_config('ops.policy_actor', '', true);
end
$$;

-- Policies in force, all or the named ones. p_known: [{"key", "version", "updated_at"}], what the caller has read already: where that is
-- still in force, `value` is null.
create function public.ops_read_policies(p_keys text[] default null, p_known jsonb default '[]')
returns table (key text, value jsonb, version integer, updated_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select p.key,
    case when not exists (
      select from jsonb_to_recordset(p_known) k(key text, version integer, updated_at timestamptz)
      where k.key = p.key and k.version = p.version and k.updated_at = p.updated_at) then p.value end,
    p.version, p.updated_at
  from public.ops_policy p
  where p_keys is null or p.key = any (p_keys)
  order by p.key
$$;

-- Changes of policies, newest first, of one or of all; `value` is null where the policy was deleted.
create function public.ops_policy_changes(p_key text default null, p_limit integer default 50)
returns table (key text, action text, version integer, previous_version integer, value jsonb, previous_value jsonb, changed_by text,
  actor jsonb, changed_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select a.policy_key, a.action, a.new_version, a.old_version, a.new_value, a.old_value, a.changed_by, a.actor, a.changed_at
  from ops.policy_audit a
  where p_key is null or a.policy_key in (p_key, '*')
  order by a.changed_at desc, a.id desc
  limit least(p_limit, 1000)
$$;

-- The policies that were in force at a moment.
create function public.ops_policies_at(p_at timestamptz)
returns table (key text, value jsonb, version integer, updated_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select l.policy_key, l.new_value, l.new_version, l.changed_at
  from (
    select distinct on (a.policy_key) a.* from ops.policy_audit a
    where a.changed_at <= p_at and a.policy_key <> '*'
    order by a.policy_key, a.changed_at desc, a.id desc) l
  where l.action <> 'delete'
    and not exists (select from ops.policy_audit t where t.action = 'truncate' and t.changed_at between l.changed_at and p_at)
  order by 1
$$;
