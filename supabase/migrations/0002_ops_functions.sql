-- 0002 ops_functions: generated from supabase/schemas by npm run sql:build. Released files are never edited.

-- 20_errors_settings.sql ------------------------------------------------------------------------------------

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

-- 24_suggestions.sql ----------------------------------------------------------------------------------------

-- Suggestions: what somebody meant by a name that is not known. The same rule as policies/suggest.ts.

-- Insertions, deletions, replacements and swaps of neighbours that make one word of the other.
create function ops.edit_distance(p_from text, p_to text) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before_last integer[];
  v_last integer[] := array(select generate_series(0, length(p_to)));
  v_current integer[];
  v_cost integer;
begin
  -- Element n of a row is the distance to the first n - 1 characters.
  for i in 1..length(p_from) loop
    v_current := array[i];
    for j in 1..length(p_to) loop
      v_cost := case when substr(p_from, i, 1) = substr(p_to, j, 1) then 0 else 1 end;
      v_current := v_current || least(v_last[j + 1] + 1, v_current[j] + 1, v_last[j] + v_cost,
        case when i > 1 and j > 1 and substr(p_from, i, 1) = substr(p_to, j - 1, 1) and substr(p_from, i - 1, 1) = substr(p_to, j, 1)
          then v_before_last[j - 1] + 1 end);
    end loop;
    v_before_last := v_last;
    v_last := v_current;
  end loop;
  return v_last[length(p_to) + 1];
end
$$;

-- `; did you mean "…"?`, or the list of what is known. A name of more than 100 characters was not mistyped.
create function ops.suggestion(p_name text, p_known text[]) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_meant text;
begin
  if length(p_name) <= 100 then
    select k into v_meant
    from unnest(p_known) with ordinality n(k, place), lateral (select ops.edit_distance(lower(p_name), lower(k)) as distance) d
    where d.distance <= greatest(1, length(p_name) / 3)
    order by d.distance, n.place limit 1;
  end if;
  return case when v_meant is not null then format('; did you mean "%s"?', v_meant)
    else '; known names: ' || coalesce((select string_agg(k, ', ' order by k collate "C") from unnest(p_known) k), 'none') end;
end
$$;

-- 25_json_schema.sql ----------------------------------------------------------------------------------------

-- JSON Schema, as much of it as policies/ produces: enough to refuse a bad hand edit with a path and a reason.
--
-- A matrix may hold thousands of patterns, and its editor waits for the answer. So values are judged by the column: all values
-- that stand under one node of the schema (every pattern's `template`, every step's `kind`) go through one statement together.
-- The cost is that of the schema's nodes plus about a microsecond a value.

create function ops.is_time_zone(p_name text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  perform now() at time zone p_name;
  -- Postgres also takes abbreviations and offsets ("CEST", "FOO5"): those know no summer, and nobody else knows them.
  return case when upper(p_name) = 'UTC' then true
    when p_name like '%/%' then p_name !~ '[0-9]' or p_name ~* '^etc/gmt[+-]?([0-9]|1[0-4])$'
    else exists (select from pg_timezone_names z where lower(z.name) = lower(p_name)) end;
exception when invalid_parameter_value then
  return false;
end
$$;

-- What is wrong with the n-th value of a column. Paths look like `.patterns[2].cooldown_minutes`.
create type ops.schema_fault as (n integer, path text, problem text);

-- The first fault of each value that has one. A value may be null: it has been judged already, and is passed over.
create function ops.schema_faults(p_schema jsonb, p_values jsonb[]) returns ops.schema_fault[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_faults ops.schema_fault[];
  v_fault ops.schema_fault;
  v_branch jsonb;
begin
  -- {} and true allow everything.
  if p_schema in ('{}', 'true') then
    return '{}';
  elsif p_schema = 'false' then
    return array(select row(v.n, '', 'is not allowed here')::ops.schema_fault from unnest(p_values) with ordinality v(value, n) where v.value is not null);
  end if;

  v_faults := ops.own_faults(p_schema, p_values);
  foreach v_fault in array v_faults loop
    p_values[v_fault.n] := null;
  end loop;
  if p_schema ? 'items' then
    v_faults := v_faults || ops.item_faults(p_schema -> 'items', p_values);
  end if;
  if p_schema ?| array['properties', 'required', 'additionalProperties', 'propertyNames'] then
    v_faults := v_faults || ops.field_faults(p_schema, p_values);
  end if;
  for v_branch in select jsonb_array_elements(p_schema -> 'allOf') loop
    v_faults := v_faults || ops.schema_faults(v_branch, p_values);
  end loop;
  if p_schema ?| array['anyOf', 'oneOf'] then
    v_faults := v_faults || ops.branch_faults(coalesce(p_schema -> 'anyOf', p_schema -> 'oneOf'), p_schema ? 'oneOf', p_values);
  end if;
  return array(select distinct on (f.n) row(f.n, f.path, f.problem)::ops.schema_fault
    from unnest(v_faults) with ordinality f(n, path, problem, at) order by f.n, f.at);
end
$$;

-- What is wrong with values by themselves, whatever they hold: their type, whether they are among the allowed ones, the range
-- of a number, the length and form of a text, the length of a list.
create function ops.own_faults(p_schema jsonb, p_values jsonb[]) returns ops.schema_fault[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_types jsonb := p_schema -> 'type';
  v_whole boolean := v_types ? 'integer' and not v_types ? 'number';
  v_const jsonb := p_schema -> 'const';
  v_enum jsonb := p_schema -> 'enum';
  v_min numeric := (p_schema ->> 'minimum')::numeric;
  v_max numeric := (p_schema ->> 'maximum')::numeric;
  v_above numeric := (p_schema ->> 'exclusiveMinimum')::numeric;
  v_below numeric := (p_schema ->> 'exclusiveMaximum')::numeric;
  v_multiple numeric := nullif((p_schema ->> 'multipleOf')::numeric, 0);
  v_min_length integer := (p_schema ->> 'minLength')::integer;
  v_max_length integer := (p_schema ->> 'maxLength')::integer;
  v_pattern text := p_schema ->> 'pattern';
  v_zone boolean := p_schema @> '{"format": "time-zone"}';
  v_min_items integer := (p_schema ->> 'minItems')::integer;
  v_max_items integer := (p_schema ->> 'maxItems')::integer;
begin
  return array(
    select row(t.n, '', t.problem)::ops.schema_fault
    from (
      select v.n, case
        when v.value is null then null
        when not (v_types ? v.type or (v.type = 'number' and v_types ? 'integer'))
          then format('must be %s, not %s', replace(v_types #>> '{}', '"', ''), v.type)
        when v.value <> v_const then format('must be %s', v_const)
        when not exists (select from jsonb_array_elements(v_enum) e where e = v.value) and v_enum is not null
          then format('must be one of %s', (select string_agg(e::text, ', ') from jsonb_array_elements(v_enum) e))
        when v.type = 'number' then case
          when v_whole and v.value::text like '%.%' then 'must be a whole number'
          when v.value::numeric < v_min then format('must be at least %s', v_min)
          when v.value::numeric > v_max then format('must be at most %s', v_max)
          when v.value::numeric <= v_above then format('must be greater than %s', v_above)
          when v.value::numeric >= v_below then format('must be less than %s', v_below)
          when v.value::numeric % v_multiple <> 0 then format('must be a multiple of %s', v_multiple) end
        when v.type = 'string' then case
          when length(v.value #>> '{}') < v_min_length then format('must have at least %s characters', v_min_length)
          when length(v.value #>> '{}') > v_max_length then format('must have at most %s characters', v_max_length)
          when v.value #>> '{}' !~ v_pattern then format('must match %s', v_pattern)
          when v_zone and not ops.is_time_zone(v.value #>> '{}') then 'is not a known time zone' end
        when v.type = 'array' then case
          when jsonb_array_length(v.value) < v_min_items then format('must have at least %s items', v_min_items)
          when jsonb_array_length(v.value) > v_max_items then format('must have at most %s items', v_max_items) end
        end as problem
      from (select u.value, u.n, jsonb_typeof(u.value) as type from unnest(p_values) with ordinality u(value, n)) v) t
    where t.problem is not null);
end
$$;

-- What is wrong with the items of lists.
create function ops.item_faults(p_schema jsonb, p_values jsonb[]) returns ops.schema_fault[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_items jsonb[];
  v_lists integer[];
  v_positions integer[];
begin
  select array_agg(i.item), array_agg(v.n), array_agg(i.at - 1) into v_items, v_lists, v_positions
  from unnest(p_values) with ordinality v(value, n), jsonb_array_elements(v.value) with ordinality i(item, at)
  where jsonb_typeof(v.value) = 'array';
  if v_items is null then
    return '{}';
  end if;
  return array(select row(v_lists[f.n], format('[%s]%s', v_positions[f.n], f.path), f.problem)::ops.schema_fault
    from unnest(ops.schema_faults(p_schema, v_items)) f order by f.n);
end
$$;

-- What is wrong with the fields of objects: missing ones, unknown ones, and what the others hold.
create function ops.field_faults(p_schema jsonb, p_values jsonb[]) returns ops.schema_fault[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_properties jsonb := coalesce(p_schema -> 'properties', '{}');
  v_known text[] := array(select jsonb_object_keys(v_properties));
  v_others jsonb := coalesce(p_schema -> 'additionalProperties', 'true');
  v_faults ops.schema_fault[];
  v_field text;
  v_schema jsonb;
  v_held jsonb[];
  v_holders integer[];
  v_names text[];
begin
  v_faults := array(
    select row(v.n, '', format('misses the field "%s"', r.field))::ops.schema_fault
    from unnest(p_values) with ordinality v(value, n), jsonb_array_elements_text(p_schema -> 'required') with ordinality r(field, at)
    where jsonb_typeof(v.value) = 'object' and not v.value ? r.field order by v.n, r.at);

  for v_field, v_schema in select * from jsonb_each(v_properties) loop
    select array_agg(v.value -> v_field), array_agg(v.n) into v_held, v_holders
    from unnest(p_values) with ordinality v(value, n) where jsonb_typeof(v.value) = 'object' and v.value ? v_field;
    if v_held is not null then
      v_faults := v_faults || array(select row(v_holders[f.n], '.' || v_field || f.path, f.problem)::ops.schema_fault
        from unnest(ops.schema_faults(v_schema, v_held)) f);
    end if;
  end loop;

  if v_others in ('{}', 'true') and not p_schema ? 'propertyNames' then
    return v_faults;
  end if;
  select array_agg(o.value), array_agg(o.key), array_agg(v.n) into v_held, v_names, v_holders
  from unnest(p_values) with ordinality v(value, n),
    jsonb_each(case when jsonb_typeof(v.value) = 'object' then v.value - v_known else '{}' end) o;
  if v_held is null then
    return v_faults;
  elsif v_others = 'false' then
    return v_faults || array(select row(o.n, '.' || o.name, 'is not a field of this object' || s.suggestion)::ops.schema_fault
      from unnest(v_names, v_holders) o(name, n)
      join (select k as name, ops.suggestion(k, v_known) as suggestion from unnest(v_names) k group by k) s using (name));
  end if;
  return v_faults
    || array(select row(v_holders[f.n], '.' || v_names[f.n] || f.path, 'has a name that ' || f.problem)::ops.schema_fault
      from unnest(ops.schema_faults(coalesce(p_schema -> 'propertyNames', 'true'), array(select to_jsonb(k) from unnest(v_names) k))) f)
    || array(select row(v_holders[f.n], '.' || v_names[f.n] || f.path, f.problem)::ops.schema_fault
      from unnest(ops.schema_faults(v_others, v_held)) f);
end
$$;

-- What fits none of the branches, or, where exactly one must fit, several. The branch that got furthest is the one that was meant.
create function ops.branch_faults(p_branches jsonb, p_one boolean, p_values jsonb[]) returns ops.schema_fault[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer := jsonb_array_length(p_branches);
  v_faults ops.schema_fault[] := '{}';
begin
  for v_at in 0 .. v_count - 1 loop
    v_faults := v_faults || ops.schema_faults(p_branches -> v_at, p_values);
  end loop;
  return array(
    select (array_agg(row(f.n, f.path, f.problem)::ops.schema_fault order by length(f.path) desc, f.at))[1]
    from unnest(v_faults) with ordinality f(n, path, problem, at) group by f.n having count(*) = v_count)
    || array(
    select row(v.n, '', 'fits more than one of the allowed forms')::ops.schema_fault
    from unnest(p_values) with ordinality v(value, n) left join unnest(v_faults) f on f.n = v.n
    where p_one and v.value is not null group by v.n having count(f.n) < v_count - 1);
end
$$;

-- The first fault of one value, or null when it is valid. Its path looks like `patterns[2].cooldown_minutes`.
create function ops.schema_fault(p_schema jsonb, p_value jsonb) returns ops.schema_fault
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan -- a plan for each column would copy it
as $$
declare
  v_fault ops.schema_fault := (ops.schema_faults(p_schema, array[p_value]))[1];
begin
  v_fault.path := ltrim(v_fault.path, '.');
  return v_fault;
end
$$;

-- 40_policies.sql -------------------------------------------------------------------------------------------

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

-- 45_events.sql ---------------------------------------------------------------------------------------------

-- Intake: facts come in, each stored once.

-- The first problem of an event that someone reports, or null. p_path names it in the message.
create function ops.event_problem(p_event jsonb, p_own boolean, out field text, out problem text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_type text := p_event ->> 'type';
begin
  if jsonb_typeof(p_event) <> 'object' then
    field := ''; problem := 'must be an object';
  elsif jsonb_typeof(p_event -> 'type') is distinct from 'string' then
    field := 'type'; problem := 'must be a string such as "github:issues.opened"';
  elsif v_type !~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$' then
    field := 'type'; problem := 'must be 1 to 200 letters, digits, "_", ".", ":" or "-", and begin with a letter or digit';
  elsif not p_own and v_type ~ '^(heartbeat|mission|step|proposal|canary|service):' then
    field := 'type'; problem := format('"%s:" events are made by the engine alone', split_part(v_type, ':', 1));
  elsif p_event ? 'data' and jsonb_typeof(p_event -> 'data') not in ('object', 'null') then
    field := 'data'; problem := 'must be an object';
  elsif octet_length((p_event -> 'data')::text) > 1048576 then
    field := 'data'; problem := 'must not be larger than 1 MiB';
  elsif p_event ? 'dedupe_key' and jsonb_typeof(p_event -> 'dedupe_key') not in ('string', 'null') then
    field := 'dedupe_key'; problem := 'must be a string';
  elsif length(p_event ->> 'dedupe_key') not between 1 and 500 then
    field := 'dedupe_key'; problem := 'must have 1 to 500 characters';
  elsif not p_own and p_event ->> 'dedupe_key' ~ '^(mission:[0-9a-f-]{36}|schedule:.+):' then
    field := 'dedupe_key'; problem := 'belongs to the engine''s own events';
  end if;
end
$$;

-- Reports up to 1,000 events: [{"type", "data"?, "dedupe_key"?}, …]. Answers for each, by its position from 1:
-- accepted (stored now), duplicate (the same event is there already) or conflict (its dedupe_key belongs to an event with
-- other content; nothing was stored). All or none: an invalid item refuses the call.
-- Errors: OPS_011 names the item and field; OPS_015 while intake is paused.
create function public.ops_emit_events(p_events jsonb)
returns table (ordinal integer, event_id uuid, outcome text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan -- a plan for each batch would copy it
as $$
#variable_conflict use_column
declare
  v_count integer;
  v_bad record;
  -- By event.
  v_ids uuid[];
  v_types text[];
  v_data jsonb[];
  v_keys text[];
  v_are_plain boolean;
  -- What is stored now.
  v_stored uuid[];
begin
  perform ops.require_not_paused('intake');
  v_count := ops.require_array(p_events, 'p_events', 1000);
  if v_count = 0 then
    perform ops.fail('OPS_011', 'p_events is empty', 'p_events', 'send at least one event');
  end if;
  select array_agg(e.value ->> 'type'), array_agg(coalesce(nullif(e.value -> 'data', 'null'), '{}')), array_agg(e.value ->> 'dedupe_key'),
      bool_and((jsonb_typeof(e.value -> 'type') = 'string' and e.value ->> 'type' ~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$'
        and split_part(e.value ->> 'type', ':', 1) <> all ('{heartbeat,mission,step,proposal,canary,service}')
        and (e.value -> 'data' is null or jsonb_typeof(e.value -> 'data') = 'object')
        and (e.value -> 'dedupe_key' is null or jsonb_typeof(e.value -> 'dedupe_key') = 'string' and length(e.value ->> 'dedupe_key') between 1 and 500
          and left(e.value ->> 'dedupe_key', 8) <> 'mission:' and left(e.value ->> 'dedupe_key', 9) <> 'schedule:')) is true)
    into v_types, v_data, v_keys, v_are_plain
  from jsonb_array_elements(p_events) with ordinality e;
  -- What is wrong, if anything is, takes longer to find out than to see that mostly nothing is.
  if not v_are_plain or octet_length(p_events::text) > 1048576 then
    select e.ordinality - 1 as at, p.field, p.problem into v_bad
    from jsonb_array_elements(p_events) with ordinality e, ops.event_problem(e.value, false) p
    where p.problem is not null order by e.ordinality limit 1;
    if found then
      perform ops.fail('OPS_011', format('events[%s].%s %s', v_bad.at, v_bad.field, v_bad.problem),
        format('events[%s].%s', v_bad.at, v_bad.field));
    end if;
  end if;

  v_ids := ops.new_ids(v_count);
  with stored as (
    -- In key order, so that two overlapping batches cannot wait for each other.
    insert into public.ops_agent_events (id, type, data, dedupe_key)
    select e.id, e.type, e.data, e.dedupe_key
    from unnest(v_ids, v_types, v_data, v_keys) with ordinality e(id, type, data, dedupe_key, n) order by e.dedupe_key, e.n
    on conflict (dedupe_key) do nothing
    returning id
  )
  select array_agg(s.id) into v_stored from stored s;
  if cardinality(v_stored) = v_count then
    return query select e.n::integer, e.id, 'accepted' from unnest(v_ids) with ordinality e(id, n);
    return;
  end if;
  return query
  select e.n::integer, e.id, 'accepted' from unnest(v_ids) with ordinality e(id, n) where e.id = any (v_stored)
  union all
  select e.n::integer, known.id, case when known.type = e.type and known.data = e.data then 'duplicate' else 'conflict' end
  from unnest(v_ids, v_types, v_data, v_keys) with ordinality e(id, type, data, dedupe_key, n)
    join public.ops_agent_events known on known.dedupe_key = e.dedupe_key
  where e.id <> all (coalesce(v_stored, '{}')) order by 1;
end
$$;

-- An event of the engine itself, about a proposal where it names one.
create function ops.emit_own(p_type text, p_data jsonb, p_proposal_id uuid, p_root_event_id uuid, p_depth integer) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into public.ops_agent_events (type, data, proposal_id, root_event_id, depth)
  values (p_type, p_data, p_proposal_id, p_root_event_id, p_depth);
end
$$;

-- 46_schedules.sql ------------------------------------------------------------------------------------------

-- Schedules: which are due, and what becomes of their slots. Reading cron expressions is the control plane's part; that each slot
-- becomes an event once, whoever is first, is this file's.

-- After a change of policy `schedules`: new schedules begin now, changed times begin anew, those that were switched off are forgotten. Whoever
-- edits another policy sees this one as it was before an edit that is under way, and must not put its schedules back in force.
create function ops.sync_schedules() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_all jsonb := coalesce(ops.policy('schedules') -> 'schedules', '[]');
  v_twice text;
  v_bad record;
begin
  select s ->> 'id' into v_twice from jsonb_array_elements(v_all) s group by s ->> 'id' having count(*) > 1 limit 1;
  if found then
    perform ops.fail('OPS_011', format('policy schedules: "%s" is there twice', v_twice), 'schedules', 'give each schedule an id of its own');
  end if;
  select s.n - 1 as at, p.field, p.problem into v_bad
  from jsonb_array_elements(v_all) with ordinality s(schedule, n), ops.event_problem(s.schedule -> 'event', false) p
  where p.problem is not null order by s.n limit 1;
  if found then
    perform ops.fail('OPS_011', format('policy schedules: schedules[%s].event.%s %s', v_bad.at, v_bad.field, v_bad.problem),
      format('schedules[%s].event.%s', v_bad.at, v_bad.field));
  end if;

  -- In the order in which beats settle them.
  perform from ops.schedules k order by k.id for no key update;
  delete from ops.schedules k
  where not exists (select from jsonb_array_elements(v_all) s
                    where s ->> 'id' = k.id and coalesce((s ->> 'enabled')::boolean, true));
  insert into ops.schedules as k (id, definition, settled_until)
  select s ->> 'id', s, v_now from jsonb_array_elements(v_all) s
  where coalesce((s ->> 'enabled')::boolean, true)
  on conflict (id) do update set definition = excluded.definition,
    settled_until = case when ops.schedule_times(k.definition) = ops.schedule_times(excluded.definition) then k.settled_until else v_now end,
    next_at = case when ops.schedule_times(k.definition) = ops.schedule_times(excluded.definition) then k.next_at end
  where k.definition <> excluded.definition;
  return null;
end
$$;

-- What decides when a schedule is due.
create function ops.schedule_times(p_definition jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (p_definition ->> 'cron') || ' ' || coalesce(p_definition ->> 'time_zone', 'UTC');
end
$$;

create trigger ops_policy_sync_schedules after insert or update on public.ops_policy
  for each row when (new.key = 'schedules') execute function ops.sync_schedules();
create trigger ops_policy_sync_schedules_delete after delete on public.ops_policy
  for each row when (old.key = 'schedules') execute function ops.sync_schedules();
create trigger ops_policy_sync_schedules_truncate after truncate on public.ops_policy
  for each statement execute function ops.sync_schedules();

-- Schedules whose next slot has come, or is not known yet, longest due first; at most p_limit (1..1000). `now` is the moment to
-- settle them by. Empty while intake is paused: those slots have passed while nothing ran.
create function public.ops_due_schedules(p_limit integer default 100)
returns table (schedule_id text, cron text, time_zone text, missed text, settled_until timestamptz, now timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
begin
  if ops.paused('intake') then
    return;
  end if;
  return query
  select k.id, k.definition ->> 'cron', coalesce(k.definition ->> 'time_zone', 'UTC'), coalesce(k.definition ->> 'missed', 'once'),
    k.settled_until, v_now
  from ops.schedules k
  where k.next_at is null or k.next_at <= v_now
  order by k.next_at nulls first, k.id
  limit least(p_limit, 1000);
end
$$;

-- Settles schedules, each by itself: [{"schedule_id", "settled_until", "until", "next_at", "slots": [{"at", "missed"}]}], at most
-- 1,000 with 1,000 slots each. `settled_until` is what ops_due_schedules answered: who comes second finds another value there, and
-- changes nothing (`taken`). Every slot becomes the schedule's event, with `data.schedule` = {"id", "at", "missed"} (how many slots
-- before it became none) and `data.source` = "schedule" where the schedule names none.
-- Errors: OPS_011 for a schedule that would go backwards.
create function public.ops_settle_schedules(p_items jsonb)
returns table (schedule_id text, outcome text, events integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_item record;
  v_event jsonb;
begin
  perform ops.require_array(p_items, 'p_items', 1000);
  -- In the order of their ids, so that two overlapping beats cannot wait for each other.
  for v_item in
    select * from jsonb_to_recordset(p_items)
      as i(schedule_id text, settled_until timestamptz, until timestamptz, next_at timestamptz, slots jsonb)
    order by i.schedule_id
  loop
    if v_item.until is null or v_item.until < v_item.settled_until then
      perform ops.fail('OPS_011', format('schedule "%s" cannot go back in time', v_item.schedule_id), 'until');
    end if;
    perform ops.require_array(v_item.slots, 'slots', 1000);
    schedule_id := v_item.schedule_id;
    events := 0;
    update ops.schedules k set settled_until = v_item.until, next_at = v_item.next_at
    where k.id = v_item.schedule_id and k.settled_until = v_item.settled_until
    returning k.definition -> 'event' into v_event;
    if found then
      outcome := 'settled';
      insert into public.ops_agent_events (type, data, dedupe_key)
      select v_event ->> 'type',
        '{"source": "schedule"}' || coalesce(v_event -> 'data', '{}')
          || jsonb_build_object('schedule', jsonb_build_object('id', schedule_id, 'at', s.at, 'missed', coalesce(s.missed, 0))),
        'schedule:' || schedule_id || ':' || to_char(s.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
      from jsonb_to_recordset(v_item.slots) as s(at timestamptz, missed integer)
      order by s.at
      on conflict (dedupe_key) do nothing;
      get diagnostics events = row_count;
    else
      outcome := 'taken';
    end if;
    return next;
  end loop;
end
$$;

-- 47_requests.sql -------------------------------------------------------------------------------------------

-- Rate limits of the control plane.

-- Adds p_requests of a caller to the count of the current minute. Answers the count of all instances, and the seconds until the
-- next minute begins it anew.
create function public.ops_count_requests(p_caller text, p_requests integer)
returns table (requests integer, seconds_left double precision)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
  v_minute timestamptz := date_trunc('minute', v_now, 'UTC');
begin
  insert into ops.request_counts as c (caller, minute, requests) values (left(p_caller, 200), v_minute, greatest(p_requests, 0))
  on conflict (caller, minute) do update set requests = c.requests + excluded.requests
  returning c.requests into requests;
  seconds_left := extract(epoch from v_minute + interval '1 minute' - v_now);
  return next;
end
$$;

-- 50_template.sql -------------------------------------------------------------------------------------------

-- Proposal templates: what a mission would run.
--
-- {title, description?, risk_level?, agent?, priority?, steps: [{key?, kind, executor?, agent?, params?, depends_on?,
--  priority?, run_at? | delay_seconds?, timeout_seconds?, max_retries?, cost_usd?, service?}]}
-- Steps run in their order; one that names `depends_on` waits for just those ([] = at once).

-- The steps of a template, in their order, with all that is implied written out.
create function ops.template_steps(p_template jsonb)
returns table ("position" integer, key text, kind text, executor text, agent text, params jsonb, depends_on text[], priority smallint, step jsonb)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select s.at::integer, coalesce(s.step ->> 'key', 'step-' || s.at), s.step ->> 'kind',
    coalesce(s.step ->> 'executor', split_part(s.step ->> 'kind', ':', 1)),
    coalesce(s.step ->> 'agent', nullif(split_part(s.step ->> 'kind', ':', 2), ''), p_template ->> 'agent'),
    coalesce(s.step -> 'params', '{}'),
    case when jsonb_typeof(s.step -> 'depends_on') = 'array' then array(select jsonb_array_elements_text(s.step -> 'depends_on'))
      when s.at = 1 then '{}'
      else array[coalesce(p_template -> 'steps' -> (s.at - 2)::integer ->> 'key', 'step-' || s.at - 1)] end,
    coalesce((s.step -> 'priority')::smallint, (p_template -> 'priority')::smallint, 0::smallint), s.step
  from jsonb_array_elements(p_template -> 'steps') with ordinality s(step, at) order by s.at;
end
$$;

-- The first fault of a template as {JSON path, problem}, or null. Every proposal is read here: a level of the template is one
-- expression, which costs microseconds where a query for each field would cost hundreds.
create function ops.template_fault(p_template jsonb) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_steps jsonb := p_template -> 'steps';
  v_wrong text[];
  v_keys text[] := '{}';
  v_step jsonb;
begin
  if p_template is null or jsonb_typeof(p_template) <> 'object' then
    return array['', 'must be an object'];
  elsif p_template - array['title', 'description', 'risk_level', 'agent', 'priority', 'steps'] <> '{}' then
    return array[(select k from jsonb_object_keys(p_template - array['title', 'description', 'risk_level', 'agent', 'priority', 'steps']) k limit 1),
      'is not a field of a template; known fields: title, description, risk_level, agent, priority, steps'];
  end if;
  v_wrong := case
    when p_template -> 'title' is null then array['title', 'is required']
    when jsonb_typeof(p_template -> 'title') <> 'string' then array['title', 'must be a string']
    when length(p_template ->> 'title') not between 1 and 200 then array['title', 'must have 1 to 200 characters']
    when jsonb_typeof(p_template -> 'description') <> 'string' then array['description', 'must be a string']
    when length(p_template ->> 'description') > 4000 then array['description', 'must have 0 to 4000 characters']
    when jsonb_typeof(p_template -> 'risk_level') <> 'string' then array['risk_level', 'must be a string']
    when p_template ->> 'risk_level' not in ('low', 'medium', 'high', 'critical') then array['risk_level', 'must be low, medium, high or critical']
    when jsonb_typeof(p_template -> 'agent') <> 'string' then array['agent', 'must be a string']
    when length(p_template ->> 'agent') not between 1 and 100 then array['agent', 'must have 1 to 100 characters']
    when jsonb_typeof(p_template -> 'priority') <> 'number' then array['priority', 'must be an integer']
    when p_template ->> 'priority' like '%.%' then array['priority', 'must be a whole number']
    when (p_template -> 'priority')::numeric not between -100 and 100 then array['priority', 'must be between -100 and 100']
    when v_steps is null then array['steps', 'is required']
    when jsonb_typeof(v_steps) <> 'array' then array['steps', 'must be an array']
    when jsonb_array_length(v_steps) not between 1 and 100 then array['steps', 'must hold 1 to 100 steps']
  end;
  if v_wrong is not null then
    return v_wrong;
  end if;

  for v_at in 0 .. jsonb_array_length(v_steps) - 1 loop
    v_step := v_steps -> v_at;
    v_wrong := ops.step_fault(v_step, v_keys);
    if v_wrong is not null then
      return array[concat_ws('.', 'steps[' || v_at || ']', nullif(v_wrong[1], '')), v_wrong[2]];
    end if;
    v_keys := v_keys || coalesce(v_step ->> 'key', 'step-' || v_at + 1);
  end loop;
  return case when p_template::text ~ '"depends_on"|\{\{\s*steps\.' then ops.graph_fault(p_template) end;
end
$$;

-- The first fault of a step that comes after those with the keys given, as {field, problem}, or null.
create function ops.step_fault(p_step jsonb, p_keys text[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known text[] := '{key,kind,executor,agent,params,depends_on,priority,run_at,delay_seconds,timeout_seconds,max_retries,cost_usd,service}';
  v_key text := coalesce(p_step ->> 'key', 'step-' || array_length(p_keys, 1) + 1, 'step-1');
  v_wrong text[];
  v_run_at timestamptz;
begin
  if jsonb_typeof(p_step) <> 'object' then
    return array['', 'must be an object'];
  elsif p_step - v_known <> '{}' then
    return array[(select k from jsonb_object_keys(p_step - v_known) k limit 1),
      'is not a field of a step; known fields: ' || array_to_string(v_known, ', ')];
  end if;
  v_wrong := case
    when p_step -> 'kind' is null then array['kind', 'is required']
    when jsonb_typeof(p_step -> 'key') <> 'string' then array['key', 'must be a string']
    when length(p_step ->> 'key') not between 1 and 64 then array['key', 'must have 1 to 64 characters']
    when jsonb_typeof(p_step -> 'kind') <> 'string' then array['kind', 'must be a string']
    when length(p_step ->> 'kind') not between 1 and 100 then array['kind', 'must have 1 to 100 characters']
    when p_step ->> 'kind' !~ '^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$' then array['kind', 'must look like "executor" or "executor:agent"']
    when jsonb_typeof(p_step -> 'params') <> 'object' then array['params', 'must be an object']
    when p_step ->> 'key' !~ '^[A-Za-z0-9_-]+$' then array['key', 'must be letters, digits, "_" or "-"']
    when v_key = any (p_keys) then array['key', format('"%s" is the key of an earlier step', v_key)]
  end;
  if v_wrong is not null or p_step - array['kind', 'key', 'params'] = '{}' then
    return v_wrong;
  end if;
  v_wrong := case
    when jsonb_typeof(p_step -> 'executor') <> 'string' then array['executor', 'must be a string']
    when length(p_step ->> 'executor') not between 1 and 64 then array['executor', 'must have 1 to 64 characters']
    when p_step ->> 'executor' !~ '^[A-Za-z0-9_.-]+$' then array['executor', 'must be letters, digits, "_", "." or "-"']
    when jsonb_typeof(p_step -> 'agent') <> 'string' then array['agent', 'must be a string']
    when length(p_step ->> 'agent') not between 1 and 100 then array['agent', 'must have 1 to 100 characters']
    when jsonb_typeof(p_step -> 'depends_on') <> 'array' then array['depends_on', 'must be an array']
    when jsonb_typeof(p_step -> 'priority') <> 'number' then array['priority', 'must be an integer']
    when p_step ->> 'priority' like '%.%' then array['priority', 'must be a whole number']
    when (p_step -> 'priority')::numeric not between -100 and 100 then array['priority', 'must be between -100 and 100']
    when jsonb_typeof(p_step -> 'delay_seconds') <> 'number' then array['delay_seconds', 'must be an integer']
    when p_step ->> 'delay_seconds' like '%.%' then array['delay_seconds', 'must be a whole number']
    when (p_step -> 'delay_seconds')::numeric not between 0 and 31536000 then array['delay_seconds', 'must be between 0 and 31536000']
    when jsonb_typeof(p_step -> 'timeout_seconds') <> 'number' then array['timeout_seconds', 'must be an integer']
    when p_step ->> 'timeout_seconds' like '%.%' then array['timeout_seconds', 'must be a whole number']
    when (p_step -> 'timeout_seconds')::numeric not between 1 and 86400 then array['timeout_seconds', 'must be between 1 and 86400']
    when jsonb_typeof(p_step -> 'max_retries') <> 'number' then array['max_retries', 'must be an integer']
    when p_step ->> 'max_retries' like '%.%' then array['max_retries', 'must be a whole number']
    when (p_step -> 'max_retries')::numeric not between 0 and 100 then array['max_retries', 'must be between 0 and 100']
    when jsonb_typeof(p_step -> 'cost_usd') <> 'number' then array['cost_usd', 'must be a number']
    when (p_step -> 'cost_usd')::numeric not between 0 and 1000000 then array['cost_usd', 'must be between 0 and 1000000']
    when jsonb_typeof(p_step -> 'service') <> 'string' then array['service', 'must be a string']
    when p_step ->> 'service' !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$'
      then array['service', 'must be the name of a service: 1 to 100 letters, digits, "_", "." or "-"']
    when p_step ?& array['run_at', 'delay_seconds'] then array['delay_seconds', 'cannot stand beside run_at']
    when jsonb_typeof(p_step -> 'run_at') <> 'string' then array['run_at', 'must be a string']
    when p_step ->> 'run_at' !~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)$'
      then array['run_at', 'must be a time with its zone, such as "2026-01-31T09:00:00Z"']
  end;
  if v_wrong is null and p_step ? 'run_at' then
    begin
      v_run_at := (p_step ->> 'run_at')::timestamptz;
    exception when data_exception then
      return array['run_at', 'must be a time with its zone, such as "2026-01-31T09:00:00Z"'];
    end;
  end if;
  return v_wrong;
end
$$;

-- Dependencies: known, not circular; and `{{steps.<key>…}}` only from steps that are done before.
create function ops.graph_fault(p_template jsonb) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  path text;
  problem text;
  v_before jsonb := '{}'; -- key → {every key that is done before it: true}
  v_row record;
  v_left integer;
  v_done integer;
begin
  select format('steps[%s].depends_on', s.ordinality - 1), 'must list step keys' into path, problem
  from jsonb_array_elements(p_template -> 'steps') with ordinality s
  where jsonb_path_exists(s.value, '$.depends_on[*] ? (@.type() != "string")')
  order by s.ordinality limit 1;
  if problem is not null then return array[path, problem]; end if;
  select format('steps[%s].depends_on', s."position" - 1), format('names "%s", which is no step of this template', d)
    into path, problem
  from ops.template_steps(p_template) s, unnest(s.depends_on) d
  where not exists (select from ops.template_steps(p_template) o where o.key = d)
  order by s."position" limit 1;
  if problem is not null then return array[path, problem]; end if;

  loop
    v_done := 0;
    for v_row in
      select s.key, s.depends_on from ops.template_steps(p_template) s
      where not v_before ? s.key and v_before ?& s.depends_on
    loop
      select v_before || jsonb_build_object(v_row.key, coalesce(
          (select jsonb_object_agg(k, true) from (
             select d as k from unnest(v_row.depends_on) d
             union select jsonb_object_keys(v_before -> d) from unnest(v_row.depends_on) d) a), '{}'))
        into v_before;
      v_done := v_done + 1;
    end loop;
    exit when v_done = 0;
  end loop;
  select count(*), min(format('steps[%s].depends_on', s."position" - 1)) into v_left, path
  from ops.template_steps(p_template) s where not v_before ? s.key;
  if v_left > 0 then
    return array[path, 'is part of a circle: these steps wait for each other'];
  end if;

  select format('steps[%s].params', s."position" - 1),
      format('uses the result of "%s", which is not done before this step', m.match[1])
    into path, problem
  from ops.template_steps(p_template) s,
    lateral (select regexp_matches(s.params::text, '\{\{\s*steps\.([A-Za-z0-9_-]+)', 'g') as match) m
  where not (v_before -> s.key) ? (m.match[1])
  order by s."position" limit 1;
  return case when problem is not null then array[path, problem] end;
end
$$;

-- What approving binds to: the SHA-256 of the template in jsonb's canonical text.
create function ops.template_digest(p_template jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return encode(sha256(convert_to(p_template::text, 'UTF8')), 'hex');
end
$$;

-- The distinct kinds of a template's steps.
create function public.ops_extract_step_kinds(p_template jsonb) returns text[]
language plpgsql immutable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(array_agg(distinct s ->> 'kind'), '{}')
  from jsonb_array_elements(case when jsonb_typeof(p_template -> 'steps') = 'array' then p_template -> 'steps' else '[]' end) s
  where s ->> 'kind' is not null);
end
$$;

-- 51_auto_approve.sql ---------------------------------------------------------------------------------------

-- Auto-approval: what may run without a person, by policy `auto_approve`. It says why not, so that whoever must decide knows what to look at.

create function ops.risk_rank(p_level text) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_position(array['low', 'medium', 'high', 'critical'], coalesce(p_level, 'medium'));
end
$$;

-- Why policy `auto_approve` does not let the template run without a person, or null when it does: it is enabled, the risk is not
-- above `max_risk_level` and every step kind is listed (no list allows all; `kind:agent` lists one agent's steps of a kind). A
-- step that names an executor or agent of its own needs that listed too: what it calls itself opens no door. A missing or
-- disabled policy denies; a template without a risk level counts as medium.
create function ops.auto_approve_obstacle(p_template jsonb, p_policy jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowed jsonb := p_policy -> 'allowed_step_kinds';
  v_step jsonb;
  v_agent text;
  v_name text;
begin
  if p_policy is null then
    return 'there is no policy auto_approve';
  elsif not coalesce((p_policy -> 'enabled')::boolean, false) then
    return 'policy auto_approve is not enabled';
  elsif jsonb_typeof(p_template -> 'steps') is distinct from 'array' then
    return 'the template has no steps';
  elsif p_policy ? 'max_risk_level'
    and coalesce(ops.risk_rank(p_template ->> 'risk_level'), 99) > ops.risk_rank(p_policy ->> 'max_risk_level')
  then
    return format('risk "%s" is above "%s", the highest that policy auto_approve admits',
      coalesce(p_template ->> 'risk_level', 'medium'), p_policy ->> 'max_risk_level');
  elsif v_allowed is null then
    return null;
  end if;
  for v_at in 0 .. jsonb_array_length(p_template -> 'steps') - 1 loop
    v_step := p_template -> 'steps' -> v_at;
    v_agent := coalesce(v_step ->> 'agent', nullif(split_part(v_step ->> 'kind', ':', 2), ''), p_template ->> 'agent');
    foreach v_name in array array_remove(array[split_part(v_step ->> 'kind', ':', 1), v_step ->> 'executor'], null) loop
      if not v_allowed ?| array[v_name, v_name || ':' || coalesce(v_agent, '')] then
        return format('step kind "%s" is not among those that policy auto_approve admits', concat_ws(':', v_name, v_agent));
      end if;
    end loop;
  end loop;
  return null;
end
$$;

-- Why a person must decide on the template at this moment, or null.
create function ops.approval_obstacle(p_template jsonb, p_policies jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when coalesce((p_policies #> '{control,pause,approvals}')::boolean, false) then 'approvals are paused by the control switch'
    else ops.auto_approve_obstacle(p_template, p_policies -> 'auto_approve') end;
end
$$;

-- The same for all proposals of a shape. The engine's own canary runs whatever the policy admits.
create function ops.shape_obstacle(p_source text, p_template jsonb, p_policies jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return ops.approval_obstacle(p_template, case when p_source = 'canary' then p_policies || '{"auto_approve": {"enabled": true}}' else p_policies end);
end
$$;

-- True when policy `auto_approve` lets the template run without a person.
create function public.ops_is_auto_approvable(p_template jsonb) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return ops.auto_approve_obstacle(p_template, ops.policy('auto_approve')) is null;
end
$$;

-- 52_caps.sql -----------------------------------------------------------------------------------------------

-- Caps: what a proposal takes from the day's counters, which limits stand beside them, and how it is told where there is no room.
-- How it is counted: 53_cap_counters.sql.

-- The day that caps count in, in the policy's time zone.
create function ops.cap_day(p_time_zone text default ops.policy('proposal_caps') ->> 'time_zone') returns date
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  return (ops.now() at time zone coalesce(p_time_zone, 'UTC'))::date;
end
$$;

-- What a proposal takes from one counter, beside the limit in force (null: none).
create type ops.cap_unit as (scope text, name text, units integer, usd numeric, max_units integer, max_usd numeric);

-- All that a proposal takes, in the order of scope and name. A step counts under its kind and, where it names another, under its
-- executor; agents of a kind count together.
create function ops.cap_units(p_source text, p_pattern_id text, p_template jsonb,
  p_caps jsonb default coalesce(ops.policy('proposal_caps'), '{}')) returns ops.cap_unit[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_agent text := p_template ->> 'agent';
  v_step jsonb := p_template #> '{steps,0}';
  v_kind text := split_part(v_step ->> 'kind', ':', 1);
  v_usd numeric := 0;
  v_units ops.cap_unit[];
begin
  if jsonb_array_length(p_template -> 'steps') = 1 and not v_step ? 'executor' then
    -- Most templates: what one expression says needs no query.
    if v_step ? 'cost_usd' then
      v_usd := (v_step -> 'cost_usd')::numeric;
    end if;
    v_units := array[
      row('daily', '', 1, round(v_usd, 6), p_caps ->> 'daily_limit', p_caps ->> 'daily_budget_usd')::ops.cap_unit,
      row('source', p_source, 1, 0,
        coalesce(p_caps #>> array['per_source', p_source], p_caps #>> array['per_source_limits', p_source]), null)::ops.cap_unit,
      row('step_kind', v_kind, 1, 0, p_caps #>> array['per_step_kind', v_kind], null)::ops.cap_unit];
  else
    select coalesce(sum((s -> 'cost_usd')::numeric), 0) into v_usd from jsonb_array_elements(p_template -> 'steps') s;
    v_units := array[
      row('daily', '', 1, round(v_usd, 6), p_caps ->> 'daily_limit', p_caps ->> 'daily_budget_usd')::ops.cap_unit,
      row('source', p_source, 1, 0,
        coalesce(p_caps #>> array['per_source', p_source], p_caps #>> array['per_source_limits', p_source]), null)::ops.cap_unit]
      || array(
        select row('step_kind', k.kind, count(*), 0, p_caps #>> array['per_step_kind', k.kind], null)::ops.cap_unit
        from jsonb_array_elements(p_template -> 'steps') s,
          unnest(array[split_part(s ->> 'kind', ':', 1), nullif(s ->> 'executor', split_part(s ->> 'kind', ':', 1))]) k(kind)
        where k.kind is not null group by k.kind order by k.kind);
  end if;
  if p_pattern_id is not null then
    v_units := v_units[:1] || row('pattern', p_pattern_id, 1, 0, p_caps #>> array['per_pattern', p_pattern_id], null)::ops.cap_unit || v_units[2:];
  end if;
  if v_agent is not null then
    v_units := row('agent', v_agent, 1, 0, p_caps #>> array['per_agent', v_agent], null)::ops.cap_unit || v_units;
  end if;
  return v_units;
end
$$;

-- The first cap that has no room for p_units, as a verdict; null when there is room under all of them. Reads only.
-- p_held: the units are counted already, so the question is whether the count still fits.
create function ops.cap_verdict(p_day date, p_units ops.cap_unit[], p_held boolean default false) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_unit record;
  v_over_units boolean;
  v_over_usd boolean;
begin
  for v_unit in
    select u.*, coalesce(c.used, 0) as used, coalesce(c.used_usd, 0.000000) as used_usd
    from unnest(p_units) with ordinality u
    cross join lateral (select sum(s.used) as used, sum(s.used_usd) as used_usd from ops.cap_stripes s
      where s.day = p_day and s.scope = u.scope and s.name = u.name) c
    where u.max_units is not null or u.max_usd is not null
    order by u.ordinality
  loop
    v_over_units := v_unit.used + (case when p_held then 0 else v_unit.units end) > v_unit.max_units;
    v_over_usd := v_unit.usd > 0 and v_unit.used_usd + (case when p_held then 0 else v_unit.usd end) > v_unit.max_usd;
    if v_over_units or v_over_usd then
      return jsonb_strip_nulls(jsonb_build_object(
        'code', case when v_over_units then 'cap_' || v_unit.scope else 'budget' end,
        'name', nullif(v_unit.name, ''),
        'used', case when v_over_units then v_unit.used else v_unit.used_usd end,
        'wanted', case when v_over_units then v_unit.units else v_unit.usd end,
        'limit', case when v_over_units then v_unit.max_units else v_unit.max_usd end,
        'day', p_day,
        'time_zone', coalesce(ops.policy('proposal_caps') ->> 'time_zone', 'UTC')));
    end if;
  end loop;
  return null;
end
$$;

create function ops.verdict_reason(p_verdict jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case p_verdict ->> 'code'
    when 'depth' then format('loop guard: %s missions deep, at most %s are allowed', p_verdict ->> 'depth', p_verdict ->> 'limit')
    when 'missions_per_root_event' then format('loop guard: the chain of one event has started %s missions, at most %s are allowed',
      p_verdict ->> 'used', p_verdict ->> 'limit')
    when 'budget' then format('daily budget: $%s of $%s used on %s (%s), this needs $%s',
      p_verdict ->> 'used', p_verdict ->> 'limit', p_verdict ->> 'day', p_verdict ->> 'time_zone', p_verdict ->> 'wanted')
    else format('%s: %s of %s used on %s (%s), this needs %s',
      case when p_verdict ->> 'code' = 'cap_daily' then 'daily limit'
        else format('limit for %s "%s"', replace(substr(p_verdict ->> 'code', 5), '_', ' '), p_verdict ->> 'name') end,
      p_verdict ->> 'used', p_verdict ->> 'limit', p_verdict ->> 'day', p_verdict ->> 'time_zone', p_verdict ->> 'wanted')
  end;
end
$$;

-- Today's counters beside the limits in force, also limits that nothing has used yet.
create function public.ops_cap_usage()
returns table (day date, scope text, name text, used integer, max_units integer, used_usd numeric, max_usd numeric)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with today as (select ops.cap_day() as day),
  caps as (select coalesce(ops.policy('proposal_caps'), '{}') as p),
  limits as (
    select 'daily' as scope, '' as name, (p ->> 'daily_limit')::integer as max_units, (p ->> 'daily_budget_usd')::numeric as max_usd from caps
    union all
    select l.scope, e.key, e.value::integer, null
    from caps, (values ('source', 'per_source'), ('source', 'per_source_limits'), ('agent', 'per_agent'), ('step_kind', 'per_step_kind'),
      ('pattern', 'per_pattern')) l(scope, field), jsonb_each_text(coalesce(p -> l.field, '{}')) e
    where l.field <> 'per_source_limits' or (p -> 'per_source' ? e.key) is not true
  ),
  counted as (select * from ops.cap_counters where day = (select day from today))
  select today.day, coalesce(c.scope, l.scope), coalesce(c.name, l.name), coalesce(c.used, 0), l.max_units, coalesce(c.used_usd, 0), l.max_usd
  from today, counted c full join limits l on l.scope = c.scope and l.name = c.name
  order by 2, 3
$$;

-- 53_cap_counters.sql ---------------------------------------------------------------------------------------

-- The counters of caps, and whether there is room.
--
-- A counter counts for a day of the policy's time zone, in a scope, under a name. It has up to 16 rows, its stripes; a session counts in
-- the same stripe of all its counters. Of what is left under a limit each stripe is dealt a share, its room, so what all stripes together
-- may still give away is never more than that:
--
--   sum(used) + sum(room) <= limit        or no stripe has room
--
-- Proposals, one or a batch, count in their session's stripe if that has room for all of them in all of their counters, and meet only those
-- who share the stripe. Whoever finds no room there, and whoever comes from reactions, locks the whole day: all stripes of the day's own
-- counter, in their order. As everybody takes one of them before any other counter, no gate is open then; what is used is the exact sum,
-- and what is left is dealt anew. The limits stand beside the shares, so that shares of other limits than those in force count for nothing.
--
-- So no cap is ever exceeded however many gates stand open at once, and far from the caps they do not wait for each other. Nobody asks
-- for the whole day while holding one stripe: two of those would wait for each other for ever.

-- What was counted, beside the limits in force: the numbers of a verdict that found room.
create function ops.caps_counted(p_day date, p_units ops.cap_unit[]) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object(
    'day', p_day,
    'time_zone', coalesce(ops.policy('proposal_caps') ->> 'time_zone', 'UTC'),
    'counted', (
      select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
          'scope', u.scope, 'name', nullif(u.name, ''), 'used', coalesce(c.used, 0), 'limit', u.max_units,
          'used_usd', case when u.max_usd is not null then coalesce(c.used_usd, 0.000000) end, 'limit_usd', u.max_usd)) order by u.ordinality), '[]')
      from unnest(p_units) with ordinality u
      cross join lateral (select sum(s.used) as used, sum(s.used_usd) as used_usd from ops.cap_stripes s
        where s.day = p_day and s.scope = u.scope and s.name = u.name) c
      where u.max_units is not null or u.max_usd is not null));
end
$$;

-- The stripe that this session counts in. Sessions that were opened together have different ones.
create function ops.cap_stripe() returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return pg_backend_pid() % 16;
end
$$;

-- Counts in the stripe of this session: in all counters, or in none and null, when one of them has no room there.
-- Answers, as JSON text, what the counters with a limit then say. The day's own counter comes first, before all others; it alone counts money.
create function ops.count_in_stripe(p_day date, p_units ops.cap_unit[]) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
as $$
declare
  v_stripe integer := pg_backend_pid() % 16; -- ops.cap_stripe(), without the call
  v_unit ops.cap_unit;
  v_counters integer;
  v_used bigint;
  v_used_usd numeric;
  v_counted text := '';
begin
  begin
    -- The day's own row is locked before any other is looked at: the others are found by the stripe that this lock answers.
    update ops.cap_stripes c set used = c.used + u.units, used_usd = c.used_usd + u.usd, room = c.room - u.units, room_usd = c.room_usd - u.usd
    from unnest(p_units) u
    where c.stripe = (select s.stripe from ops.cap_stripes s
        where s.day = p_day and s.scope = 'daily' and s.name = '' and s.stripe = v_stripe for no key update)
      and c.day = p_day and c.scope = u.scope and c.name = u.name
      and c.max_units is not distinct from u.max_units and c.max_usd is not distinct from u.max_usd
      and (c.room >= u.units) is not false and (u.usd = 0 or c.room_usd >= u.usd) is not false;
    get diagnostics v_counters = row_count;
    if v_counters is distinct from array_length(p_units, 1) then
      raise exception using errcode = 'OPCAP'; -- lets go of the stripe
    end if;
  exception when sqlstate 'OPCAP' then
    return null;
  end;
  -- Read when all is counted: nobody deals anew as long as this stripe is held, so no sum is above its limit.
  foreach v_unit in array p_units loop
    continue when v_unit.max_units is null and v_unit.max_usd is null;
    select sum(s.used), sum(s.used_usd) into v_used, v_used_usd from ops.cap_stripes s
    where s.day = p_day and s.scope = v_unit.scope and s.name = v_unit.name;
    v_counted := concat(v_counted, case when v_counted <> '' then ', ' end, '{"scope": "', v_unit.scope, '", ',
      '"name": ' || to_json(nullif(v_unit.name, '')) || ', ', '"used": ', v_used,
      ', "limit": ' || v_unit.max_units, format(', "used_usd": %s, "limit_usd": ', v_used_usd) || v_unit.max_usd, '}');
  end loop;
  return v_counted;
end
$$;

-- Locks a whole day and makes what is missing of it; of a day whose counters have been tidied away nothing is made. Whoever holds one of
-- its stripes must not ask for this.
create function ops.lock_caps(p_day date) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_locked integer;
begin
  loop
    perform from ops.cap_stripes c where c.day = p_day and c.scope = 'daily' and c.name = '' order by c.stripe for no key update;
    get diagnostics v_locked = row_count;
    exit when v_locked = 16 or p_day < ops.oldest_cap_day();
    insert into ops.cap_stripes (day, scope, name, stripe) select p_day, 'daily', '', n from generate_series(0, 15) n on conflict do nothing;
  end loop;
end
$$;

-- Counts what fits, and deals out anew where this session's stripe has no share that is large enough; where there is no limit, none is
-- needed. A stripe that comes to a counter takes shares of another limit from the others: they would be good again when that limit is in
-- force again, and know nothing of what was counted here. The day is locked.
create function ops.count_caps(p_day date, p_units ops.cap_unit[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe integer := ops.cap_stripe();
  v_short ops.cap_unit[] := array(
    select u from unnest(p_units) u
    left join ops.cap_stripes c on c.day = p_day and c.scope = u.scope and c.name = u.name and c.stripe = v_stripe
    where c.max_units is distinct from u.max_units or c.max_usd is distinct from u.max_usd
      or c.room < u.units or (u.usd > 0 and c.room_usd < u.usd)
      or (c.stripe is null and exists (
        select from ops.cap_stripes o
        where o.day = p_day and o.scope = u.scope and o.name = u.name
          and (o.max_units is distinct from u.max_units or o.max_usd is distinct from u.max_usd))));
begin
  insert into ops.cap_stripes as c (day, scope, name, stripe, used, used_usd)
  select p_day, u.scope, u.name, v_stripe, u.units, u.usd from unnest(p_units) u
  on conflict (day, scope, name, stripe) do update set used = c.used + excluded.used, used_usd = c.used_usd + excluded.used_usd,
    room = case when c.room is not null then greatest(c.room - excluded.used, 0) end,
    room_usd = case when c.room_usd is not null then greatest(c.room_usd - excluded.used_usd, 0) end;
  if v_short <> '{}' then
    perform ops.deal_caps(p_day, v_short);
  end if;
end
$$;

-- Deals what is left under limits to the stripes of their counters, in equal shares. The day is locked, so that the rows that were read are
-- those that are changed: found where they stand, each costs the same however many there are.
create function ops.deal_caps(p_day date, p_units ops.cap_unit[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update ops.cap_stripes c
  set max_units = d.max_units, max_usd = d.max_usd, room_usd = trunc(d.left_usd / d.stripes, 6),
    room = d.left_units / d.stripes + case when d.at <= d.left_units % d.stripes then 1 else 0 end
  from (
    select s.ctid as row, u.max_units, u.max_usd, count(*) over counter as stripes, row_number() over (counter order by s.stripe) as at,
      case when u.max_units is not null then greatest(u.max_units - sum(s.used) over counter, 0) end as left_units,
      case when u.max_usd is not null then greatest(u.max_usd - sum(s.used_usd) over counter, 0) end as left_usd
    from unnest(p_units) u join ops.cap_stripes s on s.day = p_day and s.scope = u.scope and s.name = u.name
    window counter as (partition by u.scope, u.name)) d
  where c.ctid = d.row;
end
$$;

-- Takes a place under every cap, or none; returns the verdict of the cap that has no room, or null. The day is locked.
create function ops.take_caps(p_day date, p_units ops.cap_unit[]) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_verdict jsonb := ops.cap_verdict(p_day, p_units);
begin
  if v_verdict is null then
    perform ops.count_caps(p_day, p_units);
  end if;
  return v_verdict;
end
$$;

-- Gives back what a proposal had taken. The shares stay as they were dealt; whoever finds none large enough deals anew. The day is locked.
create function ops.give_back_caps(p_day date, p_units ops.cap_unit[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update ops.cap_stripes c set used = c.used - u.units, used_usd = c.used_usd - u.usd
  from unnest(p_units) u
  where c.day = p_day and c.scope = u.scope and c.name = u.name and c.stripe = (
    select min(s.stripe) from ops.cap_stripes s where s.day = p_day and s.scope = u.scope and s.name = u.name);
end
$$;

-- Corrects a day's money by what work cost more, or less, than was reserved for it. Costs are counted whatever the budget is. The whole day is
-- locked, also to give back: one call may settle several times, and must not ask for the day while it holds a stripe.
create function ops.settle_usd(p_day date, p_usd numeric) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform ops.lock_caps(p_day);
  update ops.cap_stripes c set used_usd = c.used_usd + p_usd
  where c.day = p_day and c.scope = 'daily' and c.name = '' and c.stripe = 0;
  if p_usd > 0 then
    perform ops.deal_caps(p_day, array(
      select row('daily', '', 0, 0, c.max_units, c.max_usd)::ops.cap_unit from ops.cap_stripes c
      where c.day = p_day and c.scope = 'daily' and c.name = '' and c.stripe = 0));
  end if;
end
$$;

-- 54_canary_template.sql ------------------------------------------------------------------------------------

-- What a canary runs: known here so that the gate can tell the engine's own mission from one that borrows its name.

create function ops.canary_template() returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return '{"title": "Synthetic canary", "risk_level": "low", "steps": [{"kind": "noop:canary", "max_retries": 1, "timeout_seconds": 60}]}';
end
$$;

-- True for the engine's own canary; anything else that calls its source so is refused.
create function ops.is_canary(p_pattern_id text, p_template jsonb) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(p_pattern_id = 'ops:canary' and p_template = ops.canary_template(), false);
end
$$;

-- 54_gate_items.sql -----------------------------------------------------------------------------------------

-- What comes to the gate and what it answers. Items are judged by their shape: where they come from, and all of their template but its words.

-- What comes to the gate. `n` numbers the items of a batch; `id` is the proposal's, should it become one. Shape and digest are
-- found out at the gate.
create type ops.gate_item as (
  n integer, id uuid, template jsonb, source text, dedupe_key text, dedupe_minutes numeric, idempotency_key text, proposed_by text,
  reaction_id uuid, pattern_id text, root_event_id uuid, depth integer, shape integer, digest text);

-- What items have in common: where they come from, and all of their templates but titles, descriptions and params. What they take
-- and why a person must decide follow from it, so they are worked out once for all items of a shape.
create type ops.gate_shape as (shape integer, template jsonb, obstacle text, units ops.cap_unit[]);

-- What an item is answered: its own proposal or another.
create type ops.gate_outcome as (n integer, proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb);

-- A proposal as the entry functions answer it.
create type ops.gate_answer as (proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb);

create function ops.gate_answer_of(p_proposal_id uuid, p_code text default null, p_reason text default null) returns ops.gate_answer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer ops.gate_answer;
begin
  select p.id, p.status::text, m.id, coalesce(p_reason, p.reason), coalesce(p_code, p.code), p.verdict into v_answer
  from public.ops_mission_proposals p left join public.ops_missions m on m.proposal_id = p.id
  where p.id = p_proposal_id;
  return v_answer;
end
$$;

-- What is wrong with an item, as {"code", "path", "message"}, or null.
create function ops.item_problem(p_item ops.gate_item) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wrong text[];
begin
  if p_item.dedupe_minutes = 'NaN' then
    return '{"code": "OPS_011", "path": "dedupe_minutes", "message": "dedupe_minutes must be a number"}';
  end if;
  -- Most templates have just these fields, and then this says that they are valid, at a part of what it costs to read them. One path
  -- instead of as many expressions: each of those would be set up anew for every call.
  if (case when p_item.template @@ '$.type() == "object" && $.title.type() == "string" && $.title != ""
      && (!exists($.risk_level) || $.risk_level.type() == "string"
        && ($.risk_level == "low" || $.risk_level == "medium" || $.risk_level == "high" || $.risk_level == "critical"))
      && $.steps.type() == "array" && $.steps.size() == 1 && $.steps[0].type() == "object"
      && $.steps[0].kind.type() == "string" && $.steps[0].kind like_regex "^[A-Za-z0-9_.-]+$"
      && (!exists($.steps[0].params) || $.steps[0].params.type() == "object")'
    then p_item.template - '{title,risk_level,steps}'::text[] = '{}' and (p_item.template #> '{steps,0}') - '{kind,params}'::text[] = '{}'
      and length(p_item.template ->> 'title') <= 200 and length(p_item.template #>> '{steps,0,kind}') <= 100
      and strpos(p_item.template::text, '{{') = 0 end) is not true
  then
    v_wrong := ops.template_fault(p_item.template);
  end if;
  if v_wrong is not null then
    return jsonb_build_object('code', 'OPS_004', 'path', v_wrong[1],
      'message', format('template: %s %s', coalesce(nullif(v_wrong[1], ''), 'it'), v_wrong[2]));
  end if;
  if p_item.source ~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$' and p_item.source <> 'canary'
    and num_nonnulls(p_item.dedupe_key, p_item.dedupe_minutes, p_item.idempotency_key, p_item.proposed_by) = 0
  then
    return null; -- most items come with nothing else
  end if;
  v_wrong := case
    when p_item.source is null or p_item.source !~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$'
      then array['source', 'source must be 1 to 100 letters, digits, "_", ".", ":" or "-"']
    when p_item.source = 'canary' and not ops.is_canary(p_item.pattern_id, p_item.template)
      then array['source', 'source "canary" belongs to the engine''s own canary; choose another']
    when length(p_item.dedupe_key) not between 1 and 500 then array['dedupe_key', 'dedupe_key must have 1 to 500 characters']
    when p_item.dedupe_minutes not between 0 and 525600
      then array['dedupe_minutes', 'dedupe_minutes must be between 0 and 525600, a year']
    when length(p_item.idempotency_key) not between 1 and 500 then array['idempotency_key', 'idempotency_key must have 1 to 500 characters']
    when length(p_item.proposed_by) not between 1 and 200 then array['proposed_by', 'proposed_by must have 1 to 200 characters']
  end;
  if v_wrong is not null then
    return jsonb_build_object('code', 'OPS_011', 'path', v_wrong[1], 'message', v_wrong[2]);
  end if;
  return null;
end
$$;

-- What is left of a template without its title, description and its steps' params.
create function ops.template_core(p_template jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_core jsonb := p_template;
begin
  if jsonb_typeof(p_template) = 'object' then
    v_core := p_template - array['title', 'description'];
    if jsonb_typeof(p_template -> 'steps') = 'array' then
      for v_at in 0 .. least(jsonb_array_length(p_template -> 'steps'), 100) - 1 loop
        continue when jsonb_typeof(p_template -> 'steps' -> v_at) = 'array'; -- has no field that could be taken away
        v_core := v_core #- array['steps', v_at::text, 'params'];
      end loop;
    end if;
  end if;
  return v_core;
end
$$;

-- The values of the policies that decide at the gate, by key, and under `snapshot` the versions of all that bear on a mission.
create function ops.gate_policies() returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_bitmapscan = off
as $$
begin
  return (select coalesce(jsonb_object_agg(key, value) filter (where key in ('auto_approve', 'proposal_caps', 'control', 'approvals')), '{}')
      || jsonb_build_object('snapshot', coalesce(jsonb_object_agg(key, version), '{}'))
    from public.ops_policy where key in ('auto_approve', 'proposal_caps', 'worker_policy', 'control', 'approvals', 'agent_roles'));
end
$$;

-- Which versions of the policies decided.
create function ops.policy_snapshot() returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return ops.gate_policies() -> 'snapshot';
end
$$;

-- 55_gate.sql -----------------------------------------------------------------------------------------------

-- The gate: the one place where a proposal is admitted, held for approval or rejected.
--
-- validate → dedupe → loop guard → caps → auto-approve or pending. Each verdict is a row with a code, a reason in words
-- and the numbers compared. A rejection uses up nothing. A held proposal keeps its place under the caps until it is
-- rejected or expires; approving it on a later day takes a place of that day.
--
-- Many proposals pass as they would one by one, in their order, but in few statements: as long as all of them fit, or none of
-- them does, their order makes no difference. A batch of which neither is true, or whose items share a key, is cut in two.
--
-- Codes: auto_approved, pending_approval, duplicate, depth, missions_per_root_event, cap_daily, cap_source, cap_agent,
-- cap_step_kind, cap_pattern, budget, canary (the engine's own, which no cap and no rule holds); later approved, rejected, expired.
--
-- Beside it: one proposal by itself (55_gate_one.sql), dedupe keys (55_gate_keys.sql), what becomes of items that were admitted or turned
-- away (55_gate_admission.sql), and the verdicts of a batch (55_gate_verdicts.sql).

-- Items through the gate, in their order. Whoever calls has locked their keys (ops.lock_keys). What is not valid is answered with
-- status `invalid`, code and reason, and where in `verdict`.
create function ops.pass_gate(p_items ops.gate_item[]) returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policies jsonb;
  v_items ops.gate_item[];
  v_shapes ops.gate_shape[];
  v_problems jsonb[];
begin
  if array_length(p_items, 1) = 1 and p_items[1].reaction_id is null then
    return array(select row(p_items[1].n, a.proposal_id, a.status, a.mission_id, a.reason, a.code, a.verdict)::ops.gate_outcome
      from ops.pass_one(p_items[1]) a);
  end if;
  v_policies := ops.gate_policies();
  -- What is plainly valid, in a shape that is valid, has no problem; anything else is read as a whole.
  with item as materialized (
    select i.*, t.body,
      case when t.is_one_step then (i.template - array['title', 'description']) #- array['steps', '0', 'params']
        else ops.template_core(i.template) end as core,
      jsonb_typeof(i.template -> 'title') = 'string' and t.title_length between 1 and 200
        and (i.template -> 'description' is null
          or (jsonb_typeof(i.template -> 'description') = 'string' and length(i.template ->> 'description') <= 4000))
        and case when t.is_one_step then coalesce(jsonb_typeof(i.template #> array['steps', '0', 'params']) = 'object', true)
          else not jsonb_path_exists(i.template, '$.steps[*].params.type() ? (@ != "object")') end
        and (position('\x7b7b'::bytea in t.body) = 0 or i.template::text !~ '\{\{\s*steps\.') -- two braces
        and (num_nonnulls(i.dedupe_key, i.dedupe_minutes, i.idempotency_key, i.proposed_by) = 0
          or coalesce(length(i.dedupe_key) between 1 and 500, true) and coalesce(i.dedupe_minutes between 0 and 525600, true)
            and coalesce(length(i.idempotency_key) between 1 and 500, true) and coalesce(length(i.proposed_by) between 1 and 200, true)) as is_plain
    from unnest(p_items) i cross join lateral (
      select convert_to(i.template::text, 'UTF8') as body, length(i.template ->> 'title') as title_length,
        jsonb_typeof(i.template) = 'object' and jsonb_typeof(i.template -> 'steps') = 'array' and jsonb_array_length(i.template -> 'steps') = 1
          and jsonb_typeof(i.template #> array['steps', '0']) = 'object' as is_one_step
      offset 0) t
  ), found as materialized (
    select row_number() over ()::integer as shape, g.*
    from (select i.source, i.pattern_id, i.core, array_agg(i.n) as members from item i group by i.source, i.pattern_id, i.core) g
  ), shape as materialized (
    select f.*, j.is_valid, j.obstacle
    -- Patterns often want the same, and are then judged together.
    from (
      select v.shapes, v.is_valid, case when v.is_valid then ops.shape_obstacle(v.source, v.core, v_policies) end as obstacle
      from (
        select f.source, f.core, array_agg(f.shape) as shapes, ops.item_problem(row(1, null,
          case when jsonb_typeof(f.core) = 'object' then f.core || '{"title": "x"}' else f.core end,
          f.source, null, null, null, null, null, min(f.pattern_id), null, 0, null, null)) is null as is_valid
        from found f group by f.source, f.core, f.pattern_id = 'ops:canary' offset 0) v offset 0) j
      cross join unnest(j.shapes) u(shape) join found f on f.shape = u.shape
  ), shaped as materialized (
    select i.n, i.is_plain and m.is_valid as is_plain, row(i.n, i.id, i.template, i.source, i.dedupe_key, i.dedupe_minutes, i.idempotency_key,
      i.proposed_by, i.reaction_id, i.pattern_id, i.root_event_id, i.depth, m.shape, encode(sha256(i.body), 'hex'))::ops.gate_item as item
    from item i join (select s.shape, s.is_valid, u.n from shape s, unnest(s.members) u(n)) m on m.n = i.n
  )
  select i.items, i.problems, s.shapes into v_items, v_problems, v_shapes
  from (select array_agg(s.item order by s.n) as items, array_agg(case when s.is_plain then null else ops.item_problem(s.item) end order by s.n) as problems
      from shaped s) i,
    (select array_agg(row(s.shape, s.core, s.obstacle, case when s.is_valid then ops.cap_units(s.source, s.pattern_id, s.core,
        coalesce(v_policies -> 'proposal_caps', '{}')) end)::ops.gate_shape order by s.shape) as shapes from shape s) s;

  if array_remove(v_problems, null) = '{}' then
    return ops.decide(v_items, v_shapes, v_policies);
  end if;
  return array(
      select row(i.n, null, 'invalid', null, i.problem ->> 'message', i.problem ->> 'code', jsonb_build_object('path', i.problem ->> 'path'))::ops.gate_outcome
      from unnest(v_items, v_problems) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by, reaction_id,
        pattern_id, root_event_id, depth, shape, digest, problem) where i.problem is not null)
    || ops.decide(array(select v_items[at] from generate_subscripts(v_items, 1) at where v_problems[at] is null order by at), v_shapes, v_policies);
end
$$;

-- What becomes of items that are valid. p_in_parts: they are part of a batch, and count with the whole day locked: another part may have
-- to, and nobody asks for the day while holding a stripe.
create function ops.decide(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_policies jsonb, p_in_parts boolean default false)
returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known ops.gate_outcome[] := '{}';
  v_items ops.gate_item[] := p_items;
  v_has_keys boolean := (
    select bool_or(num_nonnulls(i.dedupe_key, i.idempotency_key, i.reaction_id) > 0) from unnest(p_items) i);
  v_day date;
  v_totals ops.cap_unit[];
  v_stops jsonb[];
begin
  if v_has_keys then
    v_known := ops.known_answers(p_items);
    if v_known <> '{}' then
      v_items := array(select i from unnest(p_items) i where i.n not in (select k.n from unnest(v_known) k));
    end if;
  end if;
  if coalesce(array_length(v_items, 1), 0) = 0 then
    return v_known;
  elsif v_has_keys and ops.share_keys(v_items) then
    return v_known || ops.decide_in_halves(v_items, p_shapes, p_policies);
  elsif v_has_keys and not ops.take_keys(v_items) then
    -- Work that was reopened took a key a moment ago.
    return v_known || ops.decide(v_items, p_shapes, p_policies, p_in_parts);
  end if;

  if v_has_keys and exists (select from unnest(v_items) i where i.source = 'canary') then
    return v_known
      || ops.admit(array(select i from unnest(v_items) i where i.source = 'canary'), p_shapes, '{}', null, p_policies)
      || ops.decide(array(select i from unnest(v_items) i where i.source <> 'canary'), p_shapes, p_policies, true);
  end if;
  v_day := ops.cap_day(p_policies #>> '{proposal_caps,time_zone}');
  v_totals := array(select row(u.scope, u.name, sum(u.units * i.items), sum(u.usd * i.items), max(u.max_units), max(u.max_usd))::ops.cap_unit
    from (select i.shape, count(*) as items from unnest(v_items) i group by i.shape) i, unnest((p_shapes[i.shape]).units) u
    group by u.scope, u.name);

  -- A batch comes from reactions or from clients.
  if not p_in_parts and v_items[1].reaction_id is null and ops.count_in_stripe(v_day, v_totals) is not null then
    return v_known || ops.admit(v_items, p_shapes, v_totals, v_day, p_policies);
  end if;
  perform ops.lock_caps(v_day);
  if ops.all_fit(v_items, v_totals, v_day, p_policies) then
    perform ops.count_caps(v_day, v_totals);
    return v_known || ops.admit(v_items, p_shapes, v_totals, v_day, p_policies);
  end if;
  v_stops := array(select ops.what_stops(i, (p_shapes[i.shape]).units, v_day, p_policies) from unnest(v_items) i);
  if array_position(v_stops, null) is not null then
    return v_known || ops.decide_in_halves(v_items, p_shapes, p_policies);
  end if;
  return v_known || ops.turn_away(v_items, v_stops, p_policies);
end
$$;

create function ops.decide_in_halves(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_policies jsonb) returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_half integer := array_length(p_items, 1) / 2;
begin
  return ops.decide(p_items[:v_half], p_shapes, p_policies, true) || ops.decide(p_items[v_half + 1:], p_shapes, p_policies, true);
end
$$;

-- True when there is room for all of the items together: under the loop guard and under every cap. The day is locked, and
-- the root events are from here on.
create function ops.all_fit(p_items ops.gate_item[], p_totals ops.cap_unit[], p_day date, p_policies jsonb) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_max_depth integer := coalesce((p_policies #> '{control,max_depth}')::integer, 8);
  v_max integer := coalesce((p_policies #> '{control,max_missions_per_root_event}')::integer, 50);
begin
  if exists (select from unnest(p_items) i where i.root_event_id is not null) then
    perform from ops.root_missions r where r.root_event_id = any (array(select i.root_event_id from unnest(p_items) i))
    order by r.root_event_id for no key update;
    if exists (select from unnest(p_items) i where i.root_event_id is not null and i.depth >= v_max_depth)
      or exists (
        select from unnest(p_items) i left join ops.root_missions r on r.root_event_id = i.root_event_id
        where i.root_event_id is not null group by i.root_event_id, r.missions having count(*) + coalesce(r.missions, 0) > v_max)
    then
      return false;
    end if;
  end if;
  return not exists (
    select from unnest(p_totals) t
    cross join lateral (select coalesce(sum(s.used), 0) as used, coalesce(sum(s.used_usd), 0.000000) as used_usd from ops.cap_stripes s
      where s.day = p_day and s.scope = t.scope and s.name = t.name) c
    where c.used + t.units > t.max_units or (t.usd > 0 and c.used_usd + t.usd > t.max_usd));
end
$$;

-- What stops an item if it came alone, as a verdict, or null.
create function ops.what_stops(p_item ops.gate_item, p_units ops.cap_unit[], p_day date, p_policies jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_max_depth integer := coalesce((p_policies #> '{control,max_depth}')::integer, 8);
  v_max integer := coalesce((p_policies #> '{control,max_missions_per_root_event}')::integer, 50);
begin
  if p_item.root_event_id is not null then
    if p_item.depth >= v_max_depth then
      return jsonb_build_object('code', 'depth', 'depth', p_item.depth, 'limit', v_max_depth);
    elsif v_max <= coalesce((select r.missions from ops.root_missions r where r.root_event_id = p_item.root_event_id), 0) then
      return jsonb_build_object('code', 'missions_per_root_event', 'used', v_max, 'limit', v_max);
    end if;
  end if;
  return ops.cap_verdict(p_day, p_units);
end
$$;

-- Counts missions against their root events. Two gates on both sides of midnight hold different counters; if they met at a new
-- root event, one of them starts again.
create function ops.count_roots(p_items ops.gate_item[], p_policies jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_max integer := coalesce((p_policies #> '{control,max_missions_per_root_event}')::integer, 50);
  v_wanted integer := (select count(distinct i.root_event_id) from unnest(p_items) i);
  v_counted integer;
begin
  if v_wanted = 0 then
    return;
  end if;
  insert into ops.root_missions as r (root_event_id, missions)
  select i.root_event_id, count(*) from unnest(p_items) i where i.root_event_id is not null group by i.root_event_id order by i.root_event_id
  on conflict (root_event_id) do update set missions = r.missions + excluded.missions where r.missions + excluded.missions <= v_max;
  get diagnostics v_counted = row_count;
  if v_counted < v_wanted then
    raise exception using errcode = 'serialization_failure', message = 'two gates met at one root event', hint = 'try again';
  end if;
end
$$;

-- 55_gate_admission.sql -------------------------------------------------------------------------------------

-- Behind the gate: proposals are stored as what they became, at work, held for a person or rejected.

-- Stores items that are rejected, and sets their keys free.
create function ops.turn_away(p_items ops.gate_item[], p_verdicts jsonb[], p_policies jsonb) returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_snapshot jsonb := p_policies -> 'snapshot';
  v_reasons text[] := array(select ops.verdict_reason(verdict) from unnest(p_verdicts) verdict);
begin
  insert into public.ops_mission_proposals (
    id, dedupe_key, source, status, template, reason, policy_snapshot, created_at, code, verdict, digest, idempotency_key, proposed_by,
    pattern_id, reaction_id, root_event_id, depth, decided_at, decided_by, updated_at)
  select i.id, i.dedupe_key, i.source, 'rejected', i.template, i.reason, v_snapshot, v_now, i.verdict ->> 'code', i.verdict, i.digest,
    i.idempotency_key, coalesce(i.proposed_by, i.template ->> 'agent'), i.pattern_id, i.reaction_id, i.root_event_id, coalesce(i.depth, 0),
    v_now, 'gate', v_now
  from unnest(p_items, p_verdicts, v_reasons) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
    reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict, reason);
  delete from ops.live_keys k using unnest(p_items) i where k.dedupe_key = i.dedupe_key and k.proposal_id = i.id;
  return array(select row(i.n, i.id, 'rejected', null, i.reason, i.verdict ->> 'code', i.verdict)::ops.gate_outcome
    from unnest(p_items, p_verdicts, v_reasons) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict, reason));
end
$$;

-- Admits items that have been counted: at work at once, or held for a person. The engine's own canaries, which
-- no cap and no rule holds, come by themselves, without a day.
create function ops.admit(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_totals ops.cap_unit[], p_day date, p_policies jsonb)
returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_snapshot jsonb := p_policies -> 'snapshot';
  v_actor jsonb := ops.actor_context();
  v_code text := case when p_day is null then 'canary' else 'auto_approved' end;
  v_reason text := case when p_day is null then 'the engine''s own canary' else 'admitted by policy auto_approve' end;
  v_verdicts jsonb[] := ops.verdicts(p_items, p_shapes, p_totals, p_day, p_policies);
  v_usd numeric[] := array(select coalesce((select sum(u.usd) from unnest(s.units) u), 0) from unnest(p_shapes) s order by s.shape);
  v_at_work ops.gate_item[] := p_items;
  v_missions uuid[];
  v_held ops.gate_outcome[] := '{}';
begin
  if p_items[1].reaction_id is not null and p_day is not null then -- a batch comes from reactions or from clients
    perform ops.count_roots(p_items, p_policies);
  end if;
  if exists (select from unnest(p_shapes) s where s.obstacle is not null) then
    v_held := ops.hold(p_items, p_shapes, v_verdicts, v_usd, p_day, p_policies);
    v_verdicts := array(select i.verdict from unnest(p_items, v_verdicts) i(n, id, template, source, dedupe_key, dedupe_minutes,
      idempotency_key, proposed_by, reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict)
      where (p_shapes[i.shape]).obstacle is null);
    v_at_work := array(select i from unnest(p_items) i where (p_shapes[i.shape]).obstacle is null);
    if v_at_work = '{}' then
      return v_held;
    end if;
  end if;

  with proposal as (
    insert into public.ops_mission_proposals (
      id, dedupe_key, source, status, template, reason, policy_snapshot, approved_at, created_at, code, verdict, digest,
      idempotency_key, proposed_by, pattern_id, reaction_id, root_event_id, depth, cap_day, reserved_usd,
      decided_at, decided_by, updated_at)
    select i.id, i.dedupe_key, i.source, 'auto_approved', i.template, v_reason, v_snapshot, v_now, v_now, v_code, i.verdict, i.digest,
      i.idempotency_key, coalesce(i.proposed_by, i.template ->> 'agent'), i.pattern_id, i.reaction_id, i.root_event_id, coalesce(i.depth, 0),
      p_day, v_usd[i.shape], v_now, 'policy:auto_approve', v_now
    from unnest(v_at_work, v_verdicts) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict)
    returning id, digest
  )
  insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, at)
  select p.id, 'auto_approved', p.digest, 'policy:auto_approve', v_actor, v_now from proposal p;
  v_missions := ops.make_missions(v_at_work, p_shapes, v_snapshot);
  return array(select row(i.n, i.id, 'auto_approved', i.mission_id, v_reason, v_code, i.verdict)::ops.gate_outcome
    from unnest(v_at_work, v_verdicts, v_missions) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict, mission_id)) || v_held;
end
$$;

-- Stores those of the items that a person must decide on, and tells people of them.
create function ops.hold(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_verdicts jsonb[], p_usd numeric[], p_day date, p_policies jsonb)
returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_expires timestamptz := v_now + coalesce((p_policies #> '{approvals,expires_minutes}')::numeric, 1440) * interval '1 minute';
  v_snapshot jsonb := p_policies -> 'snapshot';
begin
  insert into public.ops_mission_proposals (
    id, dedupe_key, source, status, template, reason, policy_snapshot, created_at, code, verdict, digest,
    idempotency_key, proposed_by, pattern_id, reaction_id, root_event_id, depth, cap_day, reserved_usd, expires_at, updated_at)
  select i.id, i.dedupe_key, i.source, 'pending', i.template, 'waits for approval: ' || (p_shapes[i.shape]).obstacle, v_snapshot, v_now,
    'pending_approval', i.verdict, i.digest, i.idempotency_key, coalesce(i.proposed_by, i.template ->> 'agent'), i.pattern_id,
    i.reaction_id, i.root_event_id, coalesce(i.depth, 0), p_day, p_usd[i.shape], v_expires, v_now
  from unnest(p_items, p_verdicts) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
    reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict)
  where (p_shapes[i.shape]).obstacle is not null;
  perform ops.tell_pending(array(select i from unnest(p_items) i where (p_shapes[i.shape]).obstacle is not null));
  return array(select row(i.n, i.id, 'pending', null, 'waits for approval: ' || (p_shapes[i.shape]).obstacle, 'pending_approval', i.verdict)::ops.gate_outcome
    from unnest(p_items, p_verdicts) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict)
    where (p_shapes[i.shape]).obstacle is not null);
end
$$;

-- The events that tell people what waits for them.
create function ops.tell_pending(p_items ops.gate_item[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into public.ops_agent_events (type, data, proposal_id, root_event_id, depth)
  select 'proposal:pending', jsonb_build_object('proposal_id', i.id, 'title', i.template ->> 'title', 'source', i.source,
    'risk_level', coalesce(i.template ->> 'risk_level', 'medium')), i.id, coalesce(i.root_event_id, i.id), coalesce(i.depth, 0) + 1
  from unnest(p_items) i order by i.n;
end
$$;

-- 55_gate_keys.sql ------------------------------------------------------------------------------------------

-- Dedupe keys: while a proposal or its mission is open, its key is its own, and whoever comes with the same key is answered with that proposal.

-- Locks keys in one order before anything else is locked, so that gates with several keys cannot deadlock.
create function ops.lock_keys(p_keys text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if array_remove(p_keys, null) = '{}' then
    return;
  end if;
  perform pg_advisory_xact_lock(h) from (
    select distinct hashtextextended('ops:' || k, 0) as h from unnest(p_keys) k where k is not null order by 1) l;
  perform ops.lock_held_keys(p_keys);
end
$$;

-- Locks those dedupe keys that are held, against the ends of the work that holds them.
create function ops.lock_held_keys(p_keys text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from ops.live_keys where dedupe_key = any (p_keys) order by dedupe_key for update;
end
$$;

-- Takes a dedupe key for a proposal. Returns the proposal that holds it, or null when it was free or its own.
create function ops.take_key(p_key text, p_proposal_id uuid, p_held_until timestamptz) returns uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder uuid;
begin
  insert into ops.live_keys as k (dedupe_key, proposal_id, live, held_until) values (p_key, p_proposal_id, true, p_held_until)
  on conflict (dedupe_key) do update set proposal_id = excluded.proposal_id, live = true,
    held_until = case when k.proposal_id = excluded.proposal_id then k.held_until else excluded.held_until end
  where k.proposal_id = excluded.proposal_id or (not k.live and coalesce(k.held_until, '-infinity') <= ops.now())
  returning proposal_id into v_holder;
  if v_holder is not null then
    return null;
  end if;
  select proposal_id into v_holder from ops.live_keys where dedupe_key = p_key;
  return v_holder;
end
$$;

-- Takes the dedupe keys of items that do not share any. False when one of them is held.
create function ops.take_keys(p_items ops.gate_item[]) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_wanted integer := (select count(i.dedupe_key) from unnest(p_items) i);
  v_taken integer;
begin
  if v_wanted = 0 then
    return true;
  end if;
  insert into ops.live_keys as k (dedupe_key, proposal_id, live, held_until)
  select i.dedupe_key, i.id, true, v_now + i.dedupe_minutes * interval '1 minute'
  from unnest(p_items) i where i.dedupe_key is not null order by i.dedupe_key
  on conflict (dedupe_key) do update set proposal_id = excluded.proposal_id, live = true, held_until = excluded.held_until
  where k.proposal_id = excluded.proposal_id or (not k.live and coalesce(k.held_until, '-infinity') <= v_now);
  get diagnostics v_taken = row_count;
  return v_taken = v_wanted;
end
$$;

-- True when the answer to one item could be the proposal of another.
create function ops.share_keys(p_items ops.gate_item[]) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_length(p_items, 1) > 1 and (
    select count(i.dedupe_key) > count(distinct i.dedupe_key) or count(i.idempotency_key) > count(distinct i.idempotency_key)
      or count(i.reaction_id) > count(distinct i.reaction_id)
    from unnest(p_items) i);
end
$$;

-- The same question asked again gets the same answer, and a dedupe key that is held answers with the proposal that holds it.
create function ops.known_answers(p_items ops.gate_item[]) returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_known ops.gate_outcome[];
begin
  v_known := array(
    select row(k.n, k.id, p.status::text, m.id, coalesce(k.reason, p.reason), coalesce(k.code, p.code), p.verdict)::ops.gate_outcome
    from (
      select i.n, coalesce(same.id, again.id, k.proposal_id) as id,
        case when same.id is null and again.id is null then 'duplicate' end as code,
        case when same.id is null and again.id is null then format('dedupe key "%s" is held by this proposal', i.dedupe_key) end as reason
      from unnest(p_items) i
      left join public.ops_mission_proposals same on same.idempotency_key = i.idempotency_key
      left join public.ops_mission_proposals again on again.reaction_id = i.reaction_id
      left join ops.live_keys k on k.dedupe_key = i.dedupe_key and k.proposal_id <> i.id and (k.live or k.held_until > v_now)
      where same.id is not null or again.id is not null or k.proposal_id is not null) k
    left join public.ops_mission_proposals p on p.id = k.id
    left join public.ops_missions m on m.proposal_id = k.id);
  if not exists (select from unnest(v_known) k where k.status is null) then
    return v_known;
  end if;
  -- The window of a key may be longer than finished work stays. What has a key then was admitted, even if the archive has forgotten it.
  return array(
    select row(k.n, k.proposal_id, coalesce(k.status, a.status, 'approved'), coalesce(k.mission_id, m.id), k.reason, k.code,
      coalesce(k.verdict, a.data -> 'verdict', '{}'))::ops.gate_outcome
    from unnest(v_known) k
    left join ops.archive a on k.status is null and a.id = k.proposal_id and a.entity = 'proposal'
    left join ops.archive m on k.status is null and m.parent_id = k.proposal_id and m.entity = 'mission');
end
$$;

-- 55_gate_one.sql -------------------------------------------------------------------------------------------

-- One proposal by itself, at the gate of 55_gate.sql: the way of a client that proposes as it goes, and the one that has to be quick.

-- One item through the gate by itself. What the functions for many do with sets is done with single values here, which costs a third;
-- they are asked for what is rare: rejections, missions of several steps.
create function ops.pass_one(p_item ops.gate_item) returns ops.gate_answer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_problem jsonb := ops.item_problem(p_item);
  v_digest text;
  v_known ops.gate_outcome[];
  v_policies jsonb;
  v_day date;
  v_units ops.cap_unit[];
  v_stop jsonb;
  v_counted text;
  v_verdict jsonb;
  v_obstacle text;
  v_usd numeric;
  v_now timestamptz;
  v_mission_id uuid;
  v_steps integer;
  v_step jsonb;
  v_kind text;
  v_run_at timestamptz;
  v_name text;
  v_step_id uuid;
  v_executor text;
  v_priority smallint;
begin
  if v_problem is not null then
    return row(null, 'invalid', null, v_problem ->> 'message', v_problem ->> 'code', jsonb_build_object('path', v_problem ->> 'path'))::ops.gate_answer;
  end if;
  if p_item.dedupe_key is not null or p_item.idempotency_key is not null then
    loop
      v_known := ops.known_answers(array[p_item]);
      if v_known <> '{}' then
        return row(v_known[1].proposal_id, v_known[1].status, v_known[1].mission_id, v_known[1].reason, v_known[1].code, v_known[1].verdict)::ops.gate_answer;
      end if;
      exit when ops.take_keys(array[p_item]);
    end loop;
  end if;
  v_policies := ops.gate_policies();
  v_obstacle := ops.approval_obstacle(p_item.template, v_policies);
  v_digest := encode(sha256(convert_to(p_item.template::text, 'UTF8')), 'hex'); -- ops.template_digest(), without the call
  v_units := ops.cap_units(p_item.source, p_item.pattern_id, p_item.template, coalesce(v_policies -> 'proposal_caps', '{}'));
  v_day := ops.cap_day(v_policies #>> '{proposal_caps,time_zone}');
  v_counted := ops.count_in_stripe(v_day, v_units);
  if v_counted is not null then
    v_verdict := format('{"day": "%s", "time_zone": %s, "counted": [%s]}', v_day,
      to_json(coalesce(v_policies #>> '{proposal_caps,time_zone}', 'UTC')), v_counted);
  else
    -- What has been committed leaves no room, or all stripes must be looked at.
    v_stop := ops.cap_verdict(v_day, v_units);
    if v_stop is null then
      perform ops.lock_caps(v_day);
      v_stop := ops.take_caps(v_day, v_units);
    end if;
    if v_stop is not null then
      p_item.digest := v_digest;
      perform ops.turn_away(array[p_item], array[v_stop], v_policies);
      return row(p_item.id, 'rejected', null, ops.verdict_reason(v_stop), v_stop ->> 'code', v_stop)::ops.gate_answer;
    end if;
    v_verdict := ops.caps_counted(v_day, v_units);
  end if;
  v_usd := case when v_units[1].scope = 'daily' then v_units[1].usd else v_units[2].usd end; -- an agent comes first
  v_now := ops.now();
  if v_obstacle is not null then
    insert into public.ops_mission_proposals (id, dedupe_key, source, status, template, reason, policy_snapshot, created_at, code, verdict, digest,
      idempotency_key, proposed_by, pattern_id, cap_day, reserved_usd, updated_at, expires_at)
    values (p_item.id, p_item.dedupe_key, p_item.source, 'pending', p_item.template, 'waits for approval: ' || v_obstacle, v_policies -> 'snapshot',
      v_now, 'pending_approval', v_verdict, v_digest, p_item.idempotency_key, coalesce(p_item.proposed_by, p_item.template ->> 'agent'),
      p_item.pattern_id, v_day, v_usd, v_now, v_now + coalesce((v_policies #> '{approvals,expires_minutes}')::numeric, 1440) * interval '1 minute');
    perform ops.tell_pending(array[p_item]);
    return row(p_item.id, 'pending', null, 'waits for approval: ' || v_obstacle, 'pending_approval', v_verdict)::ops.gate_answer;
  end if;
  v_steps := jsonb_array_length(p_item.template -> 'steps');
  v_step := p_item.template #> '{steps,0}';
  v_kind := v_step ->> 'kind';
  v_name := p_item.id::text;
  -- A mission of one step comes into being with its proposal. Ids are the proposal's with the last twelve digits in another order, so that
  -- each ends, as people call it, in digits of its own.
  if v_step ?| '{delay_seconds,run_at}' then
    v_run_at := greatest(v_now + coalesce((v_step -> 'delay_seconds')::integer, 0) * interval '1 second', (v_step ->> 'run_at')::timestamptz);
  else
    v_run_at := v_now;
  end if;
  v_mission_id := (left(v_name, 24) || right(v_name, 8) || substr(v_name, 25, 4))::uuid;
  with decision as (
    insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, at)
    values (p_item.id, 'auto_approved', v_digest, 'policy:auto_approve', ops.actor_context(), v_now)
  ), proposal as (
    insert into public.ops_mission_proposals (id, dedupe_key, source, status, template, reason, policy_snapshot, approved_at, created_at, code,
      verdict, digest, idempotency_key, proposed_by, pattern_id, cap_day, reserved_usd, decided_at, decided_by, updated_at)
    values (p_item.id, p_item.dedupe_key, p_item.source, 'auto_approved', p_item.template, 'admitted by policy auto_approve',
      v_policies -> 'snapshot', v_now, v_now, 'auto_approved', v_verdict, v_digest, p_item.idempotency_key,
      coalesce(p_item.proposed_by, p_item.template ->> 'agent'), p_item.pattern_id, v_day, v_usd, v_now, 'policy:auto_approve', v_now)
  ), mission as (
    insert into public.ops_missions (id, proposal_id, policy_snapshot, title, source, agent, dedupe_key, root_event_id, depth,
      steps_total, steps_open, created_at, updated_at)
    select v_mission_id, p_item.id, v_policies -> 'snapshot', p_item.template ->> 'title', p_item.source, p_item.template ->> 'agent',
      p_item.dedupe_key, coalesce(p_item.root_event_id, p_item.id), coalesce(p_item.depth, 0), 1, 1, v_now, v_now
    where v_steps = 1
  )
  insert into public.ops_mission_steps (id, mission_id, kind, params, status, executor, created_at, updated_at, key, position, agent,
    depends_on, uses_results, priority, run_at, delay_seconds, ready, timeout_seconds, declared_retries, cost_reserved_usd, revision, service)
  select (left(v_name, 24) || right(v_name, 4) || substr(v_name, 25, 8))::uuid, v_mission_id, v_kind, coalesce(v_step -> 'params', '{}'),
    'queued', coalesce(v_step ->> 'executor', split_part(v_kind, ':', 1)), v_now, v_now, coalesce(v_step ->> 'key', 'step-1'), 1,
    coalesce(v_step ->> 'agent', nullif(split_part(v_kind, ':', 2), ''), p_item.template ->> 'agent'), '{}',
    coalesce((v_step -> 'params')::text ~ '\{\{\s*steps\.', false),
    coalesce((v_step -> 'priority')::smallint, (p_item.template -> 'priority')::smallint, 0::smallint), v_run_at,
    coalesce((v_step -> 'delay_seconds')::integer, 0), v_run_at <= v_now, (v_step -> 'timeout_seconds')::integer,
    (v_step -> 'max_retries')::integer, coalesce((v_step -> 'cost_usd')::numeric, 0), 1, v_step ->> 'service'
  where v_steps = 1
  returning id, executor, priority, run_at into v_step_id, v_executor, v_priority, v_run_at;
  if v_steps = 1 then
    if exists (select from ops.sleepers where until > v_now) then
      perform ops.wake_for(v_step_id, v_executor, v_priority, v_run_at);
    end if;
  else
    p_item.shape := 1;
    v_mission_id := (ops.make_missions(array[p_item], array[row(1, p_item.template, null, null)::ops.gate_shape], v_policies -> 'snapshot'))[1];
  end if;
  return row(p_item.id, 'auto_approved', v_mission_id, 'admitted by policy auto_approve', 'auto_approved', v_verdict)::ops.gate_answer;
end
$$;

-- 55_gate_verdicts.sql --------------------------------------------------------------------------------------

-- The verdicts of a batch: each item's own numbers, as it would have met them alone, worked out for hundreds of items in one call.

-- What shapes of a batch count in one counter that has a limit, and what a verdict says around the numbers. `used` and `used_usd`: before
-- the batch; `usd`: null where nothing of the batch costs money; `by_all`: all of its shapes count just this.
create type ops.verdict_unit as (
  counter integer, units integer, usd numeric, used integer, used_usd numeric, before text, after text, end_usd text, shapes integer[], by_all boolean);

create function ops.verdict_units(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_totals ops.cap_unit[], p_day date)
returns ops.verdict_unit[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    with shape as materialized (select distinct i.shape from unnest(p_items) i)
    select row(dense_rank() over (order by u.scope, u.name), u.units, case when u.max_usd is not null and t.usd > 0 then u.usd end, c.used, c.used_usd,
      -- Keys in the order in which jsonb keeps them, shorter ones first.
      concat('{', '"name": ' || to_json(nullif(u.name, '')) || ', ', '"used": '),
      concat(', "limit": ' || u.max_units, ', "scope": "' || u.scope || '"', case when u.max_usd is null then '}'
        when t.usd > 0 then ', "used_usd": ' else format(', "used_usd": %s, "limit_usd": %s}', c.used_usd, u.max_usd) end),
      format(', "limit_usd": %s}', u.max_usd), u.shapes, cardinality(u.shapes) = (select count(*) from shape))::ops.verdict_unit
    from (select u.scope, u.name, u.units, u.usd, u.max_units, u.max_usd, array_agg(s.shape) as shapes
        from shape s, unnest((p_shapes[s.shape]).units) u where u.max_units is not null or u.max_usd is not null
        group by u.scope, u.name, u.units, u.usd, u.max_units, u.max_usd) u
      left join unnest(p_totals) t on t.scope = u.scope and t.name = u.name
      cross join lateral (select (coalesce(sum(s.used), 0) - coalesce(t.units, 0))::integer as used,
          coalesce(sum(s.used_usd), 0.000000) - coalesce(t.usd, 0) as used_usd
        from ops.cap_stripes s where s.day = p_day and s.scope = u.scope and s.name = u.name) c
    order by u.scope, u.name);
end
$$;

-- The verdicts of items that have been counted, p_totals in all: beside the limits in force stands what the counters say when an item is
-- counted and those after it are not. Written as text, for hundreds of them go through here in one call.
create function ops.verdicts(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_totals ops.cap_unit[], p_day date, p_policies jsonb)
returns jsonb[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_head text := format('{"day": %s, "counted": [', coalesce(to_json(p_day)::text, 'null'));
  v_tail text := format('], "time_zone": %s}', to_json(coalesce(p_policies #>> '{proposal_caps,time_zone}', 'UTC')));
  v_counters ops.verdict_unit[] := ops.verdict_units(p_items, p_shapes, p_totals, p_day);
  v_unit ops.verdict_unit;
  v_even boolean := cardinality(v_counters) <= 4;
  v_texts text[] := array[v_head];
  v_used integer[] := '{}';
  v_units integer[] := '{}';
  v_at integer := 0;
begin
  foreach v_unit in array v_counters loop
    v_even := v_even and v_unit.by_all and v_unit.usd is null;
    exit when not v_even;
    v_at := v_at + 1;
    v_texts[v_at] := v_texts[v_at] || v_unit.before;
    v_texts[v_at + 1] := v_unit.after || case when v_at < cardinality(v_counters) then ', ' else '' end;
    v_used[v_at] := v_unit.used;
    v_units[v_at] := v_unit.units;
  end loop;
  if not v_even then
    return ops.uneven_verdicts(p_items, v_counters, v_head, v_tail);
  end if;
  -- All items count the same in the same few counters, as those of most batches do: their numbers follow from their places.
  v_texts[v_at + 1] := v_texts[v_at + 1] || v_tail;
  return array(
    select concat(v_texts[1], v_used[1] + at * v_units[1], v_texts[2], v_used[2] + at * v_units[2], v_texts[3], v_used[3] + at * v_units[3],
      v_texts[4], v_used[4] + at * v_units[4], v_texts[5])::jsonb
    from generate_series(1, array_length(p_items, 1)) at);
end
$$;

-- The same where items count differently, or cost money: counted one by one.
create function ops.uneven_verdicts(p_items ops.gate_item[], p_counters ops.verdict_unit[], p_head text, p_tail text) returns jsonb[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_verdicts jsonb[] := '{}';
  v_text text;
  v_unit record;
  v_shape integer;
  v_no integer := 0;
  v_at integer := 0;
  v_count integer;
  v_sum numeric;
  -- By shape: its first and last unit.
  v_first integer[] := '{}';
  v_last integer[] := '{}';
  -- By unit: which counter it counts in, how much, and the text around the numbers.
  v_counter integer[] := '{}';
  v_units integer[] := '{}';
  v_usd numeric[] := '{}';
  v_before text[] := '{}';
  v_after text[] := '{}';
  v_end_usd text[] := '{}';
  -- By counter.
  v_used integer[] := '{}';
  v_used_usd numeric[] := '{}';
begin
  for v_unit in
    select s.shape, row_number() over (partition by s.shape order by c.counter) = 1 as is_first, c.*
    from unnest(p_counters) c, unnest(c.shapes) s(shape) order by s.shape, c.counter
  loop
    v_at := v_at + 1;
    if v_unit.is_first then
      v_first[v_unit.shape] := v_at;
    end if;
    v_last[v_unit.shape] := v_at;
    v_counter[v_at] := v_unit.counter;
    v_units[v_at] := v_unit.units;
    v_used[v_unit.counter] := v_unit.used;
    v_before[v_at] := case when v_unit.is_first then v_unit.before else ', ' || v_unit.before end;
    v_after[v_at] := v_unit.after;
    if v_unit.usd is not null then
      v_usd[v_at] := v_unit.usd;
      v_end_usd[v_at] := v_unit.end_usd;
      v_used_usd[v_unit.counter] := v_unit.used_usd;
    end if;
  end loop;

  -- An array is changed in its place only where the new value does not come from the array itself.
  foreach v_shape in array array(select i.shape from unnest(p_items) i) loop
    v_text := p_head;
    for v_at in coalesce(v_first[v_shape], 0) .. coalesce(v_last[v_shape], -1) loop
      v_count := v_used[v_counter[v_at]] + v_units[v_at];
      v_used[v_counter[v_at]] := v_count;
      v_text := v_text || v_before[v_at] || v_count || v_after[v_at];
      if v_usd[v_at] is not null then
        v_sum := v_used_usd[v_counter[v_at]] + v_usd[v_at];
        v_used_usd[v_counter[v_at]] := v_sum;
        v_text := v_text || v_sum || v_end_usd[v_at];
      end if;
    end loop;
    v_no := v_no + 1;
    v_verdicts[v_no] := (v_text || p_tail)::jsonb;
  end loop;
  return v_verdicts;
end
$$;

-- 56_proposals.sql ------------------------------------------------------------------------------------------

-- What clients ask of the gate: to propose, one or many, and what it would say.

-- Proposes one mission: the single entry for clients. A dedupe key that live work holds answers with that proposal.
-- Errors: OPS_004 with the JSON path of the template's problem, OPS_011 for the source or key.
create function public.ops_create_proposal_and_maybe_autoapprove(p_dedupe_key text, p_source text, p_template jsonb)
returns table (proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan
as $$
declare
  v_answer ops.gate_answer;
begin
  if p_dedupe_key is not null then
    perform ops.lock_keys(array[p_dedupe_key]);
  end if;
  v_answer := ops.pass_one(row(1, ops.new_id(), p_template, p_source, p_dedupe_key, null, null, null, null, null, null, 0, null, null));
  if v_answer.status = 'invalid' then
    perform ops.fail(v_answer.code, v_answer.reason, v_answer.verdict ->> 'path');
  end if;
  proposal_id := v_answer.proposal_id;
  status := v_answer.status;
  mission_id := v_answer.mission_id;
  reason := v_answer.reason;
  code := v_answer.code;
  verdict := v_answer.verdict;
  return next;
end
$$;

-- Proposes up to 1,000 missions: [{"template", "source", "dedupe_key"?, "dedupe_minutes"?, "idempotency_key"?, "proposed_by"?}].
-- `dedupe_minutes` keeps the key taken that long even when the work ends sooner; `idempotency_key` makes a retry answer as
-- the first call did. An item that is not valid is answered with status `invalid` and does not stop the others.
create function public.ops_create_proposals(p_proposals jsonb)
returns table (ordinal integer, proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan -- a plan for each batch would copy it
as $$
declare
  v_ids uuid[] := ops.new_ids(ops.require_array(p_proposals, 'p_proposals', 1000));
begin
  perform ops.lock_keys(array(select jsonb_array_elements_text(
    jsonb_path_query_array(p_proposals, '$[*].dedupe_key') || jsonb_path_query_array(p_proposals, '$[*].idempotency_key'))));
  return query
  select a.* from unnest(ops.pass_gate(array(
    select row(e.n, v_ids[e.n], e.item -> 'template', e.item ->> 'source', e.item ->> 'dedupe_key',
      -- JSON knows no NaN, so it can stand here for what is not a number.
      case when jsonb_typeof(e.item -> 'dedupe_minutes') in ('number', 'null') then e.item ->> 'dedupe_minutes'
        when e.item ? 'dedupe_minutes' then 'NaN' end::numeric,
      e.item ->> 'idempotency_key', e.item ->> 'proposed_by', null, null, null, 0, null, null)::ops.gate_item
    from jsonb_array_elements(p_proposals) with ordinality e(item, n) order by e.n))) a
  order by a.n;
end
$$;

-- What the gate would say to a template now. Changes nothing.
create function public.ops_gate_proposal(p_template jsonb)
returns table (ok boolean, reason text, code text, verdict jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wrong text[] := ops.template_fault(p_template);
  v_day date := ops.cap_day();
  v_units ops.cap_unit[];
begin
  if v_wrong is not null then
    return query select false, format('template: %s %s', v_wrong[1], v_wrong[2]), 'OPS_004', jsonb_build_object('path', v_wrong[1]);
    return;
  end if;
  v_units := ops.cap_units('api', null, p_template);
  return query select * from ops.foresee(p_template, v_day, v_units, ops.cap_verdict(v_day, v_units));
end
$$;

create function ops.foresee(p_template jsonb, p_day date, p_units ops.cap_unit[], p_verdict jsonb)
returns table (ok boolean, reason text, code text, verdict jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_obstacle text := ops.approval_obstacle(p_template, ops.gate_policies());
begin
  if p_verdict is not null then
    return query select false, ops.verdict_reason(p_verdict), p_verdict ->> 'code', p_verdict;
  elsif v_obstacle is not null then
    return query select false, 'waits for approval: ' || v_obstacle, 'pending_approval', ops.caps_counted(p_day, p_units);
  else
    return query select true, 'policy auto_approve would admit it now', 'auto_approved', ops.caps_counted(p_day, p_units);
  end if;
end
$$;

-- The same for a proposal that is there: a pending one is judged as if it came now, another answers its verdict; null answers
-- nothing. Errors: OPS_013 unknown proposal.
create function public.ops_gate_proposal(p_proposal_id uuid)
returns table (ok boolean, reason text, code text, verdict jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proposal public.ops_mission_proposals;
  v_day date := ops.cap_day();
  v_units ops.cap_unit[];
begin
  if p_proposal_id is null then
    return;
  end if;
  select * into v_proposal from public.ops_mission_proposals where id = p_proposal_id;
  if not found then
    perform ops.fail('OPS_013', format('there is no proposal %s', p_proposal_id), 'p_proposal_id');
  end if;
  if v_proposal.status <> 'pending' then
    return query select v_proposal.status in ('approved', 'auto_approved'), v_proposal.reason, v_proposal.code, v_proposal.verdict;
    return;
  end if;
  v_units := ops.cap_units(v_proposal.source, v_proposal.pattern_id, v_proposal.template);
  return query select * from ops.foresee(v_proposal.template, v_day, v_units,
    ops.cap_verdict(v_day, v_units, v_proposal.cap_day = v_day));
end
$$;

-- 57_approvals.sql ------------------------------------------------------------------------------------------

-- Approvals: a person's decision on a held proposal. Bound to the digest of exactly what will run, never by the agent
-- that proposed it, once, before it expires. There is no second path to a mission.

-- Locks a proposal and checks that it can still be decided; returns it.
create function ops.proposal_to_decide(p_proposal_id uuid, p_actor text) returns public.ops_mission_proposals
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proposal public.ops_mission_proposals;
begin
  if coalesce(trim(p_actor), '') = '' then
    perform ops.fail('OPS_011', 'say who decides', 'p_actor', 'pass the name of the person, such as "dana"');
  end if;
  select * into v_proposal from public.ops_mission_proposals where id = p_proposal_id for no key update;
  if not found then
    perform ops.fail('OPS_013', format('there is no proposal %s', p_proposal_id), 'p_proposal_id');
  end if;
  if v_proposal.status <> 'pending' then
    perform ops.fail('OPS_009', format('proposal %s is %s already', p_proposal_id, v_proposal.status), 'status',
      'a proposal is decided once');
  end if;
  return v_proposal;
end
$$;

-- Ends a held proposal without a mission: gives back its place under the caps, its money and its key.
create function ops.close_proposal(p_proposal public.ops_mission_proposals, p_status public.ops_proposal_status, p_actor text, p_reason text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_units ops.cap_unit[] := ops.cap_units(p_proposal.source, p_proposal.pattern_id, p_proposal.template);
begin
  insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, note)
  values (p_proposal.id, p_status::text, p_proposal.digest, p_actor, ops.actor_context(), p_reason);
  update public.ops_mission_proposals
  set status = p_status, code = p_status::text, reason = p_reason, decided_at = ops.now(), decided_by = p_actor,
    cap_day = null, reserved_usd = 0
  where id = p_proposal.id;
  delete from ops.live_keys where dedupe_key = p_proposal.dedupe_key and proposal_id = p_proposal.id;
  perform ops.lock_caps(p_proposal.cap_day);
  perform ops.give_back_caps(p_proposal.cap_day, v_units);
  update ops.root_missions set missions = missions - 1 where root_event_id = p_proposal.root_event_id;
end
$$;

-- Approves a held proposal and starts its mission. `p_digest`, when given, must be the digest that the person saw.
-- A cap without room leaves it pending and answers with that cap's code.
-- Errors: OPS_009 when it was decided before, has expired, was altered, or the proposing agent approves itself;
-- OPS_013 unknown; OPS_015 while approvals are paused.
create function public.ops_approve_proposal(p_proposal_id uuid, p_actor text, p_digest text default null, p_note text default null)
returns table (proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_proposal public.ops_mission_proposals;
  v_verdict jsonb;
  v_day date;
  v_units ops.cap_unit[];
  v_now timestamptz;
begin
  perform ops.require_not_paused('approvals');
  v_proposal := ops.proposal_to_decide(p_proposal_id, p_actor);
  v_now := ops.now(); -- when its turn has come
  v_day := ops.cap_day();
  if v_proposal.expires_at <= v_now then
    perform ops.fail('OPS_009', format('proposal %s expired at %s', p_proposal_id, v_proposal.expires_at), 'expires_at',
      'propose it again');
  end if;
  if lower(trim(p_actor)) = lower(trim(v_proposal.proposed_by)) then
    perform ops.fail('OPS_009', format('%s proposed this and cannot approve it', p_actor), 'p_actor');
  end if;
  if v_proposal.digest <> ops.template_digest(v_proposal.template) or (p_digest is not null and p_digest <> v_proposal.digest) then
    perform ops.fail('OPS_009', 'the template is not the one that was shown', 'p_digest', 'look at the proposal again');
  end if;

  v_units := ops.cap_units(v_proposal.source, v_proposal.pattern_id, v_proposal.template);
  perform ops.lock_caps(least(v_proposal.cap_day, v_day));
  if v_proposal.cap_day = v_day then
    v_verdict := ops.cap_verdict(v_day, v_units, true);
  else
    perform ops.lock_caps(greatest(v_proposal.cap_day, v_day));
    v_verdict := ops.take_caps(v_day, v_units);
    if v_verdict is null then
      perform ops.give_back_caps(v_proposal.cap_day, v_units);
    end if;
  end if;
  if v_verdict is not null then
    return query select v_proposal.id, 'pending', null::uuid, ops.verdict_reason(v_verdict), v_verdict ->> 'code', v_verdict;
    return;
  end if;

  insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, note)
  values (v_proposal.id, 'approved', v_proposal.digest, p_actor, ops.actor_context(), p_note);
  update public.ops_mission_proposals p
  set status = 'approved', code = 'approved', reason = coalesce(p_note, 'approved by ' || p_actor), approved_at = v_now,
    decided_at = v_now, decided_by = p_actor, cap_day = v_day, policy_snapshot = ops.policy_snapshot(),
    verdict = ops.caps_counted(v_day, v_units)
  where p.id = v_proposal.id;
  perform ops.start_mission(v_proposal.id);
  return query select a.* from ops.gate_answer_of(v_proposal.id) a;
end
$$;

-- Rejects a held proposal; also one that has expired, while approvals are paused, or of one's own.
-- Errors: OPS_009 when it was decided before, OPS_013 unknown.
create function public.ops_reject_proposal(p_proposal_id uuid, p_actor text, p_note text default null)
returns table (proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform ops.close_proposal(ops.proposal_to_decide(p_proposal_id, p_actor), 'rejected', p_actor, coalesce(p_note, 'rejected by ' || p_actor));
  return query select a.* from ops.gate_answer_of(p_proposal_id) a;
end
$$;

-- Records the end of held proposals whose time is over, at most p_limit of them. Returns how many.
create function public.ops_expire_proposals(p_limit integer default 500) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proposals public.ops_mission_proposals[];
  v_proposal public.ops_mission_proposals;
  v_count integer := 0;
begin
  select array_agg(t.p order by (t.p).expires_at, (t.p).id) into v_proposals
  from (select q as p from public.ops_mission_proposals q where q.status = 'pending' and q.expires_at <= ops.now()
        order by q.expires_at, q.id limit p_limit for no key update skip locked) t;
  -- All that the loop will touch, in the order in which gates lock it. Today's counter stands before the root events.
  perform ops.lock_held_keys(array(select p.dedupe_key from unnest(v_proposals) p));
  perform from ops.cap_stripes c
  where c.scope = 'daily' and c.name = '' and c.day in (select p.cap_day from unnest(v_proposals) p union select ops.cap_day())
  order by c.day, c.stripe for no key update;

  foreach v_proposal in array coalesce(v_proposals, '{}') loop
    perform ops.close_proposal(v_proposal, 'expired', 'engine', format('nobody decided before %s', v_proposal.expires_at));
    perform ops.emit_own('proposal:expired', jsonb_build_object('proposal_id', v_proposal.id, 'title', v_proposal.title,
      'source', v_proposal.source), v_proposal.id, coalesce(v_proposal.root_event_id, v_proposal.id), v_proposal.depth + 1);
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;

-- What was proposed is never altered, and a decision is never written by hand: it goes through the functions above.
create function ops.refuse_proposal_edit() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if (new.template, new.digest, new.source, new.pattern_id) is distinct from (old.template, old.digest, old.source, old.pattern_id) then
    perform ops.fail('OPS_014', format('proposal %s cannot be altered', old.id), 'template', 'reject it and propose what you want instead');
  end if;
  if new.status <> old.status and not exists (
    select from ops.decisions d where d.proposal_id = new.id and d.decision = new.status::text)
  then
    perform ops.fail('OPS_014', format('proposal %s cannot be made %s by hand', old.id, new.status), 'status',
      format('select * from ops_approve_proposal(''%s'', ''your name''), or ops_reject_proposal', old.id));
  end if;
  return new;
end
$$;

create trigger ops_mission_proposals_hand_edit before update of status, template, digest, source, pattern_id on public.ops_mission_proposals
  for each row execute function ops.refuse_proposal_edit();

-- Who deleted a held proposal would leave its place under the caps, its money and its key taken for ever.
create function ops.refuse_held_delete() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform ops.fail('OPS_014', format('proposal %s waits for a decision and cannot be deleted', old.id), 'status',
    format('first: select * from ops_reject_proposal(''%s'', ''your name'')', old.id));
  return null;
end
$$;
create trigger ops_mission_proposals_held_delete before delete on public.ops_mission_proposals
  for each row when (old.status = 'pending') execute function ops.refuse_held_delete();

-- 58_guards.sql ---------------------------------------------------------------------------------------------

-- The guards of reactions: depth, threshold, cooldown and dedupe key hold a match back. A batch is judged as its events would have
-- been one by one.

-- Counts a match toward its threshold; returns how many there are within the window, this one included.
create function ops.count_hit(p_pattern text, p_key text, p_shadow boolean, p_at timestamptz, p_event_id uuid, p_within_minutes numeric)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.threshold_hits (pattern_id, key, shadow, at, event_id)
  values (p_pattern, p_key, p_shadow, p_at, p_event_id) on conflict do nothing;
  delete from ops.threshold_hits h
  where h.pattern_id = p_pattern and h.key = p_key and h.shadow = p_shadow and h.at <= p_at - p_within_minutes * interval '1 minute';
  return (select count(*) from ops.threshold_hits h
    where h.pattern_id = p_pattern and h.key = p_key and h.shadow = p_shadow and h.at <= p_at);
end
$$;

-- Which guards hold matches back, by the number of the match: null where none does. Where there are only cooldowns, as in most
-- batches, the first match of a pattern and key that the last firing lets through fires, and the others are held back; where the
-- last of them would be late enough to fire again, and for all other guards, matches are asked in turn.
-- p_events: which event each match is about. p_matches: what was decided. p_cooldowns: 'cooldown' for each match that has one.
-- p_only_cooldowns: none has a threshold or a dedupe key.
create function ops.hold_back(p_ids uuid[], p_times timestamptz[], p_depths integer[], p_events integer[], p_matches jsonb[],
  p_cooldowns text[], p_only_cooldowns boolean) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_max_depth integer := coalesce((ops.policy('control') ->> 'max_depth')::integer, 8);
  v_stops text[];
  v_firsts integer[];
  v_first integer;
begin
  if p_only_cooldowns and v_max_depth > all (p_depths) then
    with matches as (
      select d.number, p_times[d.event] as created_at, d.value ->> 'pattern_id' as pattern_id, coalesce(d.value -> 'cooldown' ->> 'key', '') as key,
        coalesce(d.value ->> 'mode' = 'shadow', false) as shadow, (d.value -> 'cooldown' ->> 'minutes')::numeric * interval '1 minute' as cooldown
      from unnest(p_events, p_matches, p_cooldowns) with ordinality d(event, value, stop, number) where d.stop is not null offset 0
    ), groups as materialized (
      select g.*, (g.last_at < g.fires_at + g.cooldown) is not true and g.first is not null as may_fire_again
      from (select m.pattern_id, m.key, m.shadow, max(m.created_at) as last_at, min(coalesce(m.cooldown, '0')) as cooldown,
              min(m.number) filter (where (m.created_at < c.fired_at + m.cooldown) is not true) as first,
              min(m.created_at) filter (where (m.created_at < c.fired_at + m.cooldown) is not true) as fires_at
            from matches m left join ops.cooldowns c on c.pattern_id = m.pattern_id and c.key = m.key and c.shadow = m.shadow
            group by m.pattern_id, m.key, m.shadow) g
    ), fired as (
      insert into ops.cooldowns (pattern_id, key, shadow, fired_at, event_id)
      select g.pattern_id, g.key, g.shadow, g.fires_at, p_ids[p_events[g.first]] from groups g
      where g.first is not null and not exists (select from groups where may_fire_again)
      on conflict (pattern_id, key, shadow) do update set fired_at = excluded.fired_at, event_id = excluded.event_id
    )
    select array_agg(g.first) into v_firsts from groups g having not bool_or(g.may_fire_again) is true;
    if found then
      v_stops := p_cooldowns;
      foreach v_first in array coalesce(v_firsts, '{}') loop
        if v_first is not null then v_stops[v_first] := null; end if;
      end loop;
      return v_stops;
    end if;
  end if;
  return ops.hold_back_in_turn(p_ids, p_times, p_depths, p_events, p_matches, v_max_depth);
end
$$;

-- The same for any guards, match by match, in the order of the events, because each match that fires starts clocks for those that
-- follow; what the guards knew before is read by one statement, and what they know then is written by one. Times are the events'
-- own, so that a backlog settles as it would have live.
create function ops.hold_back_in_turn(p_ids uuid[], p_times timestamptz[], p_depths integer[], p_events integer[], p_matches jsonb[],
  p_max_depth integer) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stops text[] := array_fill(null::text, array[coalesce(array_length(p_matches, 1), 0)]);
  v_stop text;
  v_match record;
  v_fires boolean := false;
  -- By the number of the cooldown: what it is, when it last fired, and for which event.
  v_cooldowns jsonb[] := '{}';
  v_fired timestamptz[] := '{}';
  v_fired_by uuid[] := '{}';
  -- By the number of the dedupe key: true when a reaction of this batch will hold it.
  v_taken boolean[] := '{}';
begin
  for v_match in
    select m.*, c.fired_at,
      m.dedupe_key is not null and (
        exists (select from ops.live_keys k where k.dedupe_key = m.dedupe_key and (k.live or k.held_until > ops.now()))
        or exists (select from public.ops_agent_reactions r where r.status = 'queued' and r.payload ->> 'dedupe_key' = m.dedupe_key)) as is_held
    from (
      select d.*, dense_rank() over (order by d.pattern_id, d.cooldown_key, d.shadow) as cooldown_number,
        dense_rank() over (order by d.dedupe_key) as key_number
      from (
        select d.number, p_ids[d.event] as event_id, p_times[d.event] as created_at, p_depths[d.event] as depth, d.value ->> 'pattern_id' as pattern_id,
          coalesce(d.value ->> 'mode' = 'shadow', false) as shadow,
          case when jsonb_typeof(d.value -> 'cooldown') = 'object' then coalesce(d.value #>> '{cooldown,key}', '') end as cooldown_key,
          (d.value #>> '{cooldown,minutes}')::numeric * interval '1 minute' as cooldown,
          case when jsonb_typeof(d.value -> 'threshold') = 'object' then d.value -> 'threshold' end as threshold,
          case when d.value ->> 'mode' is distinct from 'shadow' then d.value ->> 'dedupe_key' end as dedupe_key
        from unnest(p_events, p_matches) with ordinality d(event, value, number)
        where d.value ?| array['cooldown', 'threshold', 'dedupe_key'] or p_depths[d.event] >= p_max_depth) d) m
    left join ops.cooldowns c on c.pattern_id = m.pattern_id and c.key = m.cooldown_key and c.shadow = m.shadow
    order by m.number
  loop
    v_stop := null;
    if v_match.depth >= p_max_depth then
      v_stop := 'depth';
    elsif v_match.threshold is not null
      and ops.count_hit(v_match.pattern_id, coalesce(v_match.threshold ->> 'key', ''), v_match.shadow, v_match.created_at, v_match.event_id,
        (v_match.threshold ->> 'within_minutes')::numeric) < (v_match.threshold ->> 'count')::integer
    then
      v_stop := 'threshold';
    elsif v_match.cooldown_key is not null
      and v_match.created_at < coalesce(v_fired[v_match.cooldown_number], v_match.fired_at) + v_match.cooldown
    then
      v_stop := 'cooldown';
    elsif v_match.is_held or (v_match.dedupe_key is not null and v_taken[v_match.key_number]) then
      v_stop := 'dedupe';
    end if;
    if v_stop is not null then
      v_stops[v_match.number] := v_stop;
      continue;
    end if;
    -- The clocks start only when nothing holds the match back.
    if v_match.cooldown_key is not null then
      v_fired[v_match.cooldown_number] := v_match.created_at;
      v_fired_by[v_match.cooldown_number] := v_match.event_id;
      v_cooldowns[v_match.cooldown_number] := jsonb_build_array(v_match.pattern_id, v_match.cooldown_key, v_match.shadow);
      v_fires := true;
    end if;
    if v_match.dedupe_key is not null then
      v_taken[v_match.key_number] := true;
    end if;
    if v_match.threshold is not null then
      delete from ops.threshold_hits h
      where h.pattern_id = v_match.pattern_id and h.key = coalesce(v_match.threshold ->> 'key', '') and h.shadow = v_match.shadow;
    end if;
  end loop;

  if v_fires then
    insert into ops.cooldowns (pattern_id, key, shadow, fired_at, event_id)
    select f.name ->> 0, f.name ->> 1, (f.name -> 2)::boolean, f.fired_at, f.event_id
    from unnest(v_cooldowns, v_fired, v_fired_by) f(name, fired_at, event_id) where f.name is not null
    on conflict (pattern_id, key, shadow) do update set fired_at = excluded.fired_at, event_id = excluded.event_id;
  end if;
  return v_stops;
end
$$;

-- 58_settle_events.sql --------------------------------------------------------------------------------------

-- From event to reaction. Matching is done outside, purely; what it decided is settled here, in one call for a batch, so that any number of
-- overlapping heartbeats give the result of one. What holds a match back: 58_guards.sql.

-- The oldest events that nobody has settled yet, at most 1000; with p_after those that come after that event, which may be settled by
-- now. Empty while reactions are paused.
create function public.ops_pending_events(p_limit integer, p_after uuid default null)
returns table (event_id uuid, type text, data jsonb, depth integer, root_event_id uuid, created_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
  select e.id, e.type, e.data, e.depth, coalesce(e.root_event_id, e.id), e.created_at
  from public.ops_agent_events e
  where e.processed_at is null and not ops.paused('reactions')
    and (e.created_at, e.id) > (coalesce((select a.created_at from public.ops_agent_events a where a.id = p_after), '-infinity'),
      coalesce(p_after, '00000000-0000-0000-0000-000000000000'))
  order by e.created_at, e.id
  limit least(p_limit, 1000)
$$;

-- Settles events that were matched. Each is marked processed, its decisions are kept for ops_why, and each match that no guard
-- stops becomes a queued reaction (or a shadow one). Outcome `skipped`: another beat settled it before. Batches settle one after the
-- other. With p_after, the id of the event before them, they can be sent before that is settled, and what travels and is read meanwhile
-- costs no time; should they be the first to come, nothing happens, and the outcome of all is `early`.
--
-- Both documents hold columns, so that each value goes into its row as it comes.
-- p_events: {"event_id": […], "decisions"?: [[{"pattern_id", "mode", "decision", "cooldown"?: {"minutes", "key"}, "threshold"?: {"count",
-- "within_minutes", "key"}, …}, …], …], "error"?: […]}: decisions as they are kept.
-- p_matches: {"event": […], "decision": […], "payload": [{"event_type", "pattern_id", "proposal_source", "proposal_template",
-- "dedupe_key"?}, …]}: the decisions that ask for a reaction, in their order; `event` and `decision` are their places, from 0.
create function public.ops_settle_events(p_policy_version integer, p_events jsonb, p_matches jsonb default '{}', p_after uuid default null)
returns table (event_id uuid, outcome text, queued integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan -- a plan for each batch would copy it
as $$
#variable_conflict use_column
declare
  v_now timestamptz;
  -- By place in p_events, from 1: the event, and what is decided about it.
  v_given uuid[];
  v_decisions jsonb[];
  v_errors text[];
  -- The events that are not skipped, in their order, and the place of each in p_events.
  v_ids uuid[];
  v_times timestamptz[];
  v_depths integer[];
  v_places integer[];
  -- By match: which of those it is about, which decision it is, what it says and asks for, and what holds it back.
  v_events integer[];
  v_which integer[];
  v_matches jsonb[];
  v_payloads jsonb[];
  v_cooldowns text[];
  v_only_cooldowns boolean;
  v_are_matches boolean;
  v_stops text[];
  -- By reaction, and by shadow of one: which event it answers.
  v_answered integer[];
  v_answers jsonb[];
  v_shadowed integer[];
  v_shadow_answers jsonb[];
  v_match integer;
  v_place integer;
  -- By event: how many reactions.
  v_queued integer[];
  v_event integer;
begin
  perform ops.require_array(p_events -> 'event_id', 'p_events.event_id', 1000);
  perform pg_advisory_xact_lock(hashtextextended('ops settle', 0));
  v_now := ops.now();

  v_given := array(select jsonb_array_elements_text(p_events -> 'event_id'))::uuid[];
  if exists (select from public.ops_agent_events e where e.id = p_after and num_nulls(e.processed_at) = 1) then
    return query select distinct g.id, 'early', 0 from unnest(v_given) g(id);
    return;
  end if;
  v_decisions := array(select jsonb_array_elements(p_events -> 'decisions'));
  v_errors := array(select jsonb_array_elements_text(p_events -> 'error'));
  v_events := array(select jsonb_array_elements_text(p_matches -> 'event'))::integer[];
  v_which := array(select jsonb_array_elements_text(p_matches -> 'decision'))::integer[];
  v_payloads := array(select jsonb_array_elements(p_matches -> 'payload'));
  -- Found by their ids: the index of what is unprocessed would give all that waits, for each call.
  select array_agg(l.id), array_agg(l.created_at), array_agg(l.depth)
    into v_ids, v_times, v_depths
  from (
    select e.id, e.created_at, e.depth from public.ops_agent_events e
    where e.id = any (v_given) and num_nulls(e.processed_at) = 1
    order by e.created_at, e.id
    for no key update of e) l;
  v_places := array(select generate_series(1, array_length(v_ids, 1)));
  if v_ids = v_given then
    v_events := array(select e + 1 from unnest(v_events) e);
  else
    -- Mostly they were given in their order. Of a pair, the first counts; what is about others is left out.
    v_places := array(select array_position(v_given, e.id) from unnest(v_ids) with ordinality e(id, number) order by e.number);
    select array_agg(m.event), array_agg(m.which), array_agg(m.payload) into v_events, v_which, v_payloads
    from (
      select e.number as event, m.which, m.payload
      from unnest(v_places) with ordinality e(place, number)
        join unnest(v_events, v_which, v_payloads) with ordinality m(event, which, payload, n) on m.event + 1 = e.place
      order by e.number, m.n) m;
  end if;
  select array_agg(m.match), array_agg(case when jsonb_typeof(m.match -> 'cooldown') = 'object' then 'cooldown' end),
      bool_and((m.match ?| array['threshold', 'dedupe_key']) is not true),
      bool_and((m.match ->> 'decision' = 'matched' and m.match ->> 'pattern_id' = m.payload ->> 'pattern_id') is true)
    into v_matches, v_cooldowns, v_only_cooldowns, v_are_matches
  from (
    select v_decisions[v_places[m.event]] -> m.which as match, m.payload
    from unnest(v_events, v_which, v_payloads) with ordinality m(event, which, payload, n) order by m.n) m;
  if v_are_matches is false then
    perform ops.fail('OPS_011', 'p_matches asks for a reaction that no decision of p_events matched for', 'p_matches');
  end if;
  v_stops := ops.hold_back(v_ids, v_times, v_depths, v_events, v_matches, v_cooldowns, v_only_cooldowns);
  select array_agg(m.event) filter (where not m.shadow), array_agg(m.payload) filter (where not m.shadow),
      array_agg(m.event) filter (where m.shadow), array_agg(m.payload) filter (where m.shadow)
    into v_answered, v_answers, v_shadowed, v_shadow_answers
  from (
    select m.event, m.payload, coalesce(m.match ->> 'mode' = 'shadow', false) as shadow
    from unnest(v_events, v_matches, v_payloads, v_stops) m(event, match, payload, stop) where m.stop is null) m;
  for v_match in select s.number from unnest(v_stops) with ordinality s(stop, number) where s.stop is not null loop
    v_place := v_places[v_events[v_match]];
    v_decisions[v_place] := jsonb_set(v_decisions[v_place], array[v_which[v_match]::text, 'decision'], to_jsonb(v_stops[v_match]), false);
  end loop;

  -- Nothing of this is there yet, unless an operator gave an event back to be settled again, or a pattern is named twice about one
  -- event. Then what is known is left out, and the verdict is a new one.
  for v_attempt in 1..2 loop
    begin
      if v_answered is not null then
        insert into public.ops_agent_reactions (id, event_id, payload, created_at, updated_at)
        select a.id, v_ids[a.event], a.payload, v_now, v_now
        from unnest(ops.new_ids(array_length(v_answered, 1)), v_answered, v_answers) a(id, event, payload);
      end if;
      insert into ops.event_verdicts (event_id, policy_version, decisions, error, settled_at)
      select e.id, p_policy_version, case when jsonb_typeof(v_decisions[e.place]) = 'array' then v_decisions[e.place] else '[]' end, v_errors[e.place], v_now
      from unnest(v_ids, v_places) e(id, place);
      exit;
    exception when unique_violation then
      if v_attempt = 2 then
        raise;
      end if;
      delete from ops.event_verdicts v where v.event_id = any (v_ids);
      select array_agg(n.event order by n.number), array_agg(n.payload order by n.number) into v_answered, v_answers
      from (
        select a.event, a.payload, a.number, row_number() over (partition by a.event, a.payload ->> 'pattern_id' order by a.number) as turn
        from unnest(v_answered, v_answers) with ordinality a(event, payload, number)) n
      where n.turn = 1 and not exists (select from public.ops_agent_reactions r where r.event_id = v_ids[n.event] and r.pattern_id = n.payload ->> 'pattern_id');
    end;
  end loop;
  if v_shadowed is not null then
    insert into ops.shadow_reactions (event_id, pattern_id, payload)
    select v_ids[a.event], a.payload ->> 'pattern_id', a.payload
    from unnest(v_shadowed, v_shadow_answers) with ordinality a(event, payload, number) order by a.number
    on conflict do nothing;
  end if;
  update public.ops_agent_events set processed_at = v_now where id = any (v_ids);

  v_queued := array_fill(0, array[coalesce(array_length(v_ids, 1), 0)]);
  foreach v_event in array coalesce(v_answered, '{}') loop
    v_queued[v_event] := v_queued[v_event] + 1;
  end loop;
  return query select e.id, 'settled', e.queued from unnest(v_ids, v_queued) e(id, queued);
  if coalesce(array_length(v_ids, 1), 0) < array_length(v_given, 1) then
    return query
    select distinct g.id, 'skipped', 0 from unnest(v_given) g(id) where g.id <> all (coalesce(v_ids, '{}'));
  end if;
end
$$;

-- 59_run_reactions.sql --------------------------------------------------------------------------------------

-- From reaction to proposal: reactions pass the gate in batches. One that cannot become a proposal fails by itself and stops no other.

-- What became of a reaction; status `invalid` when it could not become a proposal.
create type ops.reaction_answer as (reaction_id uuid, proposal_id uuid, status text, mission_id uuid, code text, reason text);

-- Takes up to p_limit queued reactions, oldest first, through the gate. A reaction that cannot become a proposal is marked
-- failed with its error and does not stop the others. Nothing happens while reactions are paused.
create function public.ops_run_reactions(p_limit integer)
returns table (reaction_id uuid, status text, proposal_id uuid, proposal_status text, mission_id uuid, code text, reason text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan -- a plan for each batch would copy it
as $$
declare
  v_reactions public.ops_agent_reactions[];
  v_ids uuid[];
  v_answers ops.reaction_answer[];
begin
  if ops.paused('reactions') then
    return;
  end if;
  select array_agg(t.r order by (t.r).created_at, (t.r).id) into v_reactions
  from (select q as r from public.ops_agent_reactions q where q.status = 'queued'
        order by q.created_at, q.id limit least(p_limit, 1000) for no key update skip locked) t;
  if v_reactions is null then
    return;
  end if;
  perform ops.lock_keys(array(select r.payload ->> 'dedupe_key' from unnest(v_reactions) r));
  v_ids := ops.new_ids(array_length(v_reactions, 1));

  v_answers := ops.answer_reactions(array(
    select row(r.n, v_ids[r.n], r.payload -> 'proposal_template', r.payload ->> 'proposal_source', r.payload ->> 'dedupe_key', null, null,
      null, r.id, r.pattern_id, coalesce(e.root_event_id, e.id), e.depth, null, null)::ops.gate_item
    from unnest(v_reactions) with ordinality r(id, event_id, status, payload, pattern_id, created_at, updated_at, n)
    join public.ops_agent_events e on e.id = r.event_id order by r.n));

  update public.ops_agent_reactions r
  set status = case a.status when 'invalid' then 'failed' else 'done' end,
    payload = case when r.payload -> 'error' is null then r.payload else r.payload - 'error' end || case a.status
      when 'invalid' then jsonb_build_object('error', jsonb_build_object('code', a.code, 'message', a.reason))
      -- As text: half of what jsonb_build_object takes, and nothing to strip.
      else ('{"result": {' || substr(concat(', "code": ' || to_json(a.code), ', "reason": ' || to_json(a.reason), ', "status": ' || to_json(a.status),
        ', "mission_id": "' || a.mission_id || '"', ', "proposal_id": "' || a.proposal_id || '"'), 3) || '}}')::jsonb end
  from unnest(v_answers) a where r.id = a.reaction_id;

  return query
  select a.reaction_id, case a.status when 'invalid' then 'failed' else 'done' end, a.proposal_id, nullif(a.status, 'invalid'), a.mission_id,
    a.code, a.reason
  from unnest(v_answers) a;
end
$$;

-- Reactions at the gate. What nobody foresaw is looked for in halves, until the one that it belongs to has failed by itself.
create function ops.answer_reactions(p_items ops.gate_item[]) returns ops.reaction_answer[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_half integer := array_length(p_items, 1) / 2;
begin
  return array(select row(i.reaction_id, a.proposal_id, a.status, a.mission_id, a.code, a.reason)::ops.reaction_answer
    from unnest(ops.pass_gate(p_items)) a join unnest(p_items) i on i.n = a.n order by a.n);
exception
  when query_canceled or admin_shutdown or lock_not_available or deadlock_detected or serialization_failure then
    raise;
  when others then
    if v_half = 0 then
      return array[row(p_items[1].reaction_id, null, 'invalid', null, sqlstate, sqlerrm)::ops.reaction_answer];
    end if;
    return ops.answer_reactions(p_items[:v_half]) || ops.answer_reactions(p_items[v_half + 1:]);
end
$$;

-- 60_missions.sql -------------------------------------------------------------------------------------------

-- Missions begin: an admitted proposal becomes a mission with its steps, and whoever sleeps and takes one of them is woken.

-- Turns admitted proposals into missions with their steps: those that have a decision for exactly their template, and no mission yet.
-- The proposals are locked.
create function ops.start_missions(p_proposals uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_admitted public.ops_mission_proposals;
begin
  for v_admitted in
    select p.* from public.ops_mission_proposals p
    join ops.decisions d on d.proposal_id = p.id and d.decision in ('approved', 'auto_approved') and d.digest = ops.template_digest(p.template)
    where p.id = any (p_proposals) and not exists (select from public.ops_missions m where m.proposal_id = p.id)
    order by p.id
  loop
    perform ops.make_missions(
      array[row(1, v_admitted.id, v_admitted.template, v_admitted.source, v_admitted.dedupe_key, null, null, null, null, null,
        v_admitted.root_event_id, v_admitted.depth, 1, v_admitted.digest)::ops.gate_item],
      array[row(1, v_admitted.template, null, null)::ops.gate_shape], v_admitted.policy_snapshot);
  end loop;
end
$$;

-- The missions and steps of proposals that have been decided on. Params are each item's own, all else of a step is its shape's.
-- Ids of steps begin as their mission's and go on with their position, so that steps are claimed in the order of their proposals.
-- Returns the missions' ids, in the order of the proposals.
create function ops.make_missions(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_snapshot jsonb) returns uuid[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_ids uuid[] := ops.new_ids(array_length(p_items, 1));
  v_middle text := right(gen_random_uuid()::text, 5);
  v_end integer := floor(random() * 983040);
begin
  with step as materialized (
    select h.shape, s.*, array['steps', (s."position" - 1)::text, 'params'] as path, to_hex(s."position" + 15) || v_middle as middle,
      greatest(v_now + coalesce((s.step -> 'delay_seconds')::integer, 0) * interval '1 second', (s.step ->> 'run_at')::timestamptz) as run_at,
      (case when s.depends_on = '{}' then 'queued' else 'waiting' end)::public.ops_step_status as status,
      coalesce((s.step -> 'delay_seconds')::integer, 0) as delay_seconds, (s.step -> 'timeout_seconds')::integer as timeout_seconds,
      (s.step -> 'max_retries')::integer as max_retries, coalesce((s.step -> 'cost_usd')::numeric, 0) as cost_usd, s.step ->> 'service' as service
    from (select distinct i.shape from unnest(p_items) i) i, unnest(p_shapes[i.shape:i.shape]) h, ops.template_steps(h.template) s
  ), item as materialized (
    select i.id, i.template, i.source, i.dedupe_key, i.root_event_id, i.depth, i.shape, i.mission_id, i.at,
      left(i.mission_id::text, 24) as head, jsonb_array_length(i.template -> 'steps') as steps
    from unnest(p_items, v_ids) with ordinality i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, mission_id, at)
  ), mission as (
    insert into public.ops_missions (id, proposal_id, policy_snapshot, title, source, agent, dedupe_key, root_event_id, depth,
      steps_total, steps_open, created_at, updated_at)
    select i.mission_id, i.id, p_snapshot, i.template ->> 'title', i.source, i.template ->> 'agent', i.dedupe_key,
      coalesce(i.root_event_id, i.id), coalesce(i.depth, 0), i.steps, i.steps, v_now, v_now
    from item i
  )
  insert into public.ops_mission_steps (id, mission_id, kind, params, status, executor, created_at, updated_at, key, position, agent,
    depends_on, uses_results, priority, run_at, delay_seconds, ready, timeout_seconds, declared_retries, cost_reserved_usd, revision, service)
  select (i.head || s.middle || to_hex(65536 + (v_end + (i.at * 100 + s."position") * 40507) % 983040))::uuid, i.mission_id, s.kind, p.params,
    s.status, s.executor, v_now, v_now, s.key, s."position", s.agent, s.depends_on,
    strpos(p.params::text, '{{') > 0 and p.params::text ~ '\{\{\s*steps\.', s.priority, s.run_at, s.delay_seconds, s.run_at <= v_now,
    s.timeout_seconds, s.max_retries, s.cost_usd, 1, s.service
  from item i join step s on s.shape = i.shape
    cross join lateral (select coalesce(i.template #> s.path, '{}') as params offset 0) p;
  if cardinality(v_ids) = 1 then
    perform ops.wake_for_mission(v_ids[1]);
  else
    perform ops.wake_workers();
  end if;
  return v_ids;
end
$$;

-- Wakes somebody for a mission that has just been made: for its first step, if that is one, as for a step by itself.
create function ops.wake_for_mission(p_mission_id uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_steps ops.queue[];
begin
  if exists (select from ops.sleepers where until > ops.now()) then
    select array_agg(q) into v_steps
    from public.ops_mission_steps s join ops.queue q on q.step_id = s.id
    where s.mission_id = p_mission_id and q.status = 'queued' and q.ready;
    if cardinality(v_steps) = 1 then
      perform ops.wake_for(v_steps[1].step_id, v_steps[1].executor, v_steps[1].priority, v_steps[1].run_at);
    else
      perform ops.wake_workers();
    end if;
  end if;
end
$$;

-- The mission of one admitted proposal, made if it is not there yet.
create function ops.start_mission(p_proposal_id uuid) returns uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mission_id uuid;
begin
  select id into v_mission_id from public.ops_missions where proposal_id = p_proposal_id;
  if found then
    return v_mission_id;
  end if;
  perform from public.ops_mission_proposals where id = p_proposal_id for no key update;
  if not found then
    perform ops.fail('OPS_013', format('there is no proposal %s', p_proposal_id), 'p_proposal_id');
  end if;
  if exists (select from ops.archive a where a.parent_id = p_proposal_id and a.entity = 'mission') then
    perform ops.fail('OPS_009', format('proposal %s had its mission, which was deleted since', p_proposal_id), 'p_proposal_id',
      'an approval is used once: propose it again');
  end if;
  perform ops.start_missions(array[p_proposal_id]);
  select id into v_mission_id from public.ops_missions where proposal_id = p_proposal_id;
  if not found then
    perform ops.fail('OPS_009', format('proposal %s is not approved', p_proposal_id), 'p_proposal_id',
      'only ops_approve_proposal or policy auto_approve opens the way to a mission');
  end if;
  return v_mission_id;
end
$$;

-- The mission of an admitted proposal, made if it is not there yet. Errors: OPS_009 when it is not approved, or its mission was deleted;
-- OPS_013 unknown.
create function public.ops_create_mission_from_proposal(p_proposal_id uuid) returns uuid
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select ops.start_mission(p_proposal_id) $$;

-- 61_cancel.sql ---------------------------------------------------------------------------------------------

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

-- 61_retry.sql ----------------------------------------------------------------------------------------------

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

-- 61_roll_up.sql --------------------------------------------------------------------------------------------

-- Missions are rolled up by a counter of their open steps, and end once, when none is open. What a step was waited for is queued, what can no
-- longer run is cancelled.

-- Takes finished steps off their missions' counters and ends the missions that have none left. The missions are locked; p_missions
-- names one for each step. Answers the statuses of missions that have not succeeded, by id, and those that go on.
create function ops.roll_up(p_missions uuid[], out statuses jsonb, out going uuid[])
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_ended uuid[];
begin
  with finished as (
    select mission_id, count(*)::integer as n from unnest(p_missions) mission_id group by mission_id
  ), rolled as (
    update public.ops_missions m
    set steps_open = m.steps_open - f.n,
      status = case when m.steps_open > f.n then 'running'
        when m.steps_failed > 0 then 'failed' when m.steps_cancelled > 0 then 'cancelled' else 'succeeded' end::public.ops_mission_status,
      started_at = coalesce(m.started_at, v_now),
      completed_at = case when m.steps_open = f.n then v_now end,
      updated_at = v_now
    from finished f where m.id = f.mission_id
    returning m.id, m.status, m.steps_open
  )
  select jsonb_object_agg(id, status) filter (where status <> 'succeeded'), array_agg(id) filter (where steps_open = 0), array_agg(id) filter (where steps_open > 0)
  into statuses, v_ended, going from rolled;
  if v_ended is not null then
    perform ops.finish_missions(v_ended);
  end if;
end
$$;

-- What follows the end of missions, once for each end: the event, the dedupe key set free, money settled.
-- Whoever calls holds the missions' locks and has just made them terminal.
create function ops.finish_missions(p_missions uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_ids uuid[] := ops.new_ids(array_length(p_missions, 1));
  v_keys text[];
  v_priced uuid[];
begin
  with ended as materialized (
    select n.event_id, 'mission:' || m.status as type,
      -- Most missions have nothing to leave out.
      case when m.status = 'succeeded' and m.title is not null and m.source is not null and m.agent is null and m.end_reason is null
        then (select to_jsonb(d) from (select o.steps, m.title, m.source, m.status, m.id as mission_id, m.proposal_id) d)
        else (select jsonb_strip_nulls(to_jsonb(d)) from (
          select o.steps, m.title, m.source, m.agent, m.status, m.id as mission_id, m.proposal_id, m.end_reason as reason,
            (select min(s.key) from public.ops_mission_steps s where s.mission_id = m.id and s.status = 'failed') as failed_step,
            (select min(s.last_error) from public.ops_mission_steps s where s.mission_id = m.id and s.status = 'failed') as error) d)
      end as data,
      m.id, m.round, m.root_event_id, m.depth + 1 as depth, m.dedupe_key, o.priced
    from unnest(p_missions, v_ids) n(id, event_id) join public.ops_missions m on m.id = n.id,
      lateral (
        select jsonb_object_agg(s.key, s.status) as steps, bool_or(s.cost_reserved_usd <> 0 or s.cost_usd is not null) as priced
        from public.ops_mission_steps s where s.mission_id = m.id having count(*) > 0) o
  ), told as (
    insert into public.ops_agent_events (id, type, data, mission_id, round, root_event_id, depth, created_at)
    select e.event_id, e.type, e.data, e.id, e.round, e.root_event_id, e.depth, v_now from ended e
  )
  select array_agg(e.dedupe_key) filter (where e.dedupe_key is not null), array_agg(e.id) filter (where e.priced)
  into v_keys, v_priced from ended e;

  if v_keys is not null then
    perform ops.lock_held_keys(v_keys);
    -- A key with a window stays held until that closes.
    update ops.live_keys k set live = false
    from public.ops_missions m
    where m.id = any (p_missions) and k.dedupe_key = m.dedupe_key and k.proposal_id = m.proposal_id;
    delete from ops.live_keys k
    where k.dedupe_key = any (v_keys) and not k.live and coalesce(k.held_until, '-infinity') <= ops.now();
  end if;
  if v_priced is not null then
    perform ops.settle_costs(v_priced);
  end if;
end
$$;

-- Replaces what missions had reserved: by what they cost when they have ended, where a step that never started costs nothing and one that
-- reported no cost costs what it had declared; by what they may cost when they are open again.
create function ops.settle_costs(p_missions uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_day date;
  v_usd numeric;
begin
  for v_day, v_usd in
    with cost as (
      select p.id, p.cap_day, p.reserved_usd,
        (select coalesce(sum(case when s.status < 'succeeded' then greatest(s.cost_usd, s.cost_reserved_usd)
           when s.attempt = 0 then 0 else coalesce(s.cost_usd, s.cost_reserved_usd) end), 0)
         from public.ops_mission_steps s where s.mission_id = m.id) as usd
      from public.ops_missions m join public.ops_mission_proposals p on p.id = m.proposal_id
      where m.id = any (p_missions)
    ), changed as (
      update public.ops_mission_proposals p set reserved_usd = c.usd
      from cost c where p.id = c.id and c.usd <> c.reserved_usd
      returning c.cap_day, c.usd - c.reserved_usd as usd
    )
    select cap_day, sum(usd) from changed where cap_day is not null group by cap_day order by cap_day
  loop
    perform ops.settle_usd(v_day, v_usd);
  end loop;
end
$$;

-- Queues the waiting steps whose dependencies have all succeeded. The missions are locked. Returns how many.
create function ops.release_waiting(p_missions uuid[]) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_steps uuid[];
begin
  with released as (
    update public.ops_mission_steps w
    set status = 'queued', revision = w.revision + 1, updated_at = v_now,
      run_at = greatest(w.run_at, v_now + w.delay_seconds * interval '1 second'),
      ready = greatest(w.run_at, v_now + w.delay_seconds * interval '1 second') <= v_now
    from ops.queue q
    where q.mission_id = any (p_missions) and q.status = 'waiting' and w.id = q.step_id and w.status = 'waiting'
      and not exists (
        select from public.ops_mission_steps d
        where d.mission_id = w.mission_id and d.key = any (w.depends_on) and d.status <> 'succeeded')
    returning w.id
  )
  select array_agg(id) into v_steps from released;
  perform ops.queue_again(v_steps);
  return coalesce(cardinality(v_steps), 0);
end
$$;

-- Cancels steps that are not terminal. Attempts in flight end here: their token is void, and what they still send is kept
-- as evidence. The missions are locked; their counters are the caller's.
create function ops.cancel_steps(p_steps uuid[], p_reason text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  -- Locked first, in a statement of its own: a claim that is under way is then seen as the attempt it has become.
  perform from public.ops_mission_steps where id = any (p_steps) order by id for no key update;
  insert into public.ops_action_runs (id, step_id, executor, status, started_at, completed_at, error, attempt, worker_id)
  select s.lease_token, s.id, s.executor, 'cancelled', s.reserved_at, v_now, p_reason, s.attempt, s.worker_id
  from public.ops_mission_steps s where s.id = any (p_steps) and s.status = 'running';
  update public.ops_mission_steps s
  set status = 'cancelled', end_reason = p_reason, lease_token = null, lease_expires_at = null, completed_at = v_now,
    updated_at = v_now, revision = s.revision + 1
  where s.id = any (p_steps) and s.status in ('waiting', 'queued', 'running');
  perform ops.queue_again(p_steps);
end
$$;

-- Ends missions before their time: everything not terminal is cancelled. The missions are locked and not terminal.
create function ops.end_missions(p_missions uuid[], p_status public.ops_mission_status, p_actor text, p_reason text, p_step_reason text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_steps uuid[];
begin
  select array_agg(id order by id) into v_steps from public.ops_mission_steps
  where mission_id = any (p_missions) and status in ('waiting', 'queued', 'running');
  perform ops.cancel_steps(v_steps, p_step_reason);
  update public.ops_missions m
  set status = p_status, steps_open = 0, completed_at = v_now, updated_at = v_now, ended_by = p_actor, end_reason = p_reason,
    steps_cancelled = c.cancelled, steps_failed = c.failed
  from (select s.mission_id, count(*) filter (where s.status = 'cancelled') as cancelled, count(*) filter (where s.status = 'failed') as failed
        from public.ops_mission_steps s where s.mission_id = any (p_missions) group by s.mission_id) c
  where m.id = c.mission_id;
  perform ops.finish_missions(p_missions);
  return coalesce(array_length(v_steps, 1), 0);
end
$$;

-- Makes a mission agree with its steps, whatever happened to them. The mission is locked. An ended mission stays as it
-- ended unless a step is open again, or its steps (if they are all still there) say that it cannot have ended so.
create function ops.resync_mission(p_mission_id uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_was public.ops_missions;
  v_is public.ops_missions;
begin
  select * into v_was from public.ops_missions where id = p_mission_id for no key update;
  -- A first claim that is under way is waited for: it has found the mission locked and leaves it to us to start it.
  perform from public.ops_mission_steps where mission_id = p_mission_id and status = 'queued' order by id for no key update;
  update public.ops_missions m
  set steps_total = greatest(c.total, m.steps_total), steps_open = c.open,
    steps_failed = c.failed, steps_cancelled = c.cancelled,
    status = case when c.open > 0 then case when c.started then 'running' else 'approved' end
      when c.failed > 0 then 'failed' when c.cancelled > 0 then 'cancelled' else 'succeeded' end::public.ops_mission_status,
    completed_at = case when c.open = 0 then v_now end,
    started_at = case when c.started then coalesce(m.started_at, v_now) else m.started_at end,
    round = m.round + case when m.completed_at is not null then 1 else 0 end,
    ended_by = null, end_reason = null, updated_at = v_now
  from (select count(*) as total, count(*) filter (where status in ('waiting', 'queued', 'running')) as open,
          count(*) filter (where status = 'failed') as failed, count(*) filter (where status = 'cancelled') as cancelled,
          coalesce(bool_or(attempt > 0), false) as started
        from (select s.status::text, s.attempt from public.ops_mission_steps s where s.mission_id = p_mission_id
              union all
              -- Steps that ended and were deleted count as they ended.
              select a.status, (a.data ->> 'attempt')::integer from ops.archive a
              where a.parent_id = p_mission_id and a.entity = 'step') of_mission) c
  where m.id = p_mission_id and (
    m.completed_at is null or c.open > 0
    or (m.status = 'succeeded' and c.failed + c.cancelled > 0)
    or (m.status = 'failed' and c.failed = 0 and c.total >= m.steps_total)
    or (m.status = 'cancelled' and c.failed + c.cancelled = 0 and c.total >= m.steps_total))
  returning m.* into v_is;
  if not found then
    return;
  end if;
  if v_was.completed_at is not null and v_is.completed_at is null then
    insert into ops.reopenings (mission_id, round, reopened_by) values (p_mission_id, v_is.round, ops.actor()) on conflict do nothing;
  end if;
  if v_is.completed_at is not null then
    perform ops.finish_missions(array[p_mission_id]);
  elsif v_was.completed_at is not null then
    if v_is.dedupe_key is not null and ops.take_key(v_is.dedupe_key, v_is.proposal_id, null) <> v_is.proposal_id then
      perform ops.fail('OPS_014', format('dedupe key "%s" belongs to newer work', v_is.dedupe_key), 'dedupe_key',
        'let that finish, or cancel it, then retry');
    end if;
    perform ops.settle_costs(array[p_mission_id]);
  end if;
end
$$;

-- Rolls a mission up again: idempotent, and a repair after edits that went round the triggers.
create function public.ops_maybe_finalize_mission(p_mission_id uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.ops_missions where id = p_mission_id for no key update;
  if found then
    perform ops.queue_again(array(select s.id from public.ops_mission_steps s where s.mission_id = p_mission_id));
    perform ops.resync_mission(p_mission_id);
    if ops.release_waiting(array[p_mission_id]) > 0 then
      perform ops.wake_workers();
    end if;
  end if;
end
$$;

-- 62_claims.sql ---------------------------------------------------------------------------------------------

-- Claims: a worker takes steps until a deadline. Each claim gives a token, which proves that the lease is still its own.

-- All that a claim has to know before it looks for steps, read in one statement: a claim of one step costs little more than its
-- fixed parts. Of each setting the first that is given counts: policy worker_policy, then the worker's environment, then the default.
create function ops.claim_terms(p_worker_id uuid,
  out lease_seconds integer, out default_retries integer,
  -- Nothing is handed out: claims are paused; this is a restored copy that nobody has released.
  out paused boolean, out held boolean,
  -- Nobody has settled where the work is at home; the worker has not been seen for a while; scheduled steps have come due.
  out homeless boolean, out unseen boolean, out due boolean,
  out blocked text[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  select coalesce((p.worker_policy ->> 'lease_minutes')::numeric, (w.settings ->> 'lease_minutes')::numeric, 5) * 60,
    coalesce((p.worker_policy ->> 'max_retries')::numeric, (w.settings ->> 'max_retries')::numeric, 3),
    coalesce((p.control #>> '{pause,claims}')::boolean, false),
    coalesce(h.identity <> ops.identity(), false), h.identity is null,
    coalesce(w.last_seen_at < v_now - interval '10 seconds', false),
    exists (select from ops.queue q where q.status = 'queued' and not q.ready and q.run_at <= v_now),
    case when coalesce(p.control #> '{pause,executors}', '[]') = '[]' and coalesce(p.worker_policy -> 'blocked_executors', '[]') = '[]'
      then '{}' else ops.blocked_executors() end
  into lease_seconds, default_retries, paused, held, homeless, unseen, due, blocked
  -- `offset 0` keeps each policy read once.
  from (select (select value from public.ops_policy where key = 'control') as control,
          (select value from public.ops_policy where key = 'worker_policy') as worker_policy offset 0) p
  left join ops.workers w on w.id = p_worker_id
  left join (select identity from ops.homes order by id desc limit 1) h on true;
end
$$;

-- Executors that have something claimable; hops from one to the next in the claim's index.
create function ops.claimable_executors() returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (with recursive hop as (
    (select q.executor from ops.queue q where q.status = 'queued' and q.ready order by q.executor limit 1)
    union all
    select (select q.executor from ops.queue q
            where q.status = 'queued' and q.ready and q.executor > h.executor order by q.executor limit 1)
    from hop h where h.executor is not null
  )
  select coalesce(array_agg(executor) filter (where executor is not null), '{}') from hop);
end
$$;

-- Executors that the control switch or worker_policy keeps from being claimed.
create function ops.blocked_executors() returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select jsonb_array_elements_text(coalesce(ops.policy('control') #> '{pause,executors}', '[]'))
    union
    select jsonb_array_elements_text(coalesce(ops.policy('worker_policy') -> 'blocked_executors', '[]')));
end
$$;

-- Steps whose time has come join the claimable ones, the longest due first, at most 500.
create function ops.ready_due_steps() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_now timestamptz := ops.now();
  v_steps uuid[];
begin
  with due as materialized (
    -- Each step is looked up from its row in the queue: a join could begin with the steps, and read all that there are. Rows come in the
    -- order of their index, so that no more are locked than taken; a sort would lock all that are due.
    select d.id from ops.queue q, lateral (
      select s.id from public.ops_mission_steps s
      where s.id = q.step_id and s.status = 'queued' and not s.ready and s.run_at <= v_now
      for no key update skip locked) d
    where q.status = 'queued' and not q.ready and q.run_at <= v_now
    order by q.run_at limit 500
  ), come as (
    update public.ops_mission_steps s set ready = true, revision = s.revision + 1 from due where s.id = due.id returning s.id
  )
  select array_agg(id) into v_steps from come;
  perform ops.queue_again(v_steps);
end
$$;

-- Claims up to p_limit (1..1000) steps of the named executors for a registered worker. Each claim gives a fresh token and a
-- deadline by the database's clock, and counts as an attempt. `p_lease_seconds` overrides policy and environment. `p_room`
-- {executor: n} takes no more than n steps of that executor, so that a busy one leaves room for the others.
-- `inputs` holds the results of the mission's finished steps, by key, where params ask for them.
--
-- `p_past` {executor: {"priority", "run_at", "step_id"}}, the last step that the worker was given, begins behind it. What was
-- claimed since the last vacuum lies at the head of the index, and a long transaction of anybody's keeps it there; who drains
-- thousands need not read over it each time. What came to stand before the last step meanwhile is not seen, nor what a claim had
-- taken that was rolled back, so a worker leaves this out about once a second and whenever it gets less than it asked for.
--
-- `p_handed`: somebody else claims for a worker that sleeps (ops.wake_for).
create function public.ops_claim_steps(p_worker_id uuid, p_executors text[], p_limit integer, p_lease_seconds integer default null,
  p_room jsonb default null, p_past jsonb default null, p_handed boolean default false)
returns table (step_id uuid, token uuid, mission_id uuid, key text, kind text, executor text, agent text, params jsonb, inputs jsonb,
  attempt integer, failure_count integer, max_retries integer, timeout_seconds integer, lease_expires_at timestamptz,
  lease_seconds integer, mission_title text, depth integer, priority smallint, run_at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
set random_page_cost = 1.1
set enable_nestloop = on
set enable_tidscan = on
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_terms record := ops.claim_terms(p_worker_id);
  v_lease integer := coalesce(p_lease_seconds, v_terms.lease_seconds);
  v_now timestamptz;
  v_steps uuid[];
  v_missions uuid[];
  -- The rows of the steps, which stay where they are as long as they are locked, and those of the queue.
  v_places tid[];
  v_queued tid[];
  v_tokens uuid[];
  v_leased integer;
begin
  if (p_limit between 1 and 1000) is not true then
    perform ops.fail('OPS_011', 'p_limit must be between 1 and 1000', 'p_limit');
  end if;
  if v_lease not between 1 and 86400 then
    perform ops.fail('OPS_011', 'a lease lasts 1 second to 24 hours', 'p_lease_seconds');
  end if;
  if p_executors is null then
    perform ops.fail('OPS_011', 'name the executors', 'p_executors');
  end if;
  if jsonb_path_exists(p_room, 'strict $.* ? (@.type() != "number" || @ < 0 || @ > 1000)') then
    perform ops.fail('OPS_011', 'p_room holds whole numbers from 0 to 1000, by executor', 'p_room');
  end if;
  if v_terms.unseen and not p_handed then
    update ops.workers set last_seen_at = ops.now() where id = p_worker_id;
  end if;
  if v_terms.paused then
    return;
  end if;
  if v_terms.homeless then
    perform ops.settle_home();
  end if;
  if v_terms.held then
    return;
  end if;
  if v_terms.due then
    perform ops.ready_due_steps();
  end if;
  v_now := ops.now();

  -- The most urgent of each executor, then of all: the lower priority number, then the longest due. They are locked.
  select array_agg(c.id), array_agg(c.mission_id), array_agg(c.place), array_agg(c.queued) into v_steps, v_missions, v_places, v_queued
  from (
    select c.*
    from unnest(p_executors) with ordinality e(executor, n),
      lateral (
        select s.id, s.mission_id, q.priority, q.run_at, s.ctid as place, q.ctid as queued
        from ops.queue q join public.ops_mission_steps s on s.id = q.step_id
        where q.status = 'queued' and q.ready and q.executor = e.executor and q.run_at <= v_now
          -- Being taken by somebody else, or was by a claim that was rolled back: the step need not be looked up to see that.
          and (p_past is null or q.xmax = '0')
          and (q.priority, q.run_at, q.step_id) > (
            coalesce((p_past #>> array[e.executor, 'priority'])::integer, -32768),
            coalesce((p_past #>> array[e.executor, 'run_at'])::timestamptz, '-infinity'),
            coalesce((p_past #>> array[e.executor, 'step_id'])::uuid, '00000000-0000-0000-0000-000000000000'))
          -- Judged again once the step is locked: the queue's row is as old as this statement.
          and s.status = 'queued' and s.ready and s.run_at <= v_now
        order by q.priority, q.run_at, q.step_id
        limit least(p_limit, (p_room ->> e.executor)::integer)
        for no key update of s skip locked) c
    -- Each executor once, whatever the worker says.
    where e.executor <> all (v_terms.blocked) and e.n = array_position(p_executors, e.executor)
    order by c.priority, c.run_at, c.id limit p_limit) c;
  if v_steps is null then
    return;
  end if;

  v_tokens := ops.new_ids(cardinality(v_steps));
  -- A statement of its own: it sees the results that made these steps claimable.
  return query
  with dequeued as (
    delete from ops.queue q using unnest(v_queued, v_steps) t(place, step_id) where q.ctid = t.place and q.step_id = t.step_id returning q.step_id
  ), rewritten as (
    -- A row that was rewritten meanwhile stands elsewhere.
    delete from ops.queue q where q.step_id = any (case when (select count(*) from dequeued) < cardinality(v_steps) then v_steps end)
  ), started as (
    -- A mission starts with its first claim. One that is locked is being started, or ended, by somebody else.
    update public.ops_missions m set status = 'running', started_at = coalesce(m.started_at, v_now), updated_at = v_now
    from (select f.ctid as place from public.ops_missions f
          where f.id = any (v_missions) and f.status = 'approved'
          for no key update skip locked) first
    where m.ctid = first.place
  ), noted as (
    insert into ops.claims (id, steps, claimed_at, look_at, handed_to, handed_until)
    values (v_tokens[1], v_steps, v_now, v_now + least(v_lease, 1) * interval '1 second',
      case when p_handed then p_worker_id end, case when p_handed then v_now + v_lease * interval '1 second' end)
  )
  update public.ops_mission_steps s
  set status = 'running', lease_token = c.token, reserved_at = v_now,
    lease_expires_at = v_now + v_lease * interval '1 second', worker_id = p_worker_id, attempt = s.attempt + 1, updated_at = v_now,
    revision = s.revision + 1, max_retries = coalesce(s.declared_retries, v_terms.default_retries)
  -- In the order of the claim: with the settings above, rows can only be looked up one after the other, as the places come.
  from unnest(v_places, v_missions, v_tokens) c(place, mission_id, token) join public.ops_missions m on m.id = c.mission_id
  -- The queue first: from then on others see that these steps are taken.
  where s.ctid = c.place and (select count(*) from dequeued) >= 0
  returning s.id, s.lease_token, s.mission_id, s.key, s.kind, s.executor, s.agent, s.params,
    case when s.uses_results then (
      select coalesce(jsonb_object_agg(d.key, d.result), '{}') from public.ops_mission_steps d
      where d.mission_id = s.mission_id and d.status = 'succeeded') end,
    s.attempt, s.failure_count, s.max_retries, s.timeout_seconds, s.lease_expires_at, v_lease, m.title, m.depth, s.priority, s.run_at;
  get diagnostics v_leased = row_count;
  if v_leased <> cardinality(v_steps) then
    raise exception 'claimed % steps and leased %', cardinality(v_steps), v_leased using errcode = 'serialization_failure';
  end if;
end
$$;

-- Claims the next step whatever its executor, for clients without registration. The row carries the lease token.
create function public.ops_claim_next_step(p_lease_minutes integer) returns setof public.ops_mission_steps
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_id uuid;
begin
  if p_lease_minutes not between 1 and 1440 then
    perform ops.fail('OPS_011', 'a lease lasts 1 to 1440 minutes', 'p_lease_minutes');
  end if;
  select c.step_id into v_id from public.ops_claim_steps(null, ops.claimable_executors(), 1, p_lease_minutes * 60) c;
  return query select * from public.ops_mission_steps where id = v_id;
end
$$;

-- 62_handover.sql -------------------------------------------------------------------------------------------

-- Handover: whoever makes a step claims it for a worker that sleeps, so that it begins with the commit.

-- Wakes somebody for a step that has just become claimable; asked only where somebody sleeps. A sleeper that takes its executor is handed a step: claimed
-- here, in the transaction that made the step, and told to the worker alone, it starts as soon as that has committed. Each sleeper is handed one, and
-- the next when it has lain down again. Whoever has not been seen for 15 seconds is handed none, and what was not begun within a minute goes back
-- and costs no failure (ops.take_back).
create function ops.wake_for(p_step_id uuid, p_executor text, p_priority smallint, p_run_at timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_sleeper record;
  v_step_id uuid;
  v_told text;
begin
  -- In other isolation levels a row that somebody changed meanwhile would be an error, and that the proposer's.
  if current_setting('transaction_isolation') = 'read committed' then
    select s.worker_id, s.channel, s.lease_seconds into v_sleeper
    from ops.sleepers s join ops.workers w on w.id = s.worker_id
    where s.until > v_now and p_executor = any (s.takes) and w.last_seen_at > v_now - interval '15 seconds'
    order by w.last_seen_at desc limit 1 for update of s skip locked;
    if found then
      -- Not what stands before it: the locks of other missions are none of this transaction's business, which may be a long one.
      select c.step_id, to_json(c)::text into v_step_id, v_told
      from public.ops_claim_steps(v_sleeper.worker_id, array[p_executor], 1, v_sleeper.lease_seconds,
        p_past => jsonb_build_object(p_executor, jsonb_build_object('priority', p_priority, 'run_at', p_run_at)), p_handed => true) c;
      if found then
        delete from ops.sleepers where worker_id = v_sleeper.worker_id;
        -- Postgres takes less than 8,000 bytes.
        perform pg_notify(v_sleeper.channel, case when octet_length(v_told) < 8000 then v_told else '' end);
      end if;
    end if;
  end if;
  -- One that became claimable in the same microsecond may have been handed over instead.
  if v_step_id is distinct from p_step_id then
    perform ops.wake_workers();
  end if;
end
$$;

-- Steps that were handed to a worker while it slept and that it has not prolonged yet, as a claim gives them; `lease_seconds` is what is left.
create function public.ops_handed_steps(p_worker_id uuid)
returns table (step_id uuid, token uuid, mission_id uuid, key text, kind text, executor text, agent text, params jsonb, inputs jsonb,
  attempt integer, failure_count integer, max_retries integer, timeout_seconds integer, lease_expires_at timestamptz,
  lease_seconds integer, mission_title text, depth integer, priority smallint, run_at timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
begin
  return query
  select s.id, s.lease_token, s.mission_id, s.key, s.kind, s.executor, s.agent, s.params,
    case when s.uses_results then (
      select coalesce(jsonb_object_agg(d.key, d.result), '{}') from public.ops_mission_steps d
      where d.mission_id = s.mission_id and d.status = 'succeeded') end,
    s.attempt, s.failure_count, s.max_retries, s.timeout_seconds, s.lease_expires_at,
    floor(extract(epoch from s.lease_expires_at - v_now))::integer, m.title, m.depth, s.priority, s.run_at
  from ops.claims c
    join public.ops_mission_steps s on s.id = c.steps[1] and s.status = 'running' and s.worker_id = p_worker_id and s.lease_expires_at = c.handed_until
    join public.ops_missions m on m.id = s.mission_id
  where c.handed_to = p_worker_id and c.handed_until >= v_now + interval '1 second';
end
$$;

-- 62_renewals.sql -------------------------------------------------------------------------------------------

-- Renewals: a lease is prolonged by its token, or its worker learns that it is lost.

-- Prolongs leases: [{"step_id", "token"}], at most 1,000. Outcomes: ok (with the new deadline), lost (abort the work now), or busy:
-- somebody is ending that step at this moment, ask again soon.
create function public.ops_renew_steps(p_leases jsonb, p_lease_seconds integer default null)
returns table (step_id uuid, outcome text, lease_expires_at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
begin
  perform ops.require_array(p_leases, 'p_leases', 1000);
  if p_lease_seconds not between 1 and 86400 then
    perform ops.fail('OPS_011', 'a lease lasts 1 second to 24 hours', 'p_lease_seconds');
  end if;
  return query
  with given as materialized (
    select distinct g.step_id, g.token from jsonb_to_recordset(p_leases) as g(step_id uuid, token uuid)
  ), free as materialized (
    select s.id, s.worker_id from public.ops_mission_steps s join given g on g.step_id = s.id and g.token = s.lease_token
    for no key update of s skip locked
  ), term as materialized (
    select f.worker_id, coalesce(p_lease_seconds, (ops.claim_terms(f.worker_id)).lease_seconds) as seconds
    from (select distinct worker_id from free) f
  ), renewed as (
    update public.ops_mission_steps s
    set lease_expires_at = v_now + t.seconds * interval '1 second'
    from free f join term t on t.worker_id is not distinct from f.worker_id where s.id = f.id
    returning s.id, s.lease_expires_at
  )
  select g.step_id,
    case when count(r.id) > 0 then 'ok' when count(s.id) > 0 then 'busy' else 'lost' end,
    max(r.lease_expires_at)
  from given g
  left join renewed r on r.id = g.step_id
  left join public.ops_mission_steps s on s.id = g.step_id and s.lease_token = g.token
  group by g.step_id;
end
$$;

-- 62_workers.sql --------------------------------------------------------------------------------------------

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

-- 63_failures.sql -------------------------------------------------------------------------------------------

-- Attempts that fail: tried again after a backoff, or dead letters that take their mission down.

-- Seconds to wait after the n-th failure: full jitter under an exponential ceiling, bounded for any n.
create function ops.backoff_seconds(p_failures integer) returns double precision
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  return random() * least(
    coalesce((ops.policy('worker_policy') ->> 'backoff_max_seconds')::double precision, 900),
    coalesce((ops.policy('worker_policy') ->> 'backoff_base_seconds')::double precision, 5) * power(2, least(greatest(p_failures, 1), 30) - 1));
end
$$;

-- Ends attempts as failures: back to the queue after a backoff, or dead when attempts are used up or the error is permanent;
-- a death ends the mission. The missions of steps that may die are locked. Answers the steps whose token held, and how many died.
-- Planned once: with the statistics of full tables, planning would take longer than the work.
create function ops.fail_attempts(p_failures jsonb, out steps uuid[], out tokens uuid[], out died integer)
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := ops.now();
  v_dead uuid[];
  v_missions uuid[];
begin
  with given as materialized (
    select g.step_id, g.token, g.error, g.permanent, g.retry_after_seconds, g.meta, ops.reported_usd(g.cost_usd) as cost_usd
    from jsonb_to_recordset(p_failures)
      as g(step_id uuid, token uuid, error text, permanent boolean, retry_after_seconds numeric, meta jsonb, cost_usd numeric)
  ), judged as materialized (
    select g.*, s.executor, s.reserved_at, s.attempt, s.worker_id,
      coalesce(g.permanent, false) or s.failure_count + 1 >= coalesce(s.max_retries, 3) as dies,
      v_now + least(coalesce(g.retry_after_seconds, ops.backoff_seconds(s.failure_count + 1)), 604800) * interval '1 second' as run_at
    from given g join public.ops_mission_steps s on s.id = g.step_id and s.lease_token = g.token
  ), ended as (
    update public.ops_mission_steps s
    set status = case when j.dies then 'failed' else 'queued' end::public.ops_step_status,
      failure_count = s.failure_count + 1, last_error = left(coalesce(j.error, 'failed without a message'), 8000),
      cost_usd = coalesce(s.cost_usd + j.cost_usd, s.cost_usd, j.cost_usd),
      lease_token = null, lease_expires_at = null, completed_at = case when j.dies then v_now end,
      end_reason = case when j.dies then case when coalesce(j.permanent, false) then 'permanent' else 'attempts_used_up' end end,
      run_at = case when j.dies then s.run_at else j.run_at end, ready = case when j.dies then s.ready else j.run_at <= v_now end,
      updated_at = v_now, revision = s.revision + 1
    from judged j where s.id = j.step_id and s.lease_token = j.token
    returning s.id, s.mission_id, j.dies, j.token
  ), recorded as (
    insert into public.ops_action_runs (id, step_id, executor, status, started_at, completed_at, meta, error, attempt, worker_id, cost_usd)
    select j.token, j.step_id, j.executor, 'failed', j.reserved_at, v_now, coalesce(nullif(j.meta, 'null'), '{}'),
      left(coalesce(j.error, 'failed without a message'), 8000), j.attempt, j.worker_id, j.cost_usd
    from judged j join ended e on e.id = j.step_id
  )
  select array_agg(id), array_agg(token), array_agg(id) filter (where dies), count(*) filter (where dies),
    array_agg(distinct mission_id) filter (where dies)
  into steps, tokens, v_dead, died, v_missions from ended;
  perform ops.queue_again(steps);

  if v_dead is not null then
    insert into public.ops_agent_events (type, data, mission_id, run_id, root_event_id, depth)
    select 'step:' || s.kind || ':failed',
      jsonb_strip_nulls(jsonb_build_object('step_id', s.id, 'mission_id', m.id, 'title', m.title, 'source', m.source, 'key', s.key, 'kind', s.kind,
        'executor', s.executor, 'agent', s.agent, 'attempts', s.attempt, 'error', s.last_error, 'reason', s.end_reason)),
      m.id, (select r.id from public.ops_action_runs r where r.step_id = s.id and r.attempt = s.attempt), m.root_event_id, m.depth + 1
    from public.ops_mission_steps s join public.ops_missions m on m.id = s.mission_id
    where s.id = any (v_dead) order by s.id;
    perform ops.end_missions(array(select id from public.ops_missions where id = any (v_missions) and completed_at is null),
      'failed', 'engine', 'a step failed', 'mission_failed');
  end if;
end
$$;

-- Records failure: [{"step_id", "token", "error", "permanent"?, "retry_after_seconds"?, "meta"?, "cost_usd"?, "events"?}].
-- Answers the step's new status: queued (again at run_at) or failed (dead letter).
create function public.ops_fail_steps(p_failures jsonb)
returns table (step_id uuid, outcome text, step_status text, run_at timestamptz, mission_id uuid, mission_status text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_items jsonb;
  v_steps uuid[];
  v_tokens uuid[];
begin
  perform ops.require_array(p_failures, 'p_failures', 1000);
  v_items := ops.first_items(p_failures);
  perform ops.lock_missions_of(v_items);
  select f.steps, f.tokens into v_steps, v_tokens from ops.fail_attempts(v_items) f;
  if v_steps is not null then
    perform ops.emit_of_runs(v_items, v_tokens);
  end if;
  if coalesce(array_length(v_steps, 1), 0) < jsonb_array_length(v_items) then
    perform ops.keep_late(v_items, 'failed', v_tokens);
  end if;
  return query
  select g.step_id, case when g.step_id = any (v_steps) then 'ok' else 'lost' end, s.status::text,
    case when s.status = 'queued' then s.run_at end, m.id, m.status::text
  from (select distinct (i ->> 'step_id')::uuid as step_id from jsonb_array_elements(p_failures) i) g
  left join public.ops_mission_steps s on s.id = g.step_id
  left join public.ops_missions m on m.id = s.mission_id;
end
$$;

-- 63_hand_backs.sql -----------------------------------------------------------------------------------------

-- Attempts that end without having failed: snoozed by their executor, or handed back by a worker that has to go.

-- Gives leases back without a failure, to run again after some seconds. p_status tells the run's record why. Waits for its steps,
-- so it locks their missions first, as everyone does who waits.
create function ops.hand_back(p_items jsonb, p_status text) returns uuid[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_steps uuid[];
begin
  perform ops.lock_missions_of(p_items);
  with given as materialized (
    select g.* from jsonb_to_recordset(ops.first_items(p_items)) as g(step_id uuid, token uuid, seconds numeric, reason text)
  ), held as materialized (
    select s.id, s.executor, s.reserved_at, s.attempt, s.worker_id, g.token, g.reason,
      v_now + least(greatest(coalesce(g.seconds, 0), 0), 31536000) * interval '1 second' as run_at
    from public.ops_mission_steps s join given g on g.step_id = s.id and g.token = s.lease_token
    order by s.id for no key update of s
  ), returned as (
    update public.ops_mission_steps s
    set status = 'queued', lease_token = null, lease_expires_at = null, run_at = h.run_at, ready = h.run_at <= v_now,
      updated_at = v_now, revision = s.revision + 1
    from held h where s.id = h.id
    returning s.id
  ), recorded as (
    insert into public.ops_action_runs (id, step_id, executor, status, started_at, completed_at, error, attempt, worker_id)
    select h.token, h.id, h.executor, p_status, h.reserved_at, v_now, h.reason, h.attempt, h.worker_id from held h
  )
  select array_agg(id) into v_steps from returned;
  if v_steps is not null then
    perform ops.queue_again(v_steps);
    perform ops.wake_workers();
  end if;
  return v_steps;
end
$$;

-- Puts steps off: [{"step_id", "token", "seconds", "reason"?}]. Costs no failure.
create function public.ops_snooze_steps(p_snoozes jsonb) returns table (step_id uuid, outcome text, run_at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_steps uuid[];
begin
  perform ops.require_array(p_snoozes, 'p_snoozes', 1000);
  v_steps := ops.hand_back(p_snoozes, 'snoozed');
  return query
  select g.step_id, case when g.step_id = any (v_steps) then 'ok' else 'lost' end, case when g.step_id = any (v_steps) then s.run_at end
  from (select distinct (i ->> 'step_id')::uuid as step_id from jsonb_array_elements(p_snoozes) i) g
  left join public.ops_mission_steps s on s.id = g.step_id;
end
$$;

-- Hands leases back at once, as a stopping worker does: [{"step_id", "token"}]. Costs no failure.
create function public.ops_release_steps(p_leases jsonb) returns table (step_id uuid, outcome text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_steps uuid[];
begin
  perform ops.require_array(p_leases, 'p_leases', 1000);
  v_steps := ops.hand_back(p_leases, 'released');
  return query
  select g.step_id, case when g.step_id = any (v_steps) then 'ok' else 'lost' end
  from (select distinct (i ->> 'step_id')::uuid as step_id from jsonb_array_elements(p_leases) i) g;
end
$$;

-- 63_outcomes.sql -------------------------------------------------------------------------------------------

-- Outcomes: how an attempt ends. Every write carries the token and answers `ok` or `lost`; a lost one changes nothing and is
-- kept as evidence. Missions are locked before their steps, so the last two steps of a mission may end at once, in any order.

-- The items of a call without repetitions: the first for each step and token.
create function ops.first_items(p_items jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(jsonb_agg(f.item order by f.n), '[]')
  from (select distinct on (i.item ->> 'step_id', i.item ->> 'token') i.item, i.n
        from jsonb_array_elements(p_items) with ordinality i(item, n)
        order by i.item ->> 'step_id', i.item ->> 'token', i.n) f);
end
$$;

-- Locks the missions of steps whose token still holds, in id order.
create function ops.lock_missions_of(p_leases jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.ops_missions m
  where m.id = any (array(
    select s.mission_id from jsonb_to_recordset(p_leases) as g(step_id uuid, token uuid)
    join public.ops_mission_steps s on s.id = g.step_id and s.lease_token = g.token))
  order by m.id
  for no key update;
end
$$;

-- Keeps what came too late. p_tokens are those that held.
create function ops.keep_late(p_items jsonb, p_outcome text, p_tokens uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.late_results (step_id, token, outcome, payload)
  select (i ->> 'step_id')::uuid, (i ->> 'token')::uuid, p_outcome, i - 'step_id' - 'token'
  from jsonb_array_elements(p_items) i
  where (i ->> 'token')::uuid <> all (coalesce(p_tokens, '{}'))
    and exists (select from public.ops_mission_steps s where s.id = (i ->> 'step_id')::uuid);
end
$$;

-- Stores what executors emitted, in the chain of their mission. Part of the outcome's transaction: an event of an attempt that
-- was not recorded never happened. Errors: OPS_011 names the event.
create function ops.emit_of_runs(p_items jsonb, p_tokens uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_bad record;
begin
  if not jsonb_path_exists(p_items, '$[*].events[*] ? (@ != null)') then
    return;
  end if;
  select i ->> 'step_id' as step_id, p.field, p.problem into v_bad
  from jsonb_array_elements(p_items) i, jsonb_path_query(i, '$.events[*] ? (@ != null)') e, ops.event_problem(e, false) p
  where p.problem is not null and (i ->> 'token')::uuid = any (p_tokens) limit 1;
  if found then
    perform ops.fail('OPS_011', format('event of step %s: %s %s', v_bad.step_id, v_bad.field, v_bad.problem), 'events.' || v_bad.field);
  end if;
  insert into public.ops_agent_events (type, data, dedupe_key, mission_id, run_id, root_event_id, depth)
  select e ->> 'type', coalesce(nullif(e -> 'data', 'null'), '{}'), e ->> 'dedupe_key', m.id, (i ->> 'token')::uuid,
    m.root_event_id, m.depth + 1
  from jsonb_array_elements(p_items) i
  join public.ops_mission_steps s on s.id = (i ->> 'step_id')::uuid
  join public.ops_missions m on m.id = s.mission_id,
  jsonb_path_query(i, '$.events[*] ? (@ != null)') e
  where (i ->> 'token')::uuid = any (p_tokens)
  order by e ->> 'dedupe_key'
  on conflict (dedupe_key) do nothing;
end
$$;

-- What a worker says an attempt cost, within what a step may cost at all: no report may spoil the day's count.
create function ops.reported_usd(p_cost numeric) returns numeric
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when p_cost is not null then round(least(greatest(p_cost, 0), 1000000), 6) end;
end
$$;

-- Records success: [{"step_id", "token", "result"?, "cost_usd"?, "meta"?, "events"?}], at most 1,000. Steps that waited for
-- these become claimable, missions without open steps end, all in this one transaction.
create function public.ops_complete_steps(p_results jsonb)
returns table (step_id uuid, outcome text, mission_id uuid, mission_status text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_count integer := ops.require_array(p_results, 'p_results', 1000);
  v_now timestamptz;
  v_ids uuid[];
  v_given uuid[];
  v_results jsonb[];
  v_costs numeric[];
  v_metas jsonb[];
  v_distinct integer;
  v_steps uuid[];
  v_tokens uuid[];
  v_missions uuid[];
  v_statuses jsonb;
  v_going uuid[];
begin
  -- JSON is read once; from here on it is arrays. Only a call that repeats itself is read again, without the repetitions.
  for v_reading in 1..2 loop
    select array_agg(g.step_id), array_agg(g.token), array_agg(g.result), array_agg(nullif(g.meta, 'null')), count(distinct g.token),
      array_agg(case when g.cost_usd is not null then ops.reported_usd(g.cost_usd) end)
    into v_ids, v_given, v_results, v_metas, v_distinct, v_costs
    from jsonb_to_recordset(p_results) as g(step_id uuid, token uuid, result jsonb, cost_usd numeric, meta jsonb);
    exit when v_distinct = v_count or v_reading = 2;
    p_results := ops.first_items(p_results);
    v_count := jsonb_array_length(p_results);
  end loop;

  -- Also those of leases that somebody else has by now: looking at tokens here costs more than their locks.
  perform from public.ops_missions m
  where m.id = any (array(select s.mission_id from public.ops_mission_steps s where s.id = any (v_ids) and s.lease_token is not null))
  order by m.id
  for no key update;
  v_now := ops.now();

  with done as (
    update public.ops_mission_steps s
    set status = 'succeeded', result = g.result, cost_usd = coalesce(s.cost_usd + g.cost_usd, s.cost_usd, g.cost_usd), lease_token = null,
      lease_expires_at = null, last_error = null, completed_at = v_now, updated_at = v_now, revision = s.revision + 1
    from unnest(v_ids, v_given, v_results, v_costs, v_metas) g(id, token, result, cost_usd, meta)
    where s.id = g.id and s.lease_token = g.token
    returning s.id, s.mission_id, s.executor, s.reserved_at, s.attempt, s.worker_id, g.token, g.meta, g.cost_usd
  ), recorded as (
    insert into public.ops_action_runs (id, step_id, executor, status, started_at, completed_at, meta, attempt, worker_id, cost_usd)
    select token, id, executor, 'succeeded', reserved_at, v_now, coalesce(meta, '{}'), attempt, worker_id, cost_usd from done
  )
  select array_agg(id), array_agg(token), array_agg(mission_id) into v_steps, v_tokens, v_missions from done;

  if v_steps is not null then
    perform ops.emit_of_runs(p_results, v_tokens);
    select r.statuses, r.going into v_statuses, v_going from ops.roll_up(v_missions) r;
    if v_going is not null and ops.release_waiting(v_going) > 0 then
      perform ops.wake_workers();
    end if;
    -- Now and then for all: what has ended leaves the claims. Not when steps are claimed, which somebody waits for.
    if random() < 0.125 then
      perform ops.look_at_claims(v_now - interval '10 seconds', 32);
    end if;
    return query
    select d.id, 'ok', d.mission_id, case when v_statuses is null then 'succeeded' else coalesce(v_statuses ->> d.mission_id::text, 'succeeded') end
    from unnest(v_steps, v_missions) d(id, mission_id);
  end if;
  if coalesce(cardinality(v_steps), 0) < v_count then
    perform ops.keep_late(p_results, 'succeeded', v_tokens);
    return query
    select l.id, 'lost', m.id, m.status::text
    from (select unnest(v_ids) as id except select unnest(v_steps)) l
    left join public.ops_mission_steps s on s.id = l.id
    left join public.ops_missions m on m.id = s.mission_id;
  end if;
end
$$;

-- 64_recovery.sql -------------------------------------------------------------------------------------------

-- Recovery: attempts whose worker fell silent, or that renew for ever.
--
-- A step that can be tried again needs no lock but its own. One that would die takes its mission down, so its mission and all
-- its open steps are locked first. Neither waits: what somebody else holds is being ended this very moment, or is met next
-- time, and is passed over before the limit counts, so it never starves the rest.

-- Locks open missions with all their open steps, but for those of which somebody else holds a part. Returns the ones it has.
create function ops.hold_missions(p_missions uuid[]) returns uuid[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_missions uuid[];
  v_steps uuid[];
begin
  select array_agg(m.id) into v_missions
  from (select id from public.ops_missions where id = any (p_missions) and completed_at is null
        order by id for no key update skip locked) m;
  select array_agg(s.id) into v_steps
  from (select id from public.ops_mission_steps where mission_id = any (v_missions) and status in ('waiting', 'queued', 'running')
        order by id for no key update skip locked) s;
  return array(
    select m.id from unnest(v_missions) m(id)
    where not exists (
      select from public.ops_mission_steps s
      where s.mission_id = m.id and s.status in ('waiting', 'queued', 'running') and s.id <> all (coalesce(v_steps, '{}'))));
end
$$;

-- Takes back what was handed to workers that have not begun it within a minute, up to p_limit steps: to run again at once, and no failure.
-- Returns how many. Waits for nobody.
create function ops.take_back(p_limit integer) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_now timestamptz := ops.now();
  v_handed uuid[];
  v_items jsonb;
begin
  -- First which steps they are: in one statement, a plan that was made over empty tables read all steps to find out.
  v_handed := array(select c.steps[1] from ops.claims c
    where c.handed_to is not null and (c.claimed_at < v_now - interval '1 minute' or c.handed_until < v_now));
  if v_handed = '{}' then
    return 0;
  end if;
  select jsonb_agg(jsonb_build_object('step_id', o.id, 'token', o.lease_token, 'reason', 'handed to a worker that did not begin it')) into v_items
  from (select s.id, s.lease_token
        from public.ops_mission_steps s join public.ops_missions m on m.id = s.mission_id
        where s.id = any (v_handed) and s.status = 'running'
          -- Not handed over anew since.
          and exists (select from ops.claims c
            where c.handed_to is not null and c.steps[1] = s.id and c.handed_until = s.lease_expires_at
              and (c.claimed_at < v_now - interval '1 minute' or c.handed_until < v_now))
        limit p_limit for no key update of m, s skip locked) o;
  if v_items is null then
    return 0;
  end if;
  return cardinality(ops.hand_back(v_items, 'released'));
end
$$;

-- Fails overdue attempts: up to p_limit that can be tried again, and those that end up to p_limit missions.
create function ops.recover(p_mode text, p_threshold interval, p_limit integer, out requeued integer, out died integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_batch uuid[];
  v_met uuid[] := '{}';
  v_held uuid[] := '{}';
  v_failures jsonb;
  v_running uuid[];
  v_taken integer := 0;
begin
  requeued := 0;
  died := 0;
  if ops.on_hold() then
    return;
  end if;
  if p_mode = 'lease' then
    v_taken := ops.take_back(p_limit);
  end if;
  -- Leases are over in claims whose time has come; what runs on and on may be in any. Far more are looked at than will be taken, so that those
  -- that somebody holds do not stand before the others; next time they come last (look_at_claims).
  select array_agg(o.id) into v_running
  from (select s.id from ops.claims c, unnest(c.steps) u(id), lateral (
          select t.id from public.ops_mission_steps t
          where t.id = u.id and t.status = 'running' and (p_mode <> 'lease' or t.lease_expires_at < v_now) offset 0) s
        where p_mode <> 'lease' or c.look_at <= v_now
        order by c.look_at limit case when p_mode = 'lease' then 20 * p_limit end) o;

  if v_running is not null then
    -- Deaths come first: whoever holds steps already may not wait for more.
    while cardinality(v_held) < p_limit loop
      select array_agg(distinct o.mission_id) into v_batch
      from (
        select s.mission_id from public.ops_mission_steps s
        where s.id = any (v_running) and s.status = 'running' and (p_mode <> 'lease' or s.lease_expires_at < v_now)
          and ops.overdue(s, p_mode, p_threshold, v_now) is not null
          and s.failure_count + 1 >= coalesce(s.max_retries, 3) and s.mission_id <> all (v_met)
        order by s.lease_expires_at limit p_limit - cardinality(v_held)) o;
      exit when v_batch is null;
      v_met := v_met || v_batch;
      v_held := v_held || ops.hold_missions(v_batch);
    end loop;
    select jsonb_agg(jsonb_build_object('step_id', o.id, 'token', o.lease_token, 'error', o.error)) into v_failures
    from (
      select s.id, s.lease_token, ops.overdue(s, p_mode, p_threshold, v_now) as error
      from public.ops_mission_steps s
      where s.mission_id = any (v_held) and s.status = 'running') o
    where o.error is not null;
    select f.died into died from ops.fail_attempts(coalesce(v_failures, '[]')) f;

    select jsonb_agg(jsonb_build_object('step_id', o.id, 'token', o.lease_token, 'error', o.error)) into v_failures
    from (
      select s.id, s.lease_token, ops.overdue(s, p_mode, p_threshold, v_now) as error
      from public.ops_mission_steps s
      where s.id = any (v_running) and s.status = 'running' and (p_mode <> 'lease' or s.lease_expires_at < v_now)
        and ops.overdue(s, p_mode, p_threshold, v_now) is not null
        and s.failure_count + 1 < coalesce(s.max_retries, 3)
      order by s.lease_expires_at limit p_limit
      for no key update skip locked) o;
    select coalesce(cardinality(f.steps), 0) into requeued from ops.fail_attempts(coalesce(v_failures, '[]')) f;
    if requeued > 0 then
      perform ops.wake_workers();
    end if;
  end if;

  requeued := requeued + v_taken;
  if p_mode = 'lease' then
    perform ops.look_at_claims('-infinity', 1000);
  end if;

  -- A first claim that met its mission locked could not start it.
  update public.ops_missions m set status = 'running', started_at = coalesce(m.started_at, v_now), updated_at = v_now
  from (select f.id from public.ops_missions f
        where f.status = 'approved' and f.id = any (array(select s.mission_id from ops.running_steps s))
        order by f.id for no key update skip locked) unstarted
  where m.id = unstarted.id;
end
$$;

-- Why a running step is overdue, or null. Mode `lease`: its deadline has passed. Mode `stale`: it is older than its own timeout
-- and a minute's grace for the worker to end it, or, without one, than the threshold; however often it was renewed.
create function ops.overdue(p_step public.ops_mission_steps, p_mode text, p_threshold interval, p_now timestamptz) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_mode = 'lease' and p_step.lease_expires_at < p_now
      then 'lease expired: the worker fell silent'
    when p_mode = 'stale' and p_step.reserved_at < p_now
        - coalesce((p_step.timeout_seconds + 60) * interval '1 second', p_threshold)
      then 'stale: still running after ' || round(extract(epoch from p_now - p_step.reserved_at)) || ' seconds'
  end;
end
$$;

-- Requeues, with backoff, up to p_limit steps whose lease has expired, and dead-letters those that end up to p_limit missions.
-- Never NULL counts.
create function public.ops_recover_expired_leases(p_limit integer default 500)
returns table (requeued_steps integer, failed_steps integer)
language sql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$ select r.requeued, r.died from ops.recover('lease', null, p_limit) r $$;

-- Fails steps that run on past their timeout, or past p_threshold_minutes where they have none, in batches as above
-- (null: worker_policy.stale_minutes, then 15).
create function public.ops_recover_stale_steps(p_threshold_minutes integer default null, p_limit integer default 500)
returns table (recovered_steps integer)
language sql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
  select r.requeued + r.died
  from ops.recover('stale',
    coalesce(p_threshold_minutes, (ops.policy('worker_policy') ->> 'stale_minutes')::numeric, 15) * interval '1 minute', p_limit) r
$$;

-- 65_hand_edits.sql -----------------------------------------------------------------------------------------

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

-- 66_queue.sql ----------------------------------------------------------------------------------------------

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

-- 67_restore_hold.sql ---------------------------------------------------------------------------------------

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

-- 68_provenance.sql -----------------------------------------------------------------------------------------

-- Provenance: every row can say why it exists.
--
-- event → reaction → proposal → mission → step → run → event. Each row has one parent, so a chain is a tree under its root.

-- All rows of the loop in one shape, live and archived. Events stand here four times and proposals twice, by what their parent
-- is, so that each look-up by parent can go by an index. A parent that was deleted by hand is in ops.severed_links.
create view ops.lineage as
  select 'event' as entity, e.id, l.parent_id, e.created_at as at,
    case when e.processed_at is null then 'unprocessed' else 'processed' end as status, e.type as summary,
    jsonb_build_object('depth', e.depth, 'root_event_id', coalesce(e.root_event_id, e.id), 'dedupe_key', e.dedupe_key) as details
  from public.ops_agent_events e left join ops.severed_links l on l.id = e.id
  where e.run_id is null and e.mission_id is null and e.proposal_id is null
union all
  select 'event' as entity, e.id, e.proposal_id as parent_id, e.created_at as at,
    case when e.processed_at is null then 'unprocessed' else 'processed' end as status, e.type as summary,
    jsonb_build_object('depth', e.depth, 'root_event_id', coalesce(e.root_event_id, e.id), 'dedupe_key', e.dedupe_key) as details
  from public.ops_agent_events e where e.run_id is null and e.mission_id is null and e.proposal_id is not null
union all
  select 'event' as entity, e.id, e.mission_id as parent_id, e.created_at as at,
    case when e.processed_at is null then 'unprocessed' else 'processed' end as status, e.type as summary,
    jsonb_build_object('depth', e.depth, 'root_event_id', coalesce(e.root_event_id, e.id), 'dedupe_key', e.dedupe_key) as details
  from public.ops_agent_events e where e.run_id is null and e.mission_id is not null
union all
  select 'event' as entity, e.id, e.run_id as parent_id, e.created_at as at,
    case when e.processed_at is null then 'unprocessed' else 'processed' end as status, e.type as summary,
    jsonb_build_object('depth', e.depth, 'root_event_id', coalesce(e.root_event_id, e.id), 'dedupe_key', e.dedupe_key) as details
  from public.ops_agent_events e where e.run_id is not null
union all
  select 'reaction', r.id, r.event_id, r.created_at, r.status, coalesce(r.pattern_id, 'reaction'), r.payload - 'proposal_template'
  from public.ops_agent_reactions r
union all
  select 'proposal', p.id, p.reaction_id, p.created_at, p.status::text, coalesce(p.title, 'proposal'),
    jsonb_build_object('source', p.source, 'code', p.code, 'reason', p.reason, 'decided_by', p.decided_by)
  from public.ops_mission_proposals p where p.reaction_id is not null
union all
  select 'proposal', p.id, l.parent_id, p.created_at, p.status::text, coalesce(p.title, 'proposal'),
    jsonb_build_object('source', p.source, 'code', p.code, 'reason', p.reason, 'decided_by', p.decided_by)
  from public.ops_mission_proposals p left join ops.severed_links l on l.id = p.id where p.reaction_id is null
union all
  select 'mission', m.id, m.proposal_id, m.created_at, m.status::text, coalesce(m.title, 'mission'),
    jsonb_build_object('steps_total', m.steps_total, 'started_at', m.started_at, 'completed_at', m.completed_at, 'end_reason', m.end_reason)
  from public.ops_missions m
union all
  select 'step', s.id, s.mission_id, s.created_at, s.status::text, s.key || ' (' || s.kind || ')',
    jsonb_build_object('executor', s.executor, 'agent', s.agent, 'attempt', s.attempt, 'failure_count', s.failure_count,
      'last_error', s.last_error, 'completed_at', s.completed_at, 'position', s.position)
  from public.ops_mission_steps s
union all
  select 'run', r.id, r.step_id, r.started_at, r.status, 'attempt ' || coalesce(r.attempt::text, '?'),
    jsonb_build_object('executor', r.executor, 'completed_at', r.completed_at, 'error', r.error, 'worker_id', r.worker_id)
  from public.ops_action_runs r
union all
  select a.entity, a.id, a.parent_id, a.at, a.status, a.summary, a.details || '{"archived": true}'
  from ops.archive a;

-- A root and all that came of it, live rows and archived ones; level by level, and no level after more than p_limit rows. By arrays, not by
-- a join: a condition on parent_id reaches the indexes under the view, a join would read all of every table.
create function ops.chain_of(p_root uuid, p_limit integer default 2147483647) returns uuid[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_chain uuid[] := array[p_root];
  v_level uuid[] := array[p_root];
begin
  while cardinality(v_level) > 0 and cardinality(v_chain) < p_limit loop
    v_level := array(select l.id from ops.lineage l where l.parent_id = any (v_level));
    v_chain := v_chain || v_level;
  end loop;
  return v_chain;
end
$$;

-- Where the chain of a row began: the oldest ancestor that is still there, or null when no row has that id.
create function ops.root_of(p_id uuid) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_root uuid;
  v_next uuid := p_id;
  v_parent uuid;
begin
  for i in 1..10000 loop
    select l.parent_id into v_parent from ops.lineage l where l.id = v_next;
    exit when not found;
    v_root := v_next;
    v_next := v_parent;
  end loop;
  return v_root;
end
$$;

-- The whole chain that any row belongs to, both ways: from the event or proposal that began it to everything that came of it,
-- parents before children. At most 10,000 rows. Errors: OPS_013 when no row has that id.
create function public.ops_trace(p_id uuid)
returns table ("position" integer, entity text, id uuid, parent_id uuid, at timestamptz, status text, summary text, details jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_root uuid := ops.root_of(p_id);
  v_chain uuid[] := ops.chain_of(v_root, 10000);
begin
  if v_root is null then
    perform ops.fail('OPS_013', format('nothing has the id %s', p_id), 'p_id', 'pass the id of an event, reaction, proposal, mission, step or run');
  end if;
  return query
  with recursive link as materialized (
    select l.* from ops.lineage l where l.id = any (v_chain)
  ), tree as (
    select l.*, array[(l.at, l.id)] as path from link l where l.id = v_root
    union all
    select l.*, t.path || (l.at, l.id)
    from tree t join link l on l.parent_id = t.id
    where array_length(t.path, 1) < 500
  )
  select row_number() over (order by t.path)::integer, t.entity, t.id, t.parent_id, t.at, t.status, t.summary, t.details
  from (select * from tree limit 10000) t
  order by 1;
end
$$;

-- What each pattern decided about an event, and why. Patterns that the event's type ruled out are listed too, as the policy
-- version in force had them; archived events answer too. No rows: nobody has settled the event yet. Errors: OPS_013 unknown event.
create function public.ops_why(p_event_id uuid)
returns table (pattern_id text, decision text, detail jsonb, reaction_id uuid)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  if not exists (select from ops.lineage l where l.id = p_event_id and l.entity = 'event') then
    perform ops.fail('OPS_013', format('there is no event %s', p_event_id), 'p_event_id');
  end if;
  return query
  with verdict as (
    select v.policy_version, v.decisions, v.error, e.type
    from ops.event_verdicts v join public.ops_agent_events e on e.id = v.event_id where v.event_id = p_event_id
    union all
    select v.policy_version, v.decisions, v.error, a.summary
    from ops.archive a, jsonb_populate_record(null::ops.event_verdicts, a.decided) v
    where a.id = p_event_id and a.entity = 'event' and a.decided is not null
  ), told as (
    select d ->> 'pattern_id' as pattern_id, d ->> 'decision' as decision, d - 'pattern_id' - 'decision' as detail
    from verdict, jsonb_array_elements(decisions) d where jsonb_typeof(d) = 'object'
  )
  select t.pattern_id, t.decision, t.detail,
    (select l.id from ops.lineage l where l.parent_id = p_event_id and l.entity = 'reaction' and l.summary = t.pattern_id)
  from told t
  union all
  select coalesce(p ->> 'id', p ->> 'name'), 'not_matched',
    jsonb_build_object('condition', 'event_type', 'wanted', coalesce(p -> 'event_type', p -> 'type'), 'got', v.type), null
  from verdict v
  join ops.policy_history h on h.key = 'reaction_matrix' and h.version = v.policy_version,
  jsonb_array_elements(h.value -> 'patterns') p
  where not exists (select from told t where t.pattern_id = coalesce(p ->> 'id', p ->> 'name'))
  union all
  select '*', 'error', jsonb_build_object('message', v.error), null from verdict v where v.error is not null;
end
$$;

-- What happened since a moment, oldest first, one row for each thing that reached a state. Rows carry the time they were
-- written, which is before they could be seen: poll with an overlap, and remember (entity, id, status). The engine's own canary is left out.
create function public.ops_timeline(p_since timestamptz, p_limit integer default 500)
returns table (at timestamptz, entity text, id uuid, root_event_id uuid, status text, summary text, details jsonb)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
  select t.* from (
    select e.created_at as at, 'event' as entity, e.id, coalesce(e.root_event_id, e.id) as root_event_id, 'received' as status, e.type as summary,
      jsonb_strip_nulls(jsonb_build_object('type', e.type, 'depth', e.depth, 'mission_id', e.mission_id, 'run_id', e.run_id,
        'source', e.data -> 'source', 'action', e.data -> 'action', 'title', e.data -> 'title',
        'repository', e.data #> '{repository,full_name}')) as details
    from public.ops_agent_events e
    where e.created_at >= p_since and e.type <> 'canary:ping' and not (e.mission_id is not null and coalesce(e.data ->> 'source', '') = 'canary')
    union all
    select r.updated_at, 'reaction', r.id, coalesce(e.root_event_id, e.id), r.status, r.pattern_id,
      jsonb_strip_nulls(jsonb_build_object('pattern_id', r.pattern_id, 'event_id', r.event_id, 'event_type', e.type, 'error', r.payload #> '{error,message}'))
    from public.ops_agent_reactions r join public.ops_agent_events e on e.id = r.event_id where r.created_at >= p_since - interval '1 day' and r.updated_at >= p_since
      and r.pattern_id is distinct from 'ops:canary'
    union all
    select p.updated_at, 'proposal', p.id, coalesce(p.root_event_id, p.id), p.status::text, p.title,
      jsonb_strip_nulls(jsonb_build_object('title', p.title, 'code', p.code, 'reason', p.reason, 'source', p.source, 'pattern_id', p.pattern_id,
        'decided_by', p.decided_by,
        'event_id', (select r.event_id from public.ops_agent_reactions r where r.id = p.reaction_id),
        'mission_id', (select m.id from public.ops_missions m where m.proposal_id = p.id)))
    from public.ops_mission_proposals p where p.updated_at >= p_since and p.source <> 'canary'
    union all
    select r.completed_at, 'step', s.id, m.root_event_id, case when r.status = 'failed' and s.attempt > r.attempt then 'queued' when r.status = 'failed' then s.status::text else r.status end,
      s.key, jsonb_strip_nulls(jsonb_build_object('key', s.key, 'kind', s.kind, 'mission_id', m.id, 'title', m.title, 'error', r.error, 'attempt', r.attempt,
        'duration_ms', round(extract(epoch from r.completed_at - r.started_at) * 1000)))
    from public.ops_action_runs r join public.ops_mission_steps s on s.id = r.step_id join public.ops_missions m on m.id = s.mission_id
    where r.completed_at >= p_since and m.source is distinct from 'canary'
    union all
    select m.completed_at, 'mission', m.id, m.root_event_id, m.status::text, m.title,
      jsonb_strip_nulls(jsonb_build_object('title', m.title, 'steps_total', m.steps_total, 'proposal_id', m.proposal_id, 'reason', m.end_reason,
        'duration_ms', round(extract(epoch from m.completed_at - m.created_at) * 1000)))
    from public.ops_missions m where m.completed_at >= p_since and m.source is distinct from 'canary'
  ) t
  order by t.at, t.id
  limit least(p_limit, 5000)
$$;

-- 69_archive.sql --------------------------------------------------------------------------------------------

-- Archive: finished work leaves the live tables and keeps its trace.
--
-- Deleting is archiving: whoever deletes rows of the loop, by ops_archive or by a DELETE of their own, a trigger keeps a copy
-- with its place in the chain and what was decided about it. Where the children stay, they keep their place as well.

create function ops.keep_deleted() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_argv[0] = 'event' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, decided, data)
    select 'event', e.id, coalesce(e.run_id, e.mission_id, e.proposal_id, l.parent_id), e.created_at, 'processed', e.type,
      jsonb_build_object('depth', e.depth), to_jsonb(v), to_jsonb(e)
    from gone e left join ops.severed_links l on l.id = e.id left join ops.event_verdicts v on v.event_id = e.id
    -- Beats leave no trace.
    where e.type not in ('heartbeat:success', 'heartbeat:failure')
    on conflict do nothing;
    delete from ops.severed_links l using gone e where l.id = e.id;
    delete from ops.event_verdicts v using gone e where v.event_id = e.id;
  elsif tg_argv[0] = 'reaction' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'reaction', r.id, r.event_id, r.created_at, r.status, coalesce(r.pattern_id, 'reaction'), '{}', to_jsonb(r)
    from gone r on conflict do nothing;
  elsif tg_argv[0] = 'proposal' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, decided, data)
    select 'proposal', p.id, coalesce(p.reaction_id, l.parent_id), p.created_at, p.status::text, coalesce(p.title, 'proposal'),
      jsonb_build_object('code', p.code), to_jsonb(d), to_jsonb(p)
    from gone p left join ops.severed_links l on l.id = p.id left join ops.decisions d on d.proposal_id = p.id
    on conflict do nothing;
    delete from ops.severed_links l using gone p where l.id = p.id;
    delete from ops.decisions d using gone p where d.proposal_id = p.id;
  elsif tg_argv[0] = 'mission' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'mission', m.id, m.proposal_id, m.created_at, m.status::text, coalesce(m.title, 'mission'), jsonb_build_object('completed_at', m.completed_at), to_jsonb(m)
    from gone m on conflict do nothing;
  elsif tg_argv[0] = 'step' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'step', s.id, s.mission_id, s.created_at, s.status::text, s.key || ' (' || s.kind || ')', jsonb_build_object('attempt', s.attempt), to_jsonb(s)
    from gone s on conflict do nothing;
  else
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'run', r.id, r.step_id, r.started_at, r.status, 'attempt ' || coalesce(r.attempt::text, '?'), jsonb_build_object('error', r.error), to_jsonb(r)
    from gone r on conflict do nothing;
  end if;
  return null;
end
$$;

create trigger ops_agent_events_archive after delete on public.ops_agent_events
  referencing old table as gone for each statement execute function ops.keep_deleted('event');
create trigger ops_agent_reactions_archive after delete on public.ops_agent_reactions
  referencing old table as gone for each statement execute function ops.keep_deleted('reaction');
create trigger ops_mission_proposals_archive after delete on public.ops_mission_proposals
  referencing old table as gone for each statement execute function ops.keep_deleted('proposal');
create trigger ops_missions_archive after delete on public.ops_missions
  referencing old table as gone for each statement execute function ops.keep_deleted('mission');
create trigger ops_mission_steps_archive after delete on public.ops_mission_steps
  referencing old table as gone for each statement execute function ops.keep_deleted('step');
create trigger ops_action_runs_archive after delete on public.ops_action_runs
  referencing old table as gone for each statement execute function ops.keep_deleted('run');

-- Runs when a foreign key sets a link to null because the parent was deleted. The nearest parent counts, and it goes first.
create function ops.keep_link() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_table_name = 'ops_agent_events' then
    insert into ops.severed_links (id, parent_id)
    values (old.id, coalesce(old.run_id, old.mission_id, old.proposal_id)) on conflict do nothing;
  else
    insert into ops.severed_links (id, parent_id) values (old.id, old.reaction_id) on conflict do nothing;
  end if;
  return null;
end
$$;
create trigger ops_agent_events_link after update of run_id, mission_id, proposal_id on public.ops_agent_events
  for each row when (
    (old.run_id is not null and new.run_id is null) or (old.mission_id is not null and new.mission_id is null)
    or (old.proposal_id is not null and new.proposal_id is null))
  execute function ops.keep_link();
create trigger ops_mission_proposals_link after update of reaction_id on public.ops_mission_proposals
  for each row when (old.reaction_id is not null and new.reaction_id is null)
  execute function ops.keep_link();

-- Whether all of these rows ended before a moment.
create function ops.ended_before(p_ids uuid[], p_before timestamptz) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return not exists (
      select from public.ops_agent_events
      where id = any (p_ids) and (created_at >= p_before or coalesce(processed_at, 'infinity') >= p_before))
    and not exists (select from public.ops_agent_reactions where id = any (p_ids) and status in ('queued', 'processing'))
    and not exists (
      select from public.ops_mission_proposals where id = any (p_ids) and (status = 'pending' or updated_at >= p_before))
    and not exists (
      select from public.ops_missions where id = any (p_ids) and coalesce(completed_at, 'infinity') >= p_before);
end
$$;

-- Locks what somebody could set to work again. False, and at once, when somebody else holds a part of it or has taken it away.
create function ops.hold_chain(p_ids uuid[]) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select count(*) from (select from public.ops_missions where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_missions where id = any (p_ids))
    and (select count(*) from (select from public.ops_mission_steps where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_mission_steps where id = any (p_ids))
    and (select count(*) from (select from public.ops_mission_proposals where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_mission_proposals where id = any (p_ids))
    and (select count(*) from (select from public.ops_agent_reactions where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_agent_reactions where id = any (p_ids))
    and (select count(*) from (select from public.ops_agent_events where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_agent_events where id = any (p_ids));
end
$$;

-- Moves whole chains: first copies of the rows as they stand, links and all, then the deletes. Returns the rows moved.
create function ops.move_to_archive(p_ids uuid[]) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_rows integer;
begin
  insert into ops.archive (entity, id, parent_id, at, status, summary, details, decided, data)
  select l.entity, l.id, l.parent_id, l.at, l.status, l.summary, l.details,
    case l.entity
      when 'event' then (select to_jsonb(v) from ops.event_verdicts v where v.event_id = l.id)
      when 'proposal' then (select to_jsonb(d) from ops.decisions d where d.proposal_id = l.id)
    end,
    case l.entity
      when 'event' then (select to_jsonb(t) from public.ops_agent_events t where t.id = l.id)
      when 'reaction' then (select to_jsonb(t) from public.ops_agent_reactions t where t.id = l.id)
      when 'proposal' then (select to_jsonb(t) from public.ops_mission_proposals t where t.id = l.id)
      when 'mission' then (select to_jsonb(t) from public.ops_missions t where t.id = l.id)
      when 'step' then (select to_jsonb(t) from public.ops_mission_steps t where t.id = l.id)
      else (select to_jsonb(t) from public.ops_action_runs t where t.id = l.id)
    end
  from ops.lineage l -- by an array, not by a join: see ops.chain_of
  where l.id = any (p_ids) and not l.details ? 'archived'
  on conflict do nothing;
  get diagnostics v_rows = row_count;
  delete from public.ops_agent_events where id = any (p_ids) and (proposal_id is not null or mission_id is not null or run_id is not null);
  delete from public.ops_mission_proposals where id = any (p_ids);
  delete from public.ops_agent_events where id = any (p_ids);
  delete from ops.root_missions where root_event_id = any (p_ids);
  return v_rows;
end
$$;

-- Moves finished chains to the archive: those that began, and whose every row ended, before p_older_than ago. One call moves at
-- most p_limit chains (1..10000), oldest first; call it until it answers zero. It waits for nobody: a chain of which somebody
-- holds a part is left for the next call. Returns how many chains and rows moved.
-- Errors: OPS_011 for an interval below one hour.
--
-- Oldest first is by id, which begins with the time: both primary keys are walked side by side from their old end, and only as far as
-- the first thousand rows that are too young, however many come after. Sorting is off, and no row is left out by a condition, so
-- that no plan looks ahead.
create function public.ops_archive(p_older_than interval, p_limit integer default 1000)
returns table (chains integer, rows integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
declare
  v_before timestamptz := ops.now() - p_older_than;
  v_root record;
  v_young integer := 0;
  v_chain uuid[];
  v_ids uuid[] := '{}';
begin
  if p_older_than is null or p_older_than < interval '1 hour' then
    perform ops.fail('OPS_011', 'p_older_than must be at least one hour', 'p_older_than');
  end if;
  chains := 0;
  rows := 0;
  for v_root in
    select r.* from (
      (select e.id, e.created_at < v_before as is_old,
         e.proposal_id is null and e.mission_id is null and e.run_id is null and e.processed_at < v_before as may_go
       from public.ops_agent_events e order by e.id)
      union all
      (select p.id, p.created_at < v_before, p.reaction_id is null and p.updated_at < v_before and p.status <> 'pending'
       from public.ops_mission_proposals p order by p.id)) r
    order by r.id
  loop
    v_young := case when v_root.is_old then 0 else v_young + 1 end;
    exit when v_young >= 1000 or chains >= least(greatest(p_limit, 1), 10000);
    continue when not v_root.is_old or v_root.may_go is not true;
    v_chain := ops.chain_of(v_root.id);
    -- Asked again under the locks: what was held a moment ago may have been set to work.
    continue when not (ops.ended_before(v_chain, v_before) and ops.hold_chain(v_chain) and ops.ended_before(v_chain, v_before));
    chains := chains + 1;
    v_ids := v_ids || v_chain;
    if cardinality(v_ids) >= 1000 then
      rows := rows + ops.move_to_archive(v_ids);
      v_ids := '{}';
    end if;
  end loop;
  rows := rows + ops.move_to_archive(v_ids);
  return next;
end
$$;

-- 70_housekeeping.sql ---------------------------------------------------------------------------------------

-- Housekeeping: what has had its time goes, as policy `retention` says. Small batches, oldest first, waiting for nobody: what somebody
-- holds is met next time.

-- The first day whose cap counters are kept.
create function ops.oldest_cap_day() returns date
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((select day from ops.caps_kept_from), '-infinity');
end
$$;

-- Tidies up: archives finished chains, forgets archived rows (where the policy says so), and deletes what nothing asks for any more.
-- Takes at most p_limit (1..10000) rows of each kind, and as many chains as the policy's batch_size, at most p_limit; call it until
-- it answers more = false. Counts what it did. Does nothing while somebody else is at it, or when it was done to the end less than
-- p_every_minutes ago.
create function public.ops_housekeeping(p_limit integer default 1000, p_every_minutes integer default 60)
returns table (archived_chains integer, forgotten_rows integer, deleted_rows integer, more boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
  v_policy jsonb := coalesce(ops.policy('retention'), '{}');
  v_keep interval := coalesce((v_policy ->> 'archive_after_days')::integer, 90) * interval '1 day';
  v_beats timestamptz := v_now - coalesce((v_policy ->> 'heartbeat_days')::integer, 7) * interval '1 day';
  v_forget timestamptz := v_now - (v_policy ->> 'delete_archived_after_days')::integer * interval '1 day';
  v_limit integer := least(greatest(p_limit, 1), 10000);
  v_chains integer := least(coalesce((v_policy ->> 'batch_size')::integer, 1000), v_limit);
  v_day date;
  v_rows integer;
begin
  archived_chains := 0;
  deleted_rows := 0;
  forgotten_rows := 0;
  more := false;
  if not pg_try_advisory_xact_lock(hashtextextended('ops housekeeping', 0))
    or exists (select from ops.housekept where at > v_now - p_every_minutes * interval '1 minute')
  then
    return next;
    return;
  end if;

  select a.chains into archived_chains from public.ops_archive(v_keep, v_chains) a;
  more := archived_chains >= v_chains;

  if v_forget is not null then
    delete from ops.archive a using (
      select id, entity from ops.archive where archived_at < v_forget order by archived_at limit v_limit for update skip locked) old
    where a.id = old.id and a.entity = old.entity;
    get diagnostics forgotten_rows = row_count;
    more := more or forgotten_rows >= v_limit;
  end if;

  -- Beats. The last one stays, however old: /health tells of it.
  delete from public.ops_agent_events e using (
    select id from public.ops_agent_events
    where type in ('heartbeat:success', 'heartbeat:failure') and created_at < v_beats
    order by created_at limit v_limit for update skip locked) old
  where e.id = old.id;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;
  delete from ops.heartbeats h using (
    select id from ops.heartbeats
    where at < v_beats and at < (select max(l.at) from ops.heartbeats l)
    order by at limit v_limit for update skip locked) old
  where h.id = old.id;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Worker processes that ended long ago.
  delete from ops.workers w using (
    select id from ops.workers where last_seen_at < v_beats order by last_seen_at limit v_limit for update skip locked) old
  where w.id = old.id;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Evidence goes with what it speaks of. Ids are ordered by time.
  delete from ops.late_results l using (
    select o.id from (select id, received_at from ops.late_results order by id limit v_limit) o where o.received_at < v_now - v_keep) old
  where l.id = old.id;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Guards of patterns: a cooldown lasts a year at most, a threshold looks back a week.
  delete from ops.cooldowns c using (
    select pattern_id, key, shadow from ops.cooldowns where fired_at < v_now - interval '366 days' limit v_limit for update skip locked) old
  where c.pattern_id = old.pattern_id and c.key = old.key and c.shadow = old.shadow;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  delete from ops.threshold_hits h using (
    select ctid as place from ops.threshold_hits where at < v_now - interval '8 days' limit v_limit for update skip locked) old
  where h.ctid = old.place;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Keys whose window is over.
  delete from ops.live_keys k using (
    select dedupe_key from ops.live_keys where not live and coalesce(held_until, '-infinity') < v_now
    limit v_limit for update skip locked) old
  where k.dedupe_key = old.dedupe_key;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Counters of days gone by, and the mark that tells up to where.
  v_day := (v_now - v_keep)::date - 2;
  if exists (select from ops.cap_stripes where day < v_day) then
    insert into ops.caps_kept_from as f (day) values (v_day) on conflict (one) do update set day = greatest(f.day, excluded.day);
    delete from ops.cap_stripes where day < v_day;
    get diagnostics v_rows = row_count;
    deleted_rows := deleted_rows + v_rows;
  end if;
  delete from ops.request_counts where minute < v_now - interval '1 hour';
  delete from ops.sleepers where until < v_now - interval '1 day';
  if not more then
    insert into ops.housekept (at) values (v_now) on conflict (one) do update set at = excluded.at;
  end if;
  return next;
end
$$;

-- 71_metrics.sql --------------------------------------------------------------------------------------------

-- Metrics: what /metrics tells. Gauges are read where they stand, by partial indexes; totals are kept in ops.totals.

-- Upper bounds of the histograms' buckets, in seconds.
create function ops.duration_bounds() returns double precision[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return '{0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600}';
end
$$;

-- Adds durations to a total. A null duration counts without one.
create function ops.add_to_total(p_metric text, p_kind text, p_outcome text, p_seconds double precision[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.totals as t (metric, kind, outcome, count, seconds, buckets)
  select p_metric, p_kind, p_outcome, cardinality(p_seconds), coalesce((select sum(s) from unnest(p_seconds) s), 0),
    array(select (select count(*) from unnest(p_seconds) s where s <= b.bound)
          from unnest(ops.duration_bounds()) with ordinality b(bound, n) order by b.n)
  on conflict (metric, kind, outcome) do update set count = t.count + excluded.count, seconds = t.seconds + excluded.seconds,
    buckets = array(select coalesce(u.mine, 0) + coalesce(u.new, 0)
                    from unnest(t.buckets, excluded.buckets) with ordinality as u(mine, new, i) order by u.i);
end
$$;

-- The kinds that are told apart, at most 200: who names kinds must not be able to flood whoever reads the metrics.
create function ops.told_kind(p_kind text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when exists (select from ops.totals where metric = 'attempts' and kind = p_kind) then p_kind
    when (select count(distinct kind) from ops.totals where metric = 'attempts') >= 200 then 'other'
    else p_kind
  end;
end
$$;

-- Adds up one more window of finished attempts and of deaths: five minutes at most, ending a minute ago, since what ended a moment
-- ago may not be committed yet. Answers whether there is another one. Whoever comes while somebody else adds up does nothing. Planned once, for any window:
-- statistics of full tables make planning dearer than the work, and so would compiling what such a plan expects to read.
create function public.ops_roll_up_metrics() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set random_page_cost = 1.1
set jit = off
as $$
declare
  v_end timestamptz := ops.now() - interval '1 minute';
  v_from timestamptz;
  v_to timestamptz;
  v_row record;
  v_deaths double precision[];
begin
  if not pg_try_advisory_xact_lock(hashtextextended('ops metrics', 0)) then
    return false;
  end if;
  select at into v_from from ops.totals_until;
  if v_from is null then
    insert into ops.totals_until (at) values (v_end);
    return false;
  elsif v_from >= v_end then
    return false;
  end if;
  v_to := least(v_end, v_from + interval '5 minutes');

  for v_row in
    select s.kind, r.status, array_agg(extract(epoch from r.completed_at - r.started_at)::double precision) as seconds,
      array_agg(r.id) filter (where r.status = 'failed') as failed
    from public.ops_action_runs r join public.ops_mission_steps s on s.id = r.step_id
    where r.completed_at > v_from and r.completed_at <= v_to
    group by 1, 2 order by 1, 2
  loop
    perform ops.add_to_total('attempts', ops.told_kind(v_row.kind), v_row.status, v_row.seconds);
    -- An attempt that killed its step has an event that says so, and is asked for it: events of a window of time would all have to be looked at.
    select array_agg(null::double precision) into v_deaths
    from unnest(v_row.failed) f(id), lateral (
      select from public.ops_agent_events e where e.run_id = f.id and e.type like 'step:%:failed' limit 1) e;
    if v_deaths is not null then
      perform ops.add_to_total('deaths', ops.told_kind(v_row.kind), 'failed', v_deaths);
    end if;
  end loop;
  update ops.totals_until set at = v_to;
  return v_to < v_end;
end
$$;
insert into ops.totals_until (at) values (ops.now()) on conflict do nothing;

-- Everything that /metrics tells: {"totals": [{"metric", "kind", "outcome", "count", "seconds", "buckets"}], "bounds": [seconds],
-- "queues": {name: count up to a million, of open missions up to 100,000}, "oldest_queued_seconds", "claims" (in the last five minutes), "workers", "alerts": [{"rule", "severity", "count"}], "heartbeat": {"ok", "at"} | null,
-- "watch": as ops_watch_state}.
create function public.ops_metrics() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set random_page_cost = 1.1
as $$
declare
  v_health jsonb := public.ops_health();
  v_recent timestamptz := ops.now() - interval '5 minutes';
begin
  return jsonb_build_object(
    'totals', (select coalesce(jsonb_agg(to_jsonb(t) order by t.metric, t.kind, t.outcome), '[]') from ops.totals t),
    'bounds', to_jsonb(ops.duration_bounds()),
    'queues', ops.count_queues(1000000, 100000),
    'oldest_queued_seconds', v_health -> 'oldest_queued_seconds',
    'workers', v_health #> '{workers,live}',
    'alerts', (
      select coalesce(jsonb_agg(to_jsonb(a) order by a.rule, a.severity), '[]')
      from (select rule, severity, count(*) as count from ops.alerts where status = 'open' group by rule, severity) a),
    'claims', (select count(*) from public.ops_mission_steps where reserved_at > v_recent),
    'heartbeat', (select jsonb_build_object('ok', h.ok, 'at', extract(epoch from h.at)) from ops.heartbeats h order by h.at desc limit 1),
    'watch', public.ops_watch_state());
end
$$;

-- 72_recording.sql ------------------------------------------------------------------------------------------

-- Recordings: what happened, in a form that can be played again under other policies. Reads only.
--
-- A recording is a list of lines: events with what was decided about them and all that came of it, proposals that clients
-- made, changes of policies, beats. Live rows and archived ones look the same in it.

create function ops.recorded_runs(p_step_id uuid) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object('id', r -> 'id', 'status', r -> 'status', 'error', r -> 'error',
      'started_at', r -> 'started_at', 'completed_at', r -> 'completed_at', 'cost_usd', r -> 'cost_usd')
      order by (r ->> 'attempt')::integer), '[]')
    from (
      select to_jsonb(l) as r from public.ops_action_runs l where l.step_id = p_step_id
      union all
      select a.data from ops.archive a where a.parent_id = p_step_id and a.entity = 'run') u
    where r -> 'completed_at' <> 'null');
end
$$;

create function ops.recorded_mission(p_proposal_id uuid) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mission jsonb;
begin
  select m into v_mission from (
    select to_jsonb(l) as m from public.ops_missions l where l.proposal_id = p_proposal_id
    union all
    select a.data from ops.archive a where a.parent_id = p_proposal_id and a.entity = 'mission') u limit 1;
  if v_mission is null then
    return null;
  end if;
  return jsonb_build_object('id', v_mission -> 'id', 'status', v_mission -> 'status', 'created_at', v_mission -> 'created_at',
    'completed_at', v_mission -> 'completed_at', 'ended_by', v_mission -> 'ended_by',
    'reopened_at', (select coalesce(jsonb_agg(r.at order by r.round), '[]') from ops.reopenings r where r.mission_id = (v_mission ->> 'id')::uuid),
    'steps', (
      select coalesce(jsonb_agg(jsonb_build_object('id', s -> 'id', 'key', s -> 'key', 'kind', s -> 'kind', 'status', s -> 'status',
        'end_reason', s -> 'end_reason', 'runs', ops.recorded_runs((s ->> 'id')::uuid)) order by (s ->> 'position')::integer), '[]')
      from (
        select to_jsonb(l) as s from public.ops_mission_steps l where l.mission_id = (v_mission ->> 'id')::uuid
        union all
        select a.data from ops.archive a where a.parent_id = (v_mission ->> 'id')::uuid and a.entity = 'step') u));
end
$$;

-- A proposal, with its decision and its mission. The template only of one that no reaction made.
create function ops.recorded_proposal(p_proposal jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid := p_proposal ->> 'id';
  v_decision jsonb;
begin
  select to_jsonb(d) into v_decision from ops.decisions d where d.proposal_id = v_id;
  if v_decision is null then
    select a.decided into v_decision from ops.archive a where a.id = v_id and a.entity = 'proposal';
  end if;
  return jsonb_build_object('id', v_id, 'source', p_proposal -> 'source', 'status', p_proposal -> 'status', 'code', p_proposal -> 'code',
    'title', p_proposal -> 'title', 'verdict', p_proposal -> 'verdict', 'digest', p_proposal -> 'digest',
    'dedupe_key', p_proposal -> 'dedupe_key', 'proposed_by', p_proposal -> 'proposed_by', 'created_at', p_proposal -> 'created_at',
    'reserved_usd', p_proposal -> 'reserved_usd',
    'held_until', (select k.held_until from ops.live_keys k where k.proposal_id = v_id limit 1),
    'template', case when p_proposal ->> 'pattern_id' is null then p_proposal -> 'template' end,
    'decision', case when v_decision is not null then jsonb_build_object('decision', v_decision -> 'decision',
      'actor', v_decision -> 'actor', 'note', v_decision -> 'note', 'at', v_decision -> 'at') end,
    'mission', ops.recorded_mission(v_id));
end
$$;

create function ops.recorded_reaction(p_reaction jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid := p_reaction ->> 'id';
  v_proposal jsonb;
begin
  select p into v_proposal from (
    select to_jsonb(l) as p from public.ops_mission_proposals l where l.reaction_id = v_id
    union all
    select a.data from ops.archive a where a.parent_id = v_id and a.entity = 'proposal') u limit 1;
  return jsonb_build_object('id', v_id, 'pattern_id', p_reaction -> 'pattern_id', 'status', p_reaction -> 'status',
    'code', coalesce(p_reaction #> '{payload,result,code}', p_reaction #> '{payload,error,code}'),
    'created_at', p_reaction -> 'created_at', 'updated_at', p_reaction -> 'updated_at',
    'proposal', case when v_proposal is not null then ops.recorded_proposal(v_proposal) end);
end
$$;

create function ops.recorded_event(p_event jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid := p_event ->> 'id';
  v_verdict jsonb;
begin
  select to_jsonb(v) into v_verdict from ops.event_verdicts v where v.event_id = v_id;
  if v_verdict is null then
    select a.decided into v_verdict from ops.archive a where a.id = v_id and a.entity = 'event';
  end if;
  return jsonb_build_object('kind', 'event', 'id', v_id, 'type', p_event -> 'type', 'data', p_event -> 'data',
    'dedupe_key', p_event -> 'dedupe_key', 'created_at', p_event -> 'created_at', 'depth', p_event -> 'depth',
    'proposal_id', p_event -> 'proposal_id', 'mission_id', p_event -> 'mission_id', 'run_id', p_event -> 'run_id',
    'verdict', v_verdict - 'event_id',
    'reactions', (
      select coalesce(jsonb_agg(ops.recorded_reaction(r) order by (r ->> 'created_at')::timestamptz, r ->> 'id'), '[]')
      from (
        select to_jsonb(l) as r from public.ops_agent_reactions l where l.event_id = v_id
        union all
        select a.data from ops.archive a where a.parent_id = v_id and a.entity = 'reaction') u));
end
$$;

-- The lines of a recording for what began from p_from until before p_to, as one JSON array; null when that is more than p_most
-- events and proposals: ask for less time. Order: by time.
create function public.ops_recording(p_from timestamptz, p_to timestamptz, p_most integer default 2000) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_mergejoin = off
as $$
declare
  v_lines jsonb;
  v_count integer;
begin
  with began as materialized (
    select 'event' as kind, e.created_at as at, to_jsonb(e) as row from public.ops_agent_events e
    where e.created_at >= p_from and e.created_at < p_to and e.type not like 'heartbeat:%'
    union all
    select 'event', a.at, a.data from ops.archive a
    where a.entity = 'event' and a.at >= p_from and a.at < p_to and a.archived_at >= p_from and a.data ->> 'type' not like 'heartbeat:%'
    union all
    select 'proposal', p.created_at, to_jsonb(p) from public.ops_mission_proposals p
    where p.created_at >= p_from and p.created_at < p_to and p.pattern_id is null
    union all
    select 'proposal', a.at, a.data from ops.archive a
    where a.entity = 'proposal' and a.at >= p_from and a.at < p_to and a.archived_at >= p_from and a.data ->> 'pattern_id' is null
    limit p_most + 1
  )
  select count(*), coalesce(jsonb_agg(case b.kind
      when 'event' then ops.recorded_event(b.row)
      else ops.recorded_proposal(b.row) || '{"kind": "proposal"}' end order by b.at, b.row ->> 'id')
    filter (where (select count(*) from began) <= p_most), '[]')
  into v_count, v_lines from began b;
  if v_count > p_most then
    return null;
  end if;
  return v_lines
    || (select coalesce(jsonb_agg(jsonb_build_object('kind', 'policy', 'key', c.policy_key, 'value', c.new_value, 'version', c.new_version,
          'at', c.changed_at) order by c.changed_at, c.id), '[]')
        from ops.policy_audit c where c.changed_at >= p_from and c.changed_at < p_to)
    || (select coalesce(jsonb_agg(jsonb_build_object('kind', 'beat', 'at', h.at) order by h.at, h.id), '[]')
        from ops.heartbeats h where h.at >= p_from and h.at < p_to);
end
$$;

-- 72_services.sql -------------------------------------------------------------------------------------------

-- Services: whose check is due, what a check said, and the steps that wait for a breaker to close.

-- What policy `services` says of each enabled service.
create function ops.listed_services() returns table (name text, config jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select s.key, s.value from jsonb_each(coalesce(ops.policy('services') -> 'services', '{}')) s
  where coalesce((s.value ->> 'enabled')::boolean, true);
end
$$;

-- Takes the checks that are due, at most p_limit (1..100), and answers what to ask: name and the policy's entry. Whoever gets a
-- service has its check to itself: the next is due after `every_minutes`, or when the open breaker tries again.
create function public.ops_take_service_checks(p_limit integer default 10) returns table (name text, config jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
begin
  if p_limit not between 1 and 100 then
    perform ops.fail('OPS_011', 'p_limit must be between 1 and 100', 'p_limit');
  end if;
  insert into ops.services (name, next_check_at)
  select l.name, v_now from ops.listed_services() l
  where not exists (select from ops.services s where s.name = l.name)
  order by 1 on conflict do nothing;

  return query
  with due as materialized (
    select s.name, l.config from ops.services s join ops.listed_services() l on l.name = s.name
    where s.next_check_at <= v_now order by s.next_check_at, s.name limit p_limit
    for no key update of s skip locked
  )
  update ops.services s
  set next_check_at = v_now + case when s.state = 'open' then ops.breaker_wait(d.config)
    else coalesce((d.config ->> 'every_minutes')::numeric, 5) * interval '1 minute' end
  from due d where s.name = d.name
  returning d.name, d.config;
end
$$;

create function ops.breaker_wait(p_config jsonb) returns interval
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((p_config #>> '{breaker,reset_seconds}')::numeric, 60) * interval '1 second';
end
$$;

-- Records what a check said. The breaker opens after `breaker.failures` failed checks in a row and closes with the first that
-- goes well; each change is an event, `service:down` or `service:up`. p_latency_ms in milliseconds. Answers the breaker's state.
-- Errors: OPS_013 when policy `services` lists no such service.
create function public.ops_record_service_check(
  p_name text, p_ok boolean, p_http_status integer default null, p_latency_ms integer default null, p_error text default null)
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_config jsonb;
  v_was ops.services;
  v_opens boolean;
begin
  select l.config into v_config from ops.listed_services() l where l.name = p_name;
  if not found then
    perform ops.fail('OPS_013', format('policy services lists no service "%s"', p_name), 'p_name');
  end if;
  insert into ops.services (name) values (p_name) on conflict do nothing;
  select * into v_was from ops.services s where s.name = p_name for no key update;
  insert into ops.service_checks (name, ok, http_status, latency_ms, error)
  values (p_name, p_ok, p_http_status, p_latency_ms, left(p_error, 2000));

  v_opens := not p_ok and (v_was.state = 'open' or v_was.failures + 1 >= coalesce((v_config #>> '{breaker,failures}')::integer, 3));
  update ops.services s
  set checked_at = v_now, healthy = p_ok, http_status = p_http_status, latency_ms = p_latency_ms,
    error = case when not p_ok then left(coalesce(p_error, 'the check failed'), 2000) end,
    failures = case when p_ok then 0 else s.failures + 1 end,
    state = case when v_opens then 'open' else 'closed' end,
    opened_at = case when v_opens then coalesce(s.opened_at, v_now) end,
    retry_at = case when v_opens then v_now + ops.breaker_wait(v_config) end,
    next_check_at = case when v_opens then v_now + ops.breaker_wait(v_config) else s.next_check_at end,
    changed_at = case when v_opens = (s.state = 'open') then s.changed_at else v_now end
  where s.name = p_name;

  if v_opens and v_was.state = 'closed' then
    perform ops.emit_own('service:down', jsonb_build_object('service', p_name, 'error', coalesce(p_error, 'the check failed'),
      'failures', v_was.failures + 1), null, null, 0);
    update public.ops_mission_steps t set ready = t.ready
    from ops.queue q where q.service = p_name and q.status = 'queued' and q.ready and t.id = q.step_id and t.status = 'queued' and t.ready;
  elsif not v_opens and v_was.state = 'open' then
    perform ops.emit_own('service:up', jsonb_build_object('service', p_name,
      'down_seconds', round(extract(epoch from v_now - v_was.opened_at))), null, null, 0);
    perform ops.let_go(p_name);
  end if;
  return case when v_opens then 'open' else 'closed' end;
end
$$;

-- Puts the steps that a breaker held back into the queue.
create function ops.let_go(p_service text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  update public.ops_mission_steps t set ready = true, held = false, run_at = v_now
  from (select s.id from ops.queue q join public.ops_mission_steps s on s.id = q.step_id
        where q.service = p_service and q.status = 'queued' and s.status = 'queued' and s.held order by s.id for no key update of s) h
  where t.id = h.id;
  if found then
    perform ops.wake_workers();
  end if;
end
$$;

-- Holds a step that could be claimed while the breaker of its service is open: it comes up again when that is tried. Half a minute
-- at least, so that a loop whose heartbeat has stopped does not turn in circles.
create function ops.hold_for_service() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_retry_at timestamptz;
begin
  if new.status <> 'queued' or not new.ready then
    return new;
  end if;
  select s.retry_at into v_retry_at from ops.services s join ops.listed_services() l on l.name = s.name
  where s.name = new.service and s.state = 'open';
  new.held := found;
  if found then
    new.ready := false;
    new.run_at := greatest(v_retry_at, ops.now() + interval '30 seconds');
  end if;
  return new;
end
$$;
create trigger ops_mission_steps_hold before insert or update of status, ready, run_at on public.ops_mission_steps
  for each row when (new.service is not null)
  execute function ops.hold_for_service();

-- A service that leaves the policy, or is switched off there, holds nobody any more.
create function ops.forget_services() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_gone text;
begin
  for v_gone in
    delete from ops.services s where s.name not in (select l.name from ops.listed_services() l) returning s.name
  loop
    perform ops.let_go(v_gone);
  end loop;
  return null;
end
$$;
create trigger ops_policy_forget_services after insert or update or delete on public.ops_policy
  for each statement execute function ops.forget_services();

-- A service whose entry was changed is asked at once: when it would have been asked again was said by the old entry.
create function ops.recheck_services() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update ops.services s set next_check_at = ops.now()
  from jsonb_each(coalesce(new.value -> 'services', '{}')) n
  where s.name = n.key and n.value is distinct from old.value -> 'services' -> n.key;
  return null;
end
$$;
create trigger ops_policy_recheck_services after update on public.ops_policy
  for each row when (new.key = 'services') execute function ops.recheck_services();

-- The services that policy lists, with what their last check said.
create function public.ops_list_services() returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select to_jsonb(v) from (
    select l.name, coalesce(s.state, 'closed') as state, s.healthy, coalesce(s.failures, 0) as failures, s.http_status, s.latency_ms,
      s.error, s.checked_at, s.opened_at, s.next_check_at,
      (select count(*) from ops.queue q join public.ops_mission_steps t on t.id = q.step_id
       where q.service = l.name and q.status = 'queued' and t.held) as held_steps,
      l.config ->> 'url' as url
    from ops.listed_services() l left join ops.services s on s.name = l.name) v
  order by v.name;
end
$$;

-- 75_health.sql ---------------------------------------------------------------------------------------------

-- How the loop is: heartbeats that were recorded, what waits in the queues, whether somebody works.

-- One beat of the control plane: kept with its report, and told as an event heartbeat:success or heartbeat:failure, which no
-- pattern ever sees. Returns the event's id.
create function public.ops_record_heartbeat(p_ok boolean, p_report jsonb) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
begin
  insert into ops.heartbeats (ok, report) values (p_ok, coalesce(p_report, '{}'));
  perform ops.add_to_total('heartbeats', '', case when p_ok then 'success' else 'failure' end,
    array[case when jsonb_typeof(p_report #> '{durations_ms,total}') = 'number'
      then (p_report #>> '{durations_ms,total}')::double precision / 1000 end]);
  insert into public.ops_agent_events (type, data, processed_at)
  values (case when p_ok then 'heartbeat:success' else 'heartbeat:failure' end, coalesce(p_report, '{}'), ops.now())
  returning id into v_id;
  return v_id;
end
$$;

-- What waits and what is under way, each counted up to p_most, and open missions up to p_missions, which have to be told apart. By index and
-- without bitmaps, so that no more than these are read.
create function ops.count_queues(p_most integer, p_missions integer) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
  return jsonb_build_object(
    'events', (select count(*) from (select from public.ops_agent_events where processed_at is null limit p_most) e),
    'reactions', (select count(*) from (select from public.ops_agent_reactions where status = 'queued' limit p_most) r),
    'proposals_pending', (select count(*) from (select from public.ops_mission_proposals where status = 'pending' limit p_most) p),
    'steps', (
      select count(*) from (
        (select from ops.queue where status = 'queued' and ready limit p_most) union all
        (select from ops.queue where status = 'queued' and not ready limit p_most) limit p_most) s),
    'steps_running', (select count(*) from (select from ops.running_steps limit p_most) r),
    'missions_open', (
      select count(*) from (
        (select mission_id from ops.queue where status = 'waiting' limit p_missions) union
        (select mission_id from ops.queue where status = 'queued' and ready limit p_missions) union
        (select mission_id from ops.queue where status = 'queued' and not ready limit p_missions) union
        (select mission_id from ops.running_steps limit p_missions) limit p_missions) m));
end
$$;

-- Since when the longest waiting step of each executor and priority has been due that can be claimed; hops from one to the next.
create function ops.queue_heads() returns table (executor text, priority smallint, run_at timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
  return query
  with recursive hop as (
    (select q.executor, q.priority, q.run_at from ops.queue q where q.status = 'queued' and q.ready
     order by q.executor, q.priority, q.run_at limit 1)
    union all
    select n.* from hop h, lateral (
      select q.executor, q.priority, q.run_at from ops.queue q
      where q.status = 'queued' and q.ready and (q.executor, q.priority) > (h.executor, h.priority)
      order by q.executor, q.priority, q.run_at limit 1) n
  )
  select h.executor, h.priority, h.run_at from hop h;
end
$$;

-- The state of the loop in one object. A worker is live when it was seen within two minutes; a heartbeat is silent when the last one was
-- three of its usual intervals ago. A loop that has never had one has just been installed. Queues are counted up to `counted_up_to`.
create function public.ops_health() returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'status', case when h.ok is false or h.at < ops.now() - interval '15 minutes' or ops.on_hold() then 'degraded' else 'healthy' end,
    'database', 'connected',
    'postgres_version', current_setting('server_version'),
    'schema_version', ops.schema_version(),
    'queues', ops.count_queues(10000, 10000),
    'counted_up_to', 10000,
    'oldest_queued_seconds', coalesce(round(extract(epoch from ops.now() - (select min(q.run_at) from ops.queue_heads() q))), 0),
    'workers', jsonb_build_object('live', (select count(*) from ops.workers where last_seen_at > ops.now() - interval '2 minutes')),
    'last_heartbeat_at', h.at,
    'last_heartbeat_ok', h.ok,
    'paused', coalesce(ops.policy('control') -> 'pause', '{}'),
    'held', ops.on_hold(),
    -- The services in the registry, the workers that are live, and the control plane.
    'system_count', (select count(*) from ops.services) + (select count(*) from ops.workers where last_seen_at > ops.now() - interval '2 minutes') + 1,
    'circuit_breakers', (
      select jsonb_build_object('overall_health', case when count(*) filter (where state = 'open') = 0 then 'healthy' else 'degraded' end,
        'total', count(*), 'open', coalesce(jsonb_agg(name order by name) filter (where state = 'open'), '[]'))
      from ops.services),
    'alerts', (
      select jsonb_build_object('critical', count(*) filter (where severity = 'critical'), 'high', count(*) filter (where severity = 'high'),
        'warning', count(*) filter (where severity = 'warning'), 'info', count(*) filter (where severity = 'info'))
      from ops.alerts where status = 'open'),
    'canary', (select jsonb_build_object('status', c.status, 'sent_at', c.sent_at, 'reason', c.reason) from ops.canaries c order by c.sent_at desc limit 1),
    'capabilities', jsonb_build_object('executors', (
      select coalesce(jsonb_agg(distinct e order by e), '[]') from ops.workers w, unnest(w.executors) e where w.last_seen_at > ops.now() - interval '2 minutes')))
  from (select 1) one left join lateral (select ok, at from ops.heartbeats order by at desc limit 1) h on true
$$;

-- 75_lists.sql ----------------------------------------------------------------------------------------------

-- Lists for the control plane and the command line: newest first, at most 200 rows; p_after is the last id of the page before. Ids are
-- time-ordered. The conditions are written out, so that each plan goes by what was asked for: what is open or belongs together is found by
-- its index, however much has finished since. Other fields are looked for from the newest row back.

-- Rows of a table, as `r`, that meet all the conditions that are not null.
create function ops.page(p_row text, p_from text, p_conditions text[], p_limit integer, p_after uuid) returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Rows are written out when the page is cut, not before.
  return query execute format('select %s from (select * from %s r where %s order by r.id desc limit %s) r order by r.id desc', p_row, p_from,
    array_to_string(array['true', case when p_after is not null then format('r.id < %L', p_after) end] || p_conditions, ' and '),
    least(p_limit, 200));
end
$$;

-- A page of rows of a state that few rows are in, or very many: the newest thousand fill the page where there are many; else p_found says
-- which rows are in it.
create function ops.page_of_some(p_row text, p_from text, p_conditions text[], p_found text, p_limit integer, p_after uuid) returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_newest text := format('(select * from %s n where %s order by n.id desc limit 1000)', p_from, case when p_after is null then 'true' else format('n.id < %L', p_after) end);
  v_page jsonb[];
begin
  v_page := array(select ops.page(p_row, v_newest, p_conditions, p_limit, p_after));
  if cardinality(v_page) < least(p_limit, 200) then
    return query select ops.page(p_row, p_from, p_conditions || p_found, p_limit, p_after);
  else
    return query select unnest(v_page);
  end if;
end
$$;

-- `column = what p_filter says`, or null where it says nothing. No row has a value that is not among p_known.
create function ops.equals(p_filter jsonb, p_field text, p_known text[] default null) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when not p_filter ? p_field then null
    when p_known is null or p_filter ->> p_field = any (p_known) then format('r.%I = %L', p_field, p_filter ->> p_field)
    else 'false' end;
end
$$;

create function public.ops_list_events(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select * from ops.page('to_jsonb(r)', 'public.ops_agent_events', array[
    ops.equals(p_filter, 'type'),
    ops.equals(p_filter, 'id'),
    case when not (p_filter ->> 'heartbeats')::boolean then 'r.type not in (''heartbeat:success'', ''heartbeat:failure'')' end,
    case when not (p_filter ->> 'canaries')::boolean
      then 'r.type <> ''canary:ping'' and not (r.mission_id is not null and coalesce(r.data ->> ''source'', '''') = ''canary'')' end,
    case (p_filter ->> 'processed')::boolean when true then 'r.processed_at is not null' when false then 'r.processed_at is null' end,
    case when p_filter ? 'root_event_id' then format('(r.root_event_id = %1$L or (r.id = %1$L and r.root_event_id is null))',
      p_filter ->> 'root_event_id') end], p_limit, p_after);
end
$$;

create function public.ops_list_proposals(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select * from ops.page(
    'to_jsonb(r) || jsonb_build_object(''mission_id'', (select m.id from public.ops_missions m where m.proposal_id = r.id))',
    'public.ops_mission_proposals', array[
    ops.equals(p_filter, 'status', enum_range(null::public.ops_proposal_status)::text[]),
    ops.equals(p_filter, 'source'),
    case when not (p_filter ->> 'canaries')::boolean then 'r.source <> ''canary''' end,
    ops.equals(p_filter, 'id')], p_limit, p_after);
end
$$;

create function public.ops_list_missions(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_conditions text[] := array[
    ops.equals(p_filter, 'status', enum_range(null::public.ops_mission_status)::text[]),
    case when not (p_filter ->> 'canaries')::boolean then 'r.source is distinct from ''canary''' end,
    ops.equals(p_filter, 'id')];
begin
  if p_filter ->> 'status' in ('approved', 'running') then
    return query select * from ops.page_of_some('to_jsonb(r)', 'public.ops_missions', v_conditions,
      'r.id = any (array(select o.id from ops.open_missions o))', p_limit, p_after);
  else
    return query select * from ops.page('to_jsonb(r)', 'public.ops_missions', v_conditions, p_limit, p_after);
  end if;
end
$$;

create function public.ops_list_steps(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_row constant text := 'to_jsonb(r) - ''lease_token''';
  v_conditions text[] := array[
    ops.equals(p_filter, 'status', enum_range(null::public.ops_step_status)::text[]),
    ops.equals(p_filter, 'mission_id'),
    ops.equals(p_filter, 'kind'),
    ops.equals(p_filter, 'executor'),
    ops.equals(p_filter, 'id')];
  v_found text := case when p_filter ->> 'status' in ('queued', 'waiting', 'failed')
      then format('r.id = any (array(select q.step_id from ops.queue q where q.status = %L))', p_filter ->> 'status')
    when p_filter ->> 'status' = 'running' then 'r.id = any (array(select u.id from ops.claims c, unnest(c.steps) u(id)))' end;
begin
  if v_found is not null and not p_filter ?| array['mission_id', 'id'] then
    return query select * from ops.page_of_some(v_row, 'public.ops_mission_steps', v_conditions, v_found, p_limit, p_after);
  else
    return query select * from ops.page(v_row, 'public.ops_mission_steps', v_conditions, p_limit, p_after);
  end if;
end
$$;

-- 75_radar.sql ----------------------------------------------------------------------------------------------

-- The demand radar, for the executor and the API: add a signal, move it on, list what is there.

-- Radar. Adding is idempotent for a step: its retry finds what the first attempt added.
-- p_item: {"title", "description"?, "stage"?, "notes"?, "entity"?, "event_type"?, "topic"?, "source_url"?, "evidence_snippet"?,
-- "confidence"?, "impact_areas"?: [text], "curator_name"?}. Errors: OPS_011.
create function public.ops_radar_add(p_item jsonb, p_step_id uuid default null)
returns table (id uuid, stage text, created boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if coalesce(p_item ->> 'title', '') = '' then
    perform ops.fail('OPS_011', 'a radar item needs a title', 'title');
  end if;
  return query
  insert into public.ops_demand_radar as r (title, description, stage, notes, entity, event_type, topic, source_url, evidence_snippet,
    confidence, impact_areas, curator_name, step_id)
  values (p_item ->> 'title', p_item ->> 'description', coalesce(p_item ->> 'stage', 'watching'), p_item ->> 'notes', p_item ->> 'entity',
    p_item ->> 'event_type', p_item ->> 'topic', p_item ->> 'source_url', p_item ->> 'evidence_snippet', p_item ->> 'confidence',
    array(select jsonb_array_elements_text(coalesce(p_item -> 'impact_areas', '[]'))), p_item ->> 'curator_name', p_step_id)
  on conflict (step_id) do nothing
  returning r.id, r.stage, true;
  if not found then
    return query select r.id, r.stage, false from public.ops_demand_radar r where r.step_id = p_step_id;
  end if;
end
$$;

-- Changes the named fields of a radar item and answers the stage before and after. Errors: OPS_013 unknown item.
create function public.ops_radar_update(p_id uuid, p_changes jsonb)
returns table (id uuid, stage text, previous_stage text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_before text;
begin
  select r.stage into v_before from public.ops_demand_radar r where r.id = p_id for no key update;
  if not found then
    perform ops.fail('OPS_013', format('there is no radar item %s', p_id), 'p_id');
  end if;
  return query
  update public.ops_demand_radar r
  set title = coalesce(p_changes ->> 'title', r.title), description = coalesce(p_changes ->> 'description', r.description),
    stage = coalesce(p_changes ->> 'stage', r.stage), notes = coalesce(p_changes ->> 'notes', r.notes),
    topic = coalesce(p_changes ->> 'topic', r.topic), source_url = coalesce(p_changes ->> 'source_url', r.source_url),
    evidence_snippet = coalesce(p_changes ->> 'evidence_snippet', r.evidence_snippet), confidence = coalesce(p_changes ->> 'confidence', r.confidence)
  where r.id = p_id
  returning r.id, r.stage, v_before;
end
$$;

create function public.ops_radar_list(p_stage text default null, p_limit integer default 50) returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(r) from public.ops_demand_radar r
  where p_stage is null or r.stage = p_stage
  order by r.updated_at desc, r.id desc limit least(p_limit, 200)
$$;

-- 76_doctor.sql ---------------------------------------------------------------------------------------------

-- What people look at who watch the engine or wonder why it stands still: queues and workers at this moment, and what is wrong with
-- roles, rights and connections. Read only.

-- Queues by executor, and the workers that were seen within the last ten minutes. A worker is live when it was seen within two. Of each executor's
-- queue up to `counted_up_to` steps are counted, and of what is scheduled as many of those that are due first, all executors together.
create function public.ops_overview() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_now timestamptz := ops.now();
  v_most constant integer := 10000;
begin
  return (
    with workers as materialized (
      select w.id, w.name, w.version, w.executors, w.concurrency, w.registered_at, w.last_seen_at,
        w.last_seen_at > v_now - interval '2 minutes' as live
      from ops.workers w where w.last_seen_at > v_now - interval '10 minutes'
    ), queued as materialized (
      select h.executor, h.oldest, (
          select count(*) from (
            select from ops.queue s where s.status = 'queued' and s.ready and s.executor = h.executor limit v_most) s) as ready
      from (select q.executor, min(q.run_at) as oldest from ops.queue_heads() q group by q.executor) h
    ), scheduled as materialized (
      select s.executor, count(*) as later
      from (select q.executor from ops.queue q where q.status = 'queued' and not q.ready order by q.run_at limit v_most) s group by s.executor
    ), running as materialized (
      select s.executor, s.worker_id, count(*) as steps, count(*) filter (where s.lease_expires_at < v_now - interval '5 minutes') as expired
      from ops.running_steps s group by s.executor, s.worker_id
    ), executors as (
      select executor from queued union select executor from scheduled union select executor from running union select unnest(executors) from workers where live
    )
    select jsonb_build_object(
      'now', v_now,
      'counted_up_to', v_most,
      'executors', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'executor', e.executor,
          'queued', coalesce(q.ready, 0),
          'scheduled', coalesce(l.later, 0),
          'running', coalesce((select sum(r.steps) from running r where r.executor = e.executor), 0),
          'oldest_seconds', coalesce(greatest(round(extract(epoch from v_now - q.oldest)), 0), 0),
          'live_workers', (select count(*) from workers w where w.live and e.executor = any (w.executors)),
          'blocked', e.executor = any (ops.blocked_executors())) order by e.executor), '[]')
        from executors e left join queued q on q.executor = e.executor left join scheduled l on l.executor = e.executor
        where e.executor is not null),
      'workers', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'id', w.id, 'name', w.name, 'version', w.version, 'concurrency', w.concurrency, 'live', w.live,
          'running', coalesce((select sum(r.steps) from running r where r.worker_id = w.id), 0),
          'executors', w.executors, 'registered_at', w.registered_at, 'last_seen_at', w.last_seen_at)
          order by w.live desc, w.name, w.registered_at), '[]')
        from workers w),
      'expired_leases', coalesce((select sum(r.expired) from running r), 0)));
end
$$;

-- What a role must be able to call for its part of the loop to work.
create function ops.essential_rights(out role_name name, out function_name name) returns setof record
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select 'ops_worker'::name, unnest(array['ops_register_worker', 'ops_worker_heartbeat', 'ops_claim_steps', 'ops_handed_steps', 'ops_renew_steps', 'ops_complete_steps',
    'ops_fail_steps', 'ops_snooze_steps', 'ops_release_steps']::name[])
  union all
  select 'ops_operator'::name, unnest(array['ops_health', 'ops_read_policies', 'ops_list_proposals', 'ops_approve_proposal', 'ops_reject_proposal',
    'ops_cancel_mission', 'ops_retry_step', 'ops_emit_events']::name[])
  union all
  select 'ops_readonly'::name, unnest(array['ops_health', 'ops_read_policies', 'ops_trace', 'ops_why']::name[])
  union all
  select 'service_role'::name, p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname like 'ops\_%';
end
$$;

-- Facts about this installation, for `ops-loop doctor`, which judges them:
-- {"now", "login", "read_only", "connections": {"used", "most"}, "missing_roles", "missing_rights": ["role: object"], "open_rights": [same],
-- "unguarded_tables", "last_heartbeat": {"at", "ok", "error"}, "oldest_event_seconds"}
create function public.ops_doctor() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object(
    'now', ops.now(),
    'login', session_user,
    'read_only', pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean,
    'connections', jsonb_build_object(
      'used', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
      'most', current_setting('max_connections')::integer),
    'missing_roles', (
      select coalesce(jsonb_agg(r order by r), '[]') from unnest(array['service_role', 'ops_worker', 'ops_operator', 'ops_readonly']) r
      where not exists (select from pg_roles where rolname = r)),
    'missing_rights', (
      select coalesce(jsonb_agg(distinct e.role_name || ': ' || e.function_name), '[]')
      from ops.essential_rights() e join pg_roles r on r.rolname = e.role_name
      left join pg_proc p on p.pronamespace = 'public'::regnamespace and p.proname = e.function_name
      where p.oid is null or not has_function_privilege(r.oid, p.oid, 'execute')),
    'open_rights', (
      select coalesce(jsonb_agg(o.name order by o.name), '[]') from (
        select r.rolname || ': ' || p.proname as name
        from pg_proc p, pg_roles r
        where p.pronamespace = 'public'::regnamespace and p.proname like 'ops\_%' and r.rolname in ('anon', 'authenticated')
          and has_function_privilege(r.oid, p.oid, 'execute')
        union
        select r.rolname || ': ' || c.relname
        from pg_class c, pg_roles r
        where c.relnamespace = 'public'::regnamespace and c.relname like 'ops\_%' and c.relkind in ('r', 'v', 'm', 'p')
          and r.rolname in ('anon', 'authenticated') and has_table_privilege(r.oid, c.oid, 'select,insert,update,delete')) o),
    'unguarded_tables', (
      select coalesce(jsonb_agg(c.oid::regclass::text order by c.oid::regclass::text), '[]') from pg_class c
      where not c.relrowsecurity and c.relkind in ('r', 'p')
        and (c.relnamespace = 'ops'::regnamespace or c.relnamespace = 'public'::regnamespace and c.relname like 'ops\_%')),
    'last_heartbeat', (
      select jsonb_build_object('at', h.at, 'ok', h.ok, 'error', left(coalesce(h.report #>> '{errors,0,message}', h.report ->> 'errors'), 500)) from ops.heartbeats h order by h.at desc limit 1),
    'oldest_event_seconds', (
      select coalesce(greatest(round(extract(epoch from ops.now() - min(e.created_at))), 0), 0)
      from public.ops_agent_events e where e.processed_at is null));
end
$$;

-- 77_watch_state.sql ----------------------------------------------------------------------------------------

-- What a daily look at the loop asks beside the installation: canary, checks, alerts, services, channels, schedules, backups. Read only; it
-- is what `ops-loop verify`, `ops-loop status` and /metrics tell of the watch.

-- {"now",
--  "canary": {"sent_at", "status", "returned_last_hour", "legs": {name: milliseconds}} | null: the last one, and the last one's legs that came back,
--  "checks": {"ran_at", "failing"}: the last round, and how many checks broke or were cut off when they last ran,
--  "violations": [{"check_name", "severity", "count"}]: those that are open, the canary's lines aside,
--  "alerts": {"P0": count, …}: those that are open and not silenced,
--  "services": [{"name", "state", "healthy"}],
--  "channels": [{"name", "failures"}]: failures in a row of the channels that policy lists,
--  "notices_waiting": notices that have not left yet,
--  "schedules": [{"id", "next_at"}]: the times that schedules wait for,
--  "backup": {"reported_at", "since"} | null: the last that was reported}
create function public.ops_watch_state() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  return jsonb_build_object(
    'now', v_now,
    'canary', (
      select jsonb_build_object('sent_at', c.sent_at, 'status', c.status,
        'returned_last_hour', (
          select count(*) from ops.canaries r where r.sent_at > v_now - interval '1 hour' and r.status in ('returned', 'slow')),
        'legs', coalesce((
          select r.legs from ops.canaries r
          where r.sent_at > v_now - interval '1 hour' and r.status in ('returned', 'slow') order by r.sent_at desc limit 1), '{}'))
      from ops.canaries c order by c.sent_at desc limit 1),
    'checks', (
      select jsonb_build_object('ran_at', max(r.ran_at), 'failing', count(*) filter (where r.outcome in ('failed', 'timed_out')))
      from ops.check_runs r),
    'violations', (
      select coalesce(jsonb_agg(to_jsonb(v) order by v.check_name, v.severity), '[]')
      from (select o.check_name, o.severity, count(*) as count from ops.invariant_violations o
            where not o.resolved and o.check_name <> 'synthetic_canary' group by 1, 2) v),
    'alerts', (
      select coalesce(jsonb_object_agg(a.priority, a.count), '{}')
      from (select ops.priority(o.severity) as priority, count(*) as count from ops.alerts o
            where o.status = 'open' and not ops.silenced(o.rule, o.subject) group by 1) a),
    'services', (
      select coalesce(jsonb_agg(jsonb_build_object('name', l.name, 'state', coalesce(s.state, 'closed'), 'healthy', s.healthy) order by l.name), '[]')
      from ops.listed_services() l left join ops.services s on s.name = l.name),
    'channels', (
      select coalesce(jsonb_agg(jsonb_build_object('name', p.name, 'failures', coalesce(c.failures, 0)) order by p.name), '[]')
      from jsonb_object_keys(coalesce(ops.policy('alerts') -> 'channels', '{}')) p(name) left join ops.channels c on c.name = p.name),
    'notices_waiting', (select count(*) from (select from ops.alert_notices n where n.status = 'pending' limit 10000) w),
    'schedules', (
      select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'next_at', nullif(s.next_at, 'infinity')) order by s.id), '[]')
      from ops.schedules s),
    'backup', (
      select jsonb_build_object('reported_at', r.reported_at, 'since', r.details ->> 'since') from ops.reports r where r.name = 'backup'));
end
$$;

-- Schedules in force, and when each comes next: null until a heartbeat has worked it out, and when it never does.
create view public.ops_schedules with (security_invoker = true) as
  select id, definition ->> 'cron' as cron, definition ->> 'time_zone' as time_zone, definition #>> '{event,type}' as event_type,
    nullif(next_at, 'infinity') as next_at, settled_until
  from ops.schedules;

-- 80_views.sql ----------------------------------------------------------------------------------------------

-- Views for dashboards and the runbook's queries. They run with their reader's own rights.

create view public.ops_policy_history with (security_invoker = true) as
  select key, version, value, updated_at, changed_by from ops.policy_history;

create view public.ops_policy_audit with (security_invoker = true) as
  select id, policy_key, action, old_value, new_value, old_version, new_version, changed_by, actor, changed_at from ops.policy_audit;

-- The runbook has operators build an audit of their own, with a trigger that writes here. The engine has written the entry
-- already, so theirs is accepted and dropped; refusing it would refuse every edit of a policy.
create function ops.ignore_second_audit() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return null;
end
$$;
create trigger ops_policy_audit_ignore instead of insert on public.ops_policy_audit
  for each row execute function ops.ignore_second_audit();

-- What waits, and where.
create view public.ops_queue_depth with (security_invoker = true) as
  select 'queued_events' as metric, count(*) as count from public.ops_agent_events where processed_at is null
  union all select 'queued_reactions', count(*) from public.ops_agent_reactions where status = 'queued'
  union all select 'pending_proposals', count(*) from public.ops_mission_proposals where status = 'pending'
  union all select 'queued_steps', count(*) from ops.queue where status = 'queued'
  union all select 'running_steps', count(*) from ops.running_steps
  union all select 'waiting_steps', count(*) from ops.queue where status = 'waiting';

-- Steps that are out of attempts, kept for an operator. `offset 0` keeps the look-up of a mission one by its key: joined, all missions
-- would be read to find those of a few steps.
create view public.ops_dead_letters with (security_invoker = true) as
  select s.id as step_id, s.kind, s.executor, s.last_error, s.failure_count, s.max_retries, s.end_reason, s.updated_at,
    s.mission_id, m.title as mission_title, m.status as mission_status, m.source as proposal_source
  from ops.queue q,
    lateral (select t.* from public.ops_mission_steps t where t.id = q.step_id offset 0) s,
    lateral (select m.title, m.status, m.source from public.ops_missions m where m.id = s.mission_id offset 0) m
  where q.status = 'failed';

-- Queued steps that no live worker offers to run.
create view public.ops_unclaimable_steps with (security_invoker = true) as
  select s.executor, count(*) as steps, min(s.run_at) as oldest_run_at
  from ops.queue s
  where s.status = 'queued' and s.ready
    and not exists (select from ops.workers w where s.executor = any (w.executors) and w.last_seen_at > ops.now() - interval '2 minutes')
  group by s.executor;

-- What shadow patterns would have done, beside what active ones did.
create view public.ops_reactions_and_shadows with (security_invoker = true) as
  select id, event_id, pattern_id, 'active' as mode, status, payload, created_at from public.ops_agent_reactions
  union all
  select id, event_id, pattern_id, 'shadow', 'shadow', payload, created_at from ops.shadow_reactions;

create view public.ops_workers with (security_invoker = true) as
  select id, name, version, executors, concurrency, role, registered_at, last_seen_at,
    last_seen_at > ops.now() - interval '2 minutes' as live
  from ops.workers;

-- What the last check of each service said, and how many of the last day's went well.
create view public.ops_services with (security_invoker = true) as
  select s.name, s.state, s.healthy, s.failures, s.http_status, s.latency_ms, s.error, s.checked_at, s.opened_at, s.next_check_at,
    d.checks as checks_last_day, round(100.0 * d.good / nullif(d.checks, 0), 2) as healthy_percent_last_day
  from ops.services s, lateral (
    select count(*) as checks, count(*) filter (where c.ok) as good
    from ops.service_checks c where c.name = s.name and c.at > ops.now() - interval '1 day') d;

-- 81_dashboard_views.sql ------------------------------------------------------------------------------------

-- The runbook's queries, as views: for Supabase Reports, Grafana or psql. Each looks back over a fixed window by an index, so
-- that it stays fast over ten million rows. Rates and durations leave the engine's own canary out. Days and
-- hours are those of the session's time zone.
--
-- The clock stands in a sub-select on purpose: read once, it can steer an index scan. So does `offset 0` in what is looked up for each
-- row: joined, all that ever was would be read to find what belongs to a day.

-- Everything at a glance, over the last 24 hours.
create view public.ops_system_health with (security_invoker = true) as
  with w as (select (select ops.now()) - interval '24 hours' as day, (select ops.now()) - interval '1 hour' as hour)
  select e.*, r.*, p.*, m.*, s.*
  from
    (select count(*) filter (where processed_at is null) as unprocessed_events,
       count(*) filter (where processed_at > (select hour from w)) as recent_events
     from public.ops_agent_events where created_at > (select day from w)) e,
    (select count(*) filter (where status = 'queued') as queued_reactions, count(*) filter (where status = 'processing') as processing_reactions
     from public.ops_agent_reactions where created_at > (select day from w)) r,
    (select count(*) filter (where status = 'pending') as pending_proposals, count(*) filter (where created_at > (select hour from w)) as recent_proposals
     from public.ops_mission_proposals where created_at > (select day from w)) p,
    (select count(*) filter (where status = 'running') as running_missions, count(*) filter (where status = 'failed') as failed_missions
     from public.ops_missions where created_at > (select day from w)) m,
    (select count(*) filter (where status = 'queued') as queued_steps, count(*) filter (where status = 'running') as running_steps,
       count(*) filter (where status = 'failed') as failed_steps
     from public.ops_mission_steps where created_at > (select day from w)) s;

-- Beats by the hour, over 24 hours.
create view public.ops_heartbeat_health with (security_invoker = true) as
  select date_trunc('hour', created_at) as hour,
    count(*) filter (where type = 'heartbeat:success') as successes,
    count(*) filter (where type = 'heartbeat:failure') as failures
  from public.ops_agent_events
  where created_at > (select ops.now()) - interval '24 hours' and type in ('heartbeat:success', 'heartbeat:failure')
  group by 1 order by 1 desc;

-- Claims by the hour, over 24 hours, with what became of those steps.
create view public.ops_worker_activity with (security_invoker = true) as
  select date_trunc('hour', reserved_at) as hour, count(*) as steps_claimed,
    count(*) filter (where status = 'succeeded') as succeeded, count(*) filter (where status = 'failed') as failed
  from public.ops_mission_steps
  where reserved_at > (select ops.now()) - interval '24 hours' and kind <> 'noop:canary'
  group by 1 order by 1 desc;

-- Seconds from an event to the proposal that answers it, over 24 hours.
create view public.ops_proposal_latency with (security_invoker = true) as
  select count(*) as proposals, avg(seconds) as avg_latency_seconds,
    percentile_cont(0.5) within group (order by seconds) as p50_latency,
    percentile_cont(0.95) within group (order by seconds) as p95_latency,
    percentile_cont(0.99) within group (order by seconds) as p99_latency
  from (
    select extract(epoch from p.created_at - e.created_at) as seconds
    from public.ops_mission_proposals p,
      lateral (select r.event_id from public.ops_agent_reactions r where r.id = p.reaction_id offset 0) r,
      lateral (select e.created_at from public.ops_agent_events e where e.id = r.event_id offset 0) e
    where p.created_at > (select ops.now()) - interval '24 hours' and p.source <> 'canary') latency;

-- Seconds from a step's creation to its end, and spent in its last attempt, by kind, over 24 hours.
create view public.ops_step_durations with (security_invoker = true) as
  select kind, count(*) as total_steps, avg(extract(epoch from completed_at - created_at)) as avg_duration_seconds,
    percentile_cont(0.95) within group (order by extract(epoch from completed_at - created_at)) as p95_duration_seconds,
    avg(extract(epoch from completed_at - reserved_at)) as avg_attempt_seconds
  from public.ops_mission_steps
  where status in ('succeeded', 'failed') and created_at > (select ops.now()) - interval '24 hours' and kind <> 'noop:canary'
  group by kind order by 3 desc;

-- Proposals by day and source, over 7 days.
create view public.ops_proposal_rate with (security_invoker = true) as
  select date_trunc('day', created_at) as day, source, count(*) as proposals, count(*) filter (where status = 'rejected') as rejected
  from public.ops_mission_proposals
  where created_at > (select ops.now()) - interval '7 days' and source <> 'canary'
  group by 1, 2 order by 1 desc, 2;

-- Ended missions by day, over 7 days.
create view public.ops_mission_success_rate with (security_invoker = true) as
  select date_trunc('day', completed_at) as day, count(*) as total_missions, count(*) filter (where status = 'succeeded') as succeeded,
    100.0 * count(*) filter (where status = 'succeeded') / count(*) as success_rate_pct
  from public.ops_missions
  where completed_at > (select ops.now()) - interval '7 days' and source is distinct from 'canary'
  group by 1 order by 1 desc;

-- Steps that died, by day, over 7 days.
create view public.ops_dead_letter_rate with (security_invoker = true) as
  select date_trunc('day', q.ended_at) as day, count(*) as dead_letters
  from ops.queue q, lateral (select s.kind from public.ops_mission_steps s where s.id = q.step_id offset 0) s
  where q.status = 'failed' and q.ended_at > (select ops.now()) - interval '7 days' and s.kind <> 'noop:canary'
  group by 1 order by 1 desc;

-- The steps that failed last, over 24 hours.
create view public.ops_recent_failures with (security_invoker = true) as
  select s.id as step_id, s.kind, s.executor, s.last_error, s.failure_count, s.updated_at, m.id as mission_id, m.source as proposal_source
  from ops.queue q,
    lateral (select t.* from public.ops_mission_steps t where t.id = q.step_id offset 0) s,
    lateral (select m.id, m.source from public.ops_missions m where m.id = s.mission_id offset 0) m
  where q.status = 'failed' and q.ended_at > (select ops.now()) - interval '24 hours'
  order by q.ended_at desc;

-- Limits beside their use, on the current day of the policy's time zone.
create view public.ops_policy_compliance with (security_invoker = true) as
  select c.scope, c.name, c.used, c.max_units as limit, c.used_usd, c.max_usd as budget_usd, c.day
  from public.ops_cap_usage() c;

-- How often each pattern of the matrix answered, over 30 days; also those that never did.
create view public.ops_pattern_effectiveness with (security_invoker = true) as
  with answered as (
    select r.pattern_id, count(*) as reactions from public.ops_agent_reactions r
    where r.created_at > (select ops.now()) - interval '30 days' group by r.pattern_id)
  select coalesce(p.value ->> 'id', p.value ->> 'name') as pattern_id, coalesce(p.value ->> 'mode', 'active') as mode,
    coalesce(a.reactions, 0) as reactions_created
  from public.ops_policy m, jsonb_array_elements(m.value -> 'patterns') p
  left join answered a on a.pattern_id = coalesce(p.value ->> 'id', p.value ->> 'name')
  where m.key = 'reaction_matrix'
  order by 3 desc;

-- What the tables and their indexes take on disk.
create view public.ops_table_sizes with (security_invoker = true) as
  select c.relnamespace::regnamespace::text as schema, c.relname::text as "table", c.reltuples::bigint as rows_estimated,
    pg_size_pretty(pg_total_relation_size(c.oid)) as total_size, pg_size_pretty(pg_relation_size(c.oid)) as table_size,
    pg_total_relation_size(c.oid) as total_bytes
  from pg_class c
  where c.relkind = 'r' and (c.relnamespace = 'ops'::regnamespace or (c.relnamespace = 'public'::regnamespace and c.relname like 'ops\_%'))
  order by 6 desc;

-- 84_watched.sql --------------------------------------------------------------------------------------------

-- What scoped checks read: the watched_* relations. Tests ask for everything, the monitor's rounds for so few rows that a check costs the
-- same however much work is finished.

-- What the watched_* relations of a check stand for: everything, or the newest rows and the oldest of those at work.
create function ops.scope(p_everything boolean) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_everything then
    return $q$with watched_events as not materialized (select * from public.ops_agent_events),
      watched_reactions as not materialized (select * from public.ops_agent_reactions),
      watched_proposals as not materialized (select * from public.ops_mission_proposals),
      watched_missions as not materialized (select * from public.ops_missions),
      watched_steps as not materialized (select * from public.ops_mission_steps),
      watched_runs as not materialized (select * from public.ops_action_runs),
      watched_counters as not materialized (select * from ops.cap_counters),
      watched_stripes as not materialized (select * from ops.cap_stripes),
      watched_keys as not materialized (select * from ops.live_keys)
      $q$;
  end if;
  return $q$with watched_events as materialized (
        select e.* from public.ops_agent_events e where e.id in (
          (select n.id from public.ops_agent_events n order by n.id desc limit 300) union
          (select u.id from public.ops_agent_events u where u.processed_at is null order by u.created_at, u.id limit 100))),
      watched_reactions as materialized (
        select r.* from watched_events e join public.ops_agent_reactions r on r.event_id = e.id),
      watched_proposals as materialized (
        select p.* from public.ops_mission_proposals p where p.id in (
          (select n.id from public.ops_mission_proposals n order by n.id desc limit 300) union
          (select o.id from public.ops_mission_proposals o where o.status = 'pending' order by o.expires_at, o.id limit 100))),
      watched_missions as materialized (
        select m.* from public.ops_missions m where m.id in (
          (select n.id from public.ops_missions n order by n.id desc limit 300) union
          -- Each in the order of its index, so that no more than these are read, however many are open.
          (select q.mission_id from ops.queue q where q.status = 'queued' and q.ready order by q.executor, q.priority, q.run_at, q.step_id limit 100) union
          (select q.mission_id from ops.queue q where q.status = 'waiting' order by q.mission_id limit 100) union
          (select s.mission_id from (select u.id from (select c.steps from ops.claims c order by c.look_at limit 100) c, unnest(c.steps) u(id) limit 100) r,
            lateral (select t.mission_id from public.ops_mission_steps t where t.id = r.id and t.status = 'running' offset 0) s))),
      watched_steps as materialized (
        select s.* from watched_missions m join public.ops_mission_steps s on s.mission_id = m.id),
      watched_runs as materialized (
        select r.* from watched_steps s join public.ops_action_runs r on r.step_id = s.id),
      watched_counters as materialized (
        select * from ops.cap_counters where day >= (select ops.now())::date - 1),
      watched_stripes as materialized (
        select * from ops.cap_stripes where day >= (select ops.now())::date - 1),
      watched_keys as materialized (
        (select * from ops.live_keys where live limit 1000))
      $q$;
end
$$;

-- 85_invariants.sql -----------------------------------------------------------------------------------------

-- Invariants: what must be true at every moment, whatever happened. Each is a query with one row for each breach; no rows is the
-- good answer. Tests run them over everything after everything they do; the monitor (86_monitor.sql) runs them every few minutes
-- over what changed last (84_watched.sql), so that they cost the same however much work is finished.

insert into ops.checks (name, severity, detects, scoped, wide, query) values

-- Events are processed exactly once.
('event_processed_once', 'critical', 'Events that are processed without a verdict, or have a verdict and are not processed', true, false, $q$
  select e.id, 'processed without a verdict: ' || e.type as message
  from watched_events e
  where e.processed_at is not null and e.type not like 'heartbeat:%' and not exists (select from ops.event_verdicts v where v.event_id = e.id)
  union all
  select e.id, 'has a verdict and is not processed'
  from watched_events e join ops.event_verdicts v on v.event_id = e.id where e.processed_at is null
$q$),
('reaction_needs_verdict', 'critical', 'Reactions that their event''s verdict does not name', true, false, $q$
  select r.id, 'the event''s verdict does not name the pattern ' || coalesce(r.pattern_id, '(none)') as message
  from watched_reactions r join ops.event_verdicts v on v.event_id = r.event_id
  where not v.decisions @> jsonb_build_array(jsonb_build_object('pattern_id', r.pattern_id, 'decision', 'matched'))
$q$),

-- Results are recorded exactly once.
('one_success_per_step', 'critical', 'Steps that succeeded more than once', true, false, $q$
  select r.step_id as id, count(*) || ' successful runs' as message
  from watched_runs r where r.status = 'succeeded' group by r.step_id having count(*) > 1
$q$),
('success_has_run', 'critical', 'Steps that succeeded without a successful run', true, false, $q$
  select s.id, 'succeeded without a successful run' as message
  from watched_steps s
  where s.status = 'succeeded' and s.end_reason is distinct from 'by hand'
    and not exists (select from public.ops_action_runs r where r.step_id = s.id and r.status = 'succeeded')
    and not exists (select from ops.archive a where a.parent_id = s.id and a.entity = 'run' and a.status = 'succeeded')
$q$),
('terminal_is_final', 'critical', 'Attempts that began after their step had ended', true, false, $q$
  select s.id, 'an attempt began after the step had ended' as message
  from watched_steps s join public.ops_action_runs r on r.step_id = s.id
  where s.status in ('succeeded', 'failed', 'cancelled') and r.started_at > s.completed_at
$q$),
('claims_equal_runs', 'critical', 'Steps whose claims and ended attempts do not agree', true, false, $q$
  select s.id, format('%s claims, %s ended runs, status %s', s.attempt, r.n, s.status) as message
  from watched_steps s, lateral (
    select (select count(*) from public.ops_action_runs r where r.step_id = s.id)
      + (select count(*) from ops.archive a where a.parent_id = s.id and a.entity = 'run') as n) r
  where s.attempt <> r.n + case when s.status = 'running' then 1 else 0 end
$q$),

-- At most one live lease per step.
('running_has_lease', 'critical', 'Running steps without a lease', true, false, $q$
  select s.id, 'running without token or deadline' as message
  from watched_steps s where s.status = 'running' and (s.lease_token is null or s.lease_expires_at is null)
$q$),
('token_names_one_attempt', 'critical', 'Live lease tokens that already ended an attempt', true, false, $q$
  select s.id, 'the live token already ended an attempt' as message
  from watched_steps s join public.ops_action_runs r on r.id = s.lease_token
$q$),

-- What can be claimed is found in the queue, what runs by its claim.
('queue_follows_steps', 'critical', 'Steps that the queue does not know, or knows otherwise than they are', true, false, $q$
  select s.id, format('is %s, and the queue says %s', s.status, coalesce(q.status::text, 'nothing')) as message
  from watched_steps s left join ops.queue q on q.step_id = s.id
  where case when s.status in ('waiting', 'queued', 'failed')
    then (q.status, q.mission_id, q.executor, q.priority, q.run_at, q.ready, q.service)
      is distinct from (s.status, s.mission_id, s.executor, s.priority, s.run_at, s.ready, s.service)
    else q.step_id is not null end
$q$),
('running_has_claim', 'critical', 'Running steps that recovery would not find in time', true, false, $q$
  select s.id, 'runs until ' || s.lease_expires_at || ', and no claim says so' as message
  from watched_steps s where s.status = 'running' and not exists (
    select from ops.claims c where s.id = any (c.steps) and c.look_at <= greatest(s.lease_expires_at, (select ops.now())))
$q$),

-- Steps run in order.
('order', 'critical', 'Steps that were let go before what they depend on had succeeded', true, false, $q$
  select s.id, format('%s before its dependencies have succeeded', s.status) as message
  from watched_steps s
  where s.status in ('queued', 'running', 'succeeded') and s.end_reason is null and exists (
    select from public.ops_mission_steps d where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status <> 'succeeded')
$q$),
('no_step_waits_for_nothing', 'critical', 'Steps that wait though all they depend on has succeeded', true, false, $q$
  select s.id, 'waiting though all its dependencies have succeeded' as message
  from watched_steps s
  where s.status = 'waiting' and not exists (
    select from public.ops_mission_steps d where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status <> 'succeeded')
$q$),
('no_step_waits_for_ever', 'critical', 'Steps that wait for one that has failed or was cancelled', true, false, $q$
  select s.id, 'waiting for a step that has failed or was cancelled' as message
  from watched_steps s
  where s.status = 'waiting' and exists (
    select from public.ops_mission_steps d where d.mission_id = s.mission_id and d.key = any (s.depends_on) and d.status in ('failed', 'cancelled'))
$q$),

-- A mission is terminal if and only if all of its steps are, and says so exactly once.
('mission_agrees_with_steps', 'critical', 'Missions that do not agree with their steps: open with all steps ended, or the other way round', true, false, $q$
  select m.id, format('%s, %s open by its counter, %s open, %s failed, %s cancelled in fact', m.status, m.steps_open, c.open, c.failed, c.cancelled) as message
  from watched_missions m, lateral (
    select count(*) filter (where s.status in ('waiting', 'queued', 'running')) as open, count(*) filter (where s.status = 'failed') as failed,
      count(*) filter (where s.status = 'cancelled') as cancelled, count(*) as total
    from public.ops_mission_steps s where s.mission_id = m.id) c
  where c.total > 0 and (m.steps_open <> c.open or (m.completed_at is null) <> (c.open > 0)
    or (m.status = 'succeeded' and c.failed + c.cancelled > 0) or (m.status = 'failed' and c.failed = 0 and c.total = m.steps_total))
$q$),
('mission_runs_once_started', 'critical', 'Missions that say approved though a step was claimed', true, false, $q$
  select m.id, 'a step was claimed and the mission still says approved' as message
  from watched_missions m where m.status = 'approved' and exists (
    select from public.ops_mission_steps s where s.mission_id = m.id and s.attempt > 0)
$q$),
('one_event_per_end', 'critical', 'Missions whose end was told never, or more than once', true, false, $q$
  select m.id, format('%s roll-up events after round %s, %s', e.n, m.round, m.status) as message
  from watched_missions m, lateral (
    select count(*) as n
    from (select e.type, e.round from public.ops_agent_events e where e.mission_id = m.id
          union all
          select a.data ->> 'type', (a.data ->> 'round')::integer from ops.archive a where a.parent_id = m.id and a.entity = 'event') e
    where e.type in ('mission:succeeded', 'mission:failed', 'mission:cancelled') and e.round is not null) e
  where e.n <> m.round - case when m.completed_at is null then 1 else 0 end
$q$),
('depth_follows_mission', 'critical', 'Events whose depth in the chain is not one more than their mission''s', true, false, $q$
  select e.id, format('depth %s under a mission of depth %s', e.depth, m.depth) as message
  from watched_events e join public.ops_missions m on m.id = e.mission_id where e.depth <> m.depth + 1
$q$),

-- Only an approval of exactly what runs leads to a mission.
('admitted_has_mission', 'critical', 'Admitted proposals without a mission, and missions of proposals that were not admitted', true, false, $q$
  select p.id, format('%s, %s missions', p.status, count(m.id)) as message
  from watched_proposals p left join public.ops_missions m on m.proposal_id = p.id
  where not exists (select from ops.archive a where a.parent_id = p.id and a.entity = 'mission')
  group by p.id, p.status having count(m.id) <> case when p.status in ('approved', 'auto_approved') then 1 else 0 end
$q$),
('mission_was_decided', 'critical', 'Missions without a decision for exactly what they run', true, false, $q$
  select m.id, 'no decision for the template''s digest' as message
  from watched_missions m join public.ops_mission_proposals p on p.id = m.proposal_id
  where not exists (select from ops.decisions d where d.proposal_id = p.id and d.decision = p.status::text and d.digest = ops.template_digest(p.template))
$q$),

-- No cap is ever exceeded, and counters say what is there.
('cap_kept', 'critical', 'Caps that were exceeded', true, false, $q$
  select format('%s %s %s', k.day, k.scope, k.name) as id, format('%s admitted, %s allowed at most', k.used, l.most) as message
  from watched_counters k, lateral (
    -- The most that any version of the policy in force around that day allowed; a version without the limit allows all.
    select max(coalesce((h.value #>> case k.scope when 'daily' then '{daily_limit}' else array['per_' || k.scope, k.name] end)::integer,
      (h.value #>> array['per_' || k.scope || '_limits', k.name])::integer, 2147483647)) as most
    from (select value, case when row_number() over w > 1 then updated_at end as since, lead(updated_at) over w as until
          from ops.policy_history where key = 'proposal_caps' window w as (order by version)) h
    where coalesce(h.since < k.day + 2, true) and coalesce(h.until > k.day - 1, true)) l
  where k.used > l.most and not exists (
    select from ops.policy_audit a where a.policy_key in ('proposal_caps', '*') and a.action in ('delete', 'truncate'))
$q$),
('cap_dealt_once', 'critical', 'Caps of which more was dealt to their stripes than is left', true, false, $q$
  select format('%s %s %s', s.day, s.scope, s.name) as id,
    format('%s and $%s used, %s and $%s dealt of %s and $%s', sum(s.used), sum(s.used_usd), sum(s.room), sum(s.room_usd),
      string_agg(distinct s.max_units::text, ' or '), string_agg(distinct s.max_usd::text, ' or ')) as message
  from watched_stripes s
  group by s.day, s.scope, s.name
  having sum(s.room) > greatest(max(s.max_units) - sum(s.used), 0) or sum(s.room_usd) > greatest(max(s.max_usd) - sum(s.used_usd), 0)
    or count(distinct concat(s.max_units, ' ', s.max_usd)) > 1
$q$),
('counters_are_true', 'critical', 'Counters of caps that do not say what was admitted', false, true, $q$
  select format('%s %s %s', coalesce(k.day, t.day), coalesce(k.scope, t.scope), coalesce(k.name, t.name)) as id,
    format('counted %s, in fact %s', k.used, t.units) as message
  from ops.cap_counters k
  full join (
    select p.cap_day as day, u.scope, u.name, sum(u.units)::integer as units
    -- Older days have no counters any more.
    from (select cap_day, source, pattern_id, template from public.ops_mission_proposals where cap_day >= ops.oldest_cap_day()
          union all
          select (a.data ->> 'cap_day')::date, a.data ->> 'source', a.data ->> 'pattern_id', a.data -> 'template'
          from ops.archive a where a.entity = 'proposal' and (a.data ->> 'cap_day')::date >= ops.oldest_cap_day()) p,
      unnest(ops.cap_units(p.source, p.pattern_id, p.template)) u
    group by p.cap_day, u.scope, u.name) t using (day, scope, name)
  where coalesce(k.used, 0) <> coalesce(t.units, 0)
$q$),
('money_is_true', 'critical', 'Days whose money does not add up', false, true, $q$
  select k.day as id, format('counted $%s, in fact $%s', k.used_usd, t.usd) as message
  from ops.cap_counters k, lateral (
    select coalesce(sum(usd), 0) as usd from (
      select p.reserved_usd as usd from public.ops_mission_proposals p where p.cap_day = k.day
      union all
      select (a.data ->> 'reserved_usd')::numeric from ops.archive a where a.entity = 'proposal' and (a.data ->> 'cap_day')::date = k.day) s) t
  where k.scope = 'daily' and k.used_usd <> t.usd
$q$),
('chain_is_counted', 'critical', 'Chains whose counter does not say how many missions they started', false, true, $q$
  select r.root_event_id as id, format('counted %s missions, in fact %s', r.missions, coalesce(t.n, 0)) as message
  from ops.root_missions r left join (
    select root_event_id, count(*) as n
    from (select p.root_event_id, p.status::text from public.ops_mission_proposals p
          union all
          select (a.data ->> 'root_event_id')::uuid, a.data ->> 'status' from ops.archive a where a.entity = 'proposal') p
    where p.status in ('pending', 'approved', 'auto_approved')
    group by root_event_id) t using (root_event_id)
  where r.missions <> coalesce(t.n, 0)
$q$),

-- A dedupe key is held exactly by live work.
('live_key_is_live', 'critical', 'Dedupe keys held by work that has ended', true, false, $q$
  select k.dedupe_key as id, 'held by work that has ended' as message
  from watched_keys k
  where k.live and not exists (
    select from public.ops_mission_proposals p left join public.ops_missions m on m.proposal_id = p.id
    where p.id = k.proposal_id and (p.status = 'pending' or (m.id is not null and m.completed_at is null)))
$q$),
('live_work_holds_its_key', 'critical', 'Live work that does not hold its dedupe key', true, false, $q$
  select p.id, format('dedupe key "%s" is not held by this proposal', p.dedupe_key) as message
  from watched_proposals p left join public.ops_missions m on m.proposal_id = p.id
  where p.dedupe_key is not null and (p.status = 'pending' or (m.id is not null and m.completed_at is null))
    and not exists (select from ops.live_keys k where k.dedupe_key = p.dedupe_key and k.proposal_id = p.id and k.live)
$q$),

-- Every policy change is audited.
('policy_is_audited', 'critical', 'Versions of policies without an audit entry', false, false, $q$
  select h.key || ' ' || h.version as id, 'this version has no audit entry' as message
  from ops.policy_history h where not exists (
    select from ops.policy_audit a where a.policy_key = h.key and a.new_version = h.version and a.new_value = h.value)
$q$),
('policy_is_in_history', 'critical', 'Policies in force that are not the version kept', false, false, $q$
  select p.key || ' ' || p.version as id, 'the row in force is not the version kept' as message
  from public.ops_policy p where not exists (
    select from ops.policy_history h where h.key = p.key and h.version = p.version and h.value = p.value)
$q$);

-- Every breach of an invariant of the engine, over everything there is.
create function ops.broken_invariants()
returns table (invariant text, id text, problem text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return query execute (
    select ops.scope(true) || string_agg(format('select %L, b.id::text, b.message from (%s) b', c.name, c.query), ' union all ')
    from ops.checks c where c.scoped or c.wide or c.name like 'policy\_is\_%');
end
$$;

-- 86_checks.sql ---------------------------------------------------------------------------------------------

-- Checks beside the invariants (85_invariants.sql): who is logged in, what row level security covers, what is stuck or has fallen silent.

-- What is checked beside the invariants: how the loop is run. The clock stands in a sub-select: read once, it can steer an index scan.
insert into ops.checks (name, severity, detects, query) values
('runtime_identity', 'critical', 'Workers or control planes that are logged in under another role than expected, or one with more rights', $q$
  with expected as (
    select case x.key when 'worker' then 'worker' else 'control plane' end as part, array(select jsonb_array_elements_text(x.value)) as roles
    from jsonb_each(coalesce(ops.policy('invariants') -> 'expected_roles', '{}')
      || case when ops.policy('invariants') #> '{expected_roles,worker}' is null then '{"worker": ["ops_worker"]}'::jsonb else '{}' end
      || case when ops.policy('invariants') #> '{expected_roles,control_plane}' is null then '{"control_plane": ["service_role"]}'::jsonb else '{}' end) x
  ), seen as (
    select 'worker' as part, w.name, w.role from ops.workers w where w.last_seen_at > (select ops.now()) - interval '1 hour'
    union
    select 'control plane', 'heartbeat', b.role from ops.watch b where b.part = 'round'
  )
  select s.part || ' ' || s.name as id, s.part, s.role, format('the %s "%s" is logged in as %s, expected is %s', s.part, s.name, s.role,
    array_to_string(e.roles, ' or ')) as message
  from seen s join expected e on e.part = s.part left join pg_roles r on r.rolname = s.role
  where s.role <> all (e.roles) and (r.oid is null or r.rolsuper
    or not exists (select from unnest(e.roles) x join pg_roles y on y.rolname = x where pg_has_role(r.oid, y.oid, 'member'))
    or pg_has_role(r.oid, (select c.relowner from pg_class c where c.oid = 'public.ops_policy'::regclass), 'member')
    or (s.part = 'worker' and 'service_role' <> all (e.roles) and has_table_privilege(r.oid, 'public.ops_policy', 'delete')))
$q$),
('rls_disabled', 'high', 'Tables of schema public without row level security', $q$
  select c.oid::regclass as id, format('row level security is off for %s', c.oid::regclass) as message
  from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
$q$),
('rls_no_policies', 'high', 'Tables of schema public with row level security and no policy: nobody but their owner reads them', $q$
  select c.oid::regclass as id, format('row level security is on for %s, and it has no policy', c.oid::regclass) as message
  from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relrowsecurity
    and not exists (select from pg_policy p where p.polrelid = c.oid)
$q$),
('monitor_blind_spots', 'warning', 'Tables that checks may read, but whose rows row level security hides from them', $q$
  select c.oid::regclass as id, format('checks see no row of %s: create policy ops_monitor_reads on %s for select to ops_monitor using (true)',
    c.oid::regclass, c.oid::regclass) as message
  from pg_class c join pg_roles r on r.rolname = 'ops_monitor'
  where c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) and c.relkind in ('r', 'p') and c.relrowsecurity
    and not r.rolsuper and not r.rolbypassrls and has_table_privilege(r.oid, c.oid, 'select')
    and not exists (
      select from pg_policy p
      where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*') and (0::oid = any (p.polroles) or exists (
        select from unnest(p.polroles) x where x <> 0 and pg_has_role(r.oid, x, 'usage'))))
$q$),
('stuck_reactions', 'warning', 'Reactions that have been queued or in processing for an hour', $q$
  select r.id, format('%s since %s', r.status, r.updated_at) as message
  from public.ops_agent_reactions r where r.status = 'processing' and r.updated_at < (select ops.now()) - interval '1 hour'
  union all
  (select r.id, format('queued since %s', r.created_at)
   from public.ops_agent_reactions r
   where r.status = 'queued' and r.created_at < (select ops.now()) - interval '1 hour' and not ops.paused('reactions')
   order by r.created_at, r.id limit 101)
$q$),
('stuck_webhooks', 'warning', 'Webhooks and other events that nobody has processed for an hour', $q$
  select e.id, format('%s waits since %s', e.type, e.created_at) as message
  from public.ops_agent_events e
  where e.processed_at is null and e.created_at < (select ops.now()) - interval '1 hour' and not ops.paused('reactions')
  order by e.created_at, e.id limit 101
$q$),
('running_past_recovery', 'high', 'Steps that still run ten minutes after their lease was over: nobody recovers them', $q$
  select s.id, format('%s has run without a lease since %s', s.kind, s.lease_expires_at) as message
  from ops.running_steps s
  where s.lease_expires_at < (select ops.now()) - interval '10 minutes'
  order by s.lease_expires_at limit 101
$q$),
('mission_open_without_steps', 'high', 'Missions that are open though all of their steps have ended', $q$
  select m.id, format('%s since %s, and no step is open', m.status, m.updated_at) as message
  from (
    select l.id, l.status, l.updated_at from (select * from public.ops_missions order by id desc limit 1000) l where l.completed_at is null
    union
    -- Attempts that were claimed last: the end of a mission follows the end of one of its steps.
    select l.id, l.status, l.updated_at
    from (select distinct s.mission_id from (select r.step_id from public.ops_action_runs r order by r.id desc limit 1000) r,
        lateral (select t.mission_id from public.ops_mission_steps t where t.id = r.step_id offset 0) s) s,
      lateral (select t.* from public.ops_missions t where t.id = s.mission_id and t.completed_at is null offset 0) l) m
  where not exists (select from public.ops_mission_steps s where s.mission_id = m.id and s.status in ('waiting', 'queued', 'running'))
$q$),
('unclaimable_steps', 'warning', 'Queued steps whose executor no live worker has offered for ten minutes', $q$
  select x.name as id, format('no live worker offers executor "%s"; a step has been due since %s', x.name, d.run_at) as message
  from unnest(ops.claimable_executors()) x(name), lateral (
    select min(s.run_at) as run_at
    from (select run_at from ops.queue where status = 'queued' and ready and executor = x.name order by priority, run_at, step_id limit 100) s) d
  where d.run_at < (select ops.now()) - interval '10 minutes' and not ops.paused('claims') and x.name <> all (ops.blocked_executors())
    and not exists (select from ops.workers w where x.name = any (w.executors) and w.last_seen_at > (select ops.now()) - interval '10 minutes')
$q$),
('heartbeat_silence', 'high', 'More than fifteen minutes between the heartbeat that runs this check and the one before', $q$
  select 'heartbeat' as id, format('the last heartbeat was recorded at %s', b.at) as message
  from (select at from ops.heartbeats order by at desc limit 1) b where b.at < (select ops.now()) - interval '15 minutes'
$q$),
('worker_silence', 'high', 'Workers that fell silent with steps in hand', $q$
  select w.id, format('worker "%s" was last seen at %s and has %s steps in hand', w.name, w.last_seen_at, count(*)) as message
  from (select id, worker_id from ops.running_steps order by lease_expires_at limit 1000) s
  join ops.workers w on w.id = s.worker_id
  where w.last_seen_at < (select ops.now()) - interval '5 minutes' group by w.id, w.name, w.last_seen_at
$q$),
('pattern_quarantined', 'high', 'Patterns of the reaction matrix that are out of service', $q$
  select x.key as id, format('pattern %s is out of service: %s', x.key, x.value) as message
  from ops.reports r, jsonb_each_text(r.details) x where r.name = 'quarantined_patterns'
$q$);

-- 86_monitor.sql --------------------------------------------------------------------------------------------

-- The monitor: checks run every few minutes inside the heartbeat, and what violates them is kept until it no longer does.
--
-- Each check is a query that runs as ops_monitor, which may only read, in a transaction that only reads, under a statement timeout.
-- Whatever a check does besides answering is undone. One that breaks or is cut off is reported as such and stops no other.
--
-- The timeout comes from outside, because a running statement cannot shorten its own: over Postgres the caller sets
-- policy `invariants`.timeout_ms, PostgREST takes the function's statement_timeout. The caller runs the checks in as few calls as
-- it takes: a call ends with the first check that is cut off, and one that was cut off because others had used up the call's time
-- is left for the next call.

-- Runs a query as ops_monitor and answers its first rows. This function alone belongs to that role, and nothing but the monitor
-- may call it.
create function ops.query_as_monitor(p_query text, p_limit integer) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
  v_rows jsonb;
begin
  -- Operators write their tables' names as they do everywhere else.
  perform set_config('search_path', 'pg_catalog, public, pg_temp', true);
  execute format(E'select coalesce(jsonb_agg(to_jsonb(r)), ''[]'') from (select * from (%s\n) q limit %s) r', rtrim(p_query, E'; \t\r\n'), p_limit)
    into v_rows;
  return v_rows;
end
$$;

-- Only the owner of a schema, or who may create in it, can own a function there; it need not stay so.
revoke all on function ops.query_as_monitor(text, integer) from public;
grant usage, create on schema ops to ops_monitor;
alter function ops.query_as_monitor(text, integer) owner to ops_monitor;
revoke create on schema ops from ops_monitor;

-- Every check in force: those that are shipped and not skipped, then the operator's.
create function ops.all_checks()
returns table (name text, severity text, detects text, query text, scoped boolean, wide boolean, shipped boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_policy jsonb := coalesce(ops.policy('invariants'), '{}');
begin
  return query
  select c.name, c.severity, c.detects, c.query, c.scoped, c.wide, true from ops.checks c
  where not coalesce(v_policy -> 'skip', '[]') ? c.name
  union all
  select x.value ->> 'name', x.value ->> 'severity', coalesce(x.value ->> 'description', ''), x.value ->> 'sql', false, false, false
  from jsonb_array_elements(coalesce(v_policy -> 'checks', '[]')) x
  where not exists (select from ops.checks c where c.name = x.value ->> 'name') and not coalesce(v_policy -> 'skip', '[]') ? (x.value ->> 'name');
end
$$;

-- Begins a round of checks when one is due, for one of any number of overlapping heartbeats. Answers {"due", "checks": [name],
-- "timeout_ms"}.
create function public.ops_begin_checks() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('invariants'), '{}');
begin
  if not coalesce((v_policy ->> 'enabled')::boolean, true) or not ops.take_turn('round', coalesce((v_policy ->> 'every_minutes')::numeric, 5)) then
    return jsonb_build_object('due', false, 'checks', '[]'::jsonb, 'timeout_ms', 0);
  end if;
  -- What is no longer checked is no longer violated.
  update ops.invariant_violations v set resolved = true, resolved_at = ops.now()
  where not v.resolved and v.check_name not in ('canary_missing', 'canary_slow')
    and not exists (select from ops.all_checks() c
                    where c.name = case when v.check_name in ('check_failed', 'check_slow') then v.subject else v.check_name end);
  perform ops.prune_watch();
  return jsonb_build_object('due', true, 'timeout_ms', coalesce((v_policy ->> 'timeout_ms')::integer, 2000),
    -- Those that were cut off the last time come last, so that they keep nobody waiting.
    'checks', (select coalesce(jsonb_agg(c.name order by coalesce(r.outcome, '') = 'timed_out', c.shipped desc, c.name), '[]')
               from ops.all_checks() c left join ops.check_runs r on r.name = c.name where not c.wide));
end
$$;

-- True for one caller in each span of p_minutes, however many ask: spans begin at full multiples, so that a heartbeat that comes
-- a second early or late makes no difference.
create function ops.take_turn(p_part text, p_minutes numeric) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  insert into ops.watch as w (part, ran_at, role) values (p_part, v_now, ops.caller())
  on conflict (part) do update set ran_at = v_now, role = ops.caller()
  where floor(extract(epoch from w.ran_at) / 60 / p_minutes) < floor(extract(epoch from v_now) / 60 / p_minutes);
  return found;
end
$$;

-- Who calls, as the database knows them.
create function ops.caller() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(nullif(current_setting('role', true), 'none'), session_user::text);
end
$$;

-- Runs the named checks (null: all of a round) until one is cut off, and keeps their violations. Answers one row for each check
-- that was judged: clean, violated, failed or timed_out. Those that are missing were not judged: call again with their names.
-- p_everything looks at all rows instead of the latest, and also runs the wide checks.
create function public.ops_run_checks(p_names text[] default null, p_everything boolean default false)
returns table (name text, severity text, outcome text, violations integer, duration_ms numeric, error text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
#variable_conflict use_column
declare
  c_most constant integer := 100;
  v_allowed numeric := coalesce((ops.policy('invariants') ->> 'timeout_ms')::numeric, 2000);
  v_check record;
  v_rows jsonb;
  v_began timestamptz;
  v_first boolean := true;
begin
  for v_check in
    select c.* from ops.all_checks() c
    where (p_names is null or c.name = any (p_names)) and (not c.wide or p_everything or c.name = any (p_names))
    order by array_position(p_names, c.name), c.shipped desc, c.name
  loop
    v_began := clock_timestamp();
    v_rows := null;
    error := null;
    begin
      perform set_config('transaction_read_only', 'on', true);
      if v_check.shipped then
        -- By index, from the few rows that are looked at: statistics that are old, or too new, would have it read the whole tables.
        perform set_config(o, case when p_everything then 'on' else 'off' end, true)
        from unnest(array['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) o;
        perform set_config('random_page_cost', '1.1', true);
      end if;
      v_rows := ops.query_as_monitor(case when v_check.scoped then ops.scope(p_everything) else '' end || v_check.query, c_most + 1);
      raise exception using errcode = 'OP000'; -- undoes whatever else the check did
    exception
      when sqlstate 'OP000' then
        outcome := case when v_rows = '[]' then 'clean' else 'violated' end;
      when query_canceled then
        if not v_first and extract(epoch from clock_timestamp() - v_began) * 1000 < v_allowed then
          return;
        end if;
        outcome := 'timed_out';
        error := format('cut off after %s ms, allowed are %s', round(extract(epoch from clock_timestamp() - v_began) * 1000), v_allowed);
      when others then
        outcome := 'failed';
        error := format('%s (%s)', sqlerrm, sqlstate);
    end;
    name := v_check.name;
    severity := v_check.severity;
    duration_ms := round(extract(epoch from clock_timestamp() - v_began) * 1000, 1);
    violations := ops.keep_check(v_check.name, v_check.severity, v_check.detects, outcome, v_rows, c_most, duration_ms, v_allowed, error);
    return next;
    if outcome = 'timed_out' then
      return;
    end if;
    v_first := false;
  end loop;
end
$$;

-- What one run of a check leaves behind. Returns how many rows violated it. A check that failed, was cut off or took longer than it
-- may is a violation of its own: what it would have found is not known, so its violations stay as they are.
create function ops.keep_check(
  p_name text, p_severity text, p_detects text, p_outcome text, p_rows jsonb, p_most integer, p_duration_ms numeric, p_allowed numeric, p_error text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer := 0;
begin
  if p_rows is not null and p_outcome in ('clean', 'violated') then
    v_count := ops.record_violations(p_name, p_severity, p_detects, p_rows, p_most);
    update ops.invariant_violations set resolved = true, resolved_at = ops.now() where check_name = 'check_failed' and subject = p_name and not resolved;
  else
    perform ops.open_violation('check_failed', p_name, 'high', format('check %s: %s', p_name, p_error));
  end if;
  if p_outcome = 'timed_out' or p_duration_ms > p_allowed then
    perform ops.open_violation('check_slow', p_name, 'warning', format('check %s took %s ms, allowed are %s', p_name, p_duration_ms, p_allowed));
  elsif p_outcome <> 'failed' then
    update ops.invariant_violations set resolved = true, resolved_at = ops.now() where check_name = 'check_slow' and subject = p_name and not resolved;
  end if;
  insert into ops.check_runs as r (name, outcome, ran_at, duration_ms, violations, error)
  values (p_name, p_outcome, ops.now(), p_duration_ms, v_count, p_error)
  on conflict (name) do update set outcome = excluded.outcome, ran_at = excluded.ran_at, duration_ms = excluded.duration_ms,
    violations = excluded.violations, error = excluded.error, runs = r.runs + 1;
  return v_count;
end
$$;

-- Keeps what a check answered. Rows with an `id` are violations of their own; rows without are one together. Of more rows than
-- p_limit nobody knows which are gone, so nothing is resolved then.
create function ops.record_violations(p_name text, p_severity text, p_detects text, p_rows jsonb, p_limit integer) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer := jsonb_array_length(p_rows);
  v_row record;
  v_subjects text[] := '{}';
begin
  for v_row in
    select coalesce(r.value ->> 'id', '') as subject, count(*) as n, (array_agg(r.value order by r.ordinality))[1] as first
    from jsonb_array_elements(p_rows) with ordinality r where r.ordinality <= p_limit group by 1 order by min(r.ordinality)
  loop
    v_subjects := v_subjects || left(v_row.subject, 500);
    perform ops.open_violation(p_name, v_row.subject, p_severity,
      case when v_row.subject = '' and v_count > 1 then format('%s rows%s, the first: ', v_row.n, case when v_count > p_limit then ' or more' else '' end) else '' end
        || coalesce(v_row.first ->> 'message', nullif(p_detects, '') || ': ' || (v_row.first)::text, (v_row.first)::text),
      v_row.first);
  end loop;
  if v_count <= p_limit then
    perform ops.resolve_violations(p_name, v_subjects);
  end if;
  return v_count;
end
$$;

-- Opens a violation, or counts that it is still there.
create function ops.open_violation(p_check text, p_subject text, p_severity text, p_message text, p_details jsonb default '{}') returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.invariant_violations as v (check_name, subject, severity, message, details)
  values (p_check, left(p_subject, 500), p_severity, left(p_message, 2000),
    case when octet_length(p_details::text) > 8000 then '{}' else p_details end)
  on conflict (check_name, subject) where not resolved do update
  set occurrences = v.occurrences + 1, last_seen_at = ops.now(), severity = excluded.severity, message = excluded.message, details = excluded.details;
end
$$;

-- Resolves the violations of a check, except those of the subjects that are still there.
create function ops.resolve_violations(p_check text, p_except text[] default '{}') returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update ops.invariant_violations v set resolved = true, resolved_at = ops.now()
  where v.check_name = p_check and not v.resolved and v.subject <> all (p_except);
end
$$;

-- 86_monitor_for_operators.sql ------------------------------------------------------------------------------

-- The monitor for operators: how each check went, what violates it, and checks of one's own.

-- Every check with how it last went.
create function public.ops_list_checks() returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('name', c.name, 'severity', c.severity, 'detects', c.detects, 'shipped', c.shipped, 'wide', c.wide,
    'outcome', r.outcome, 'ran_at', r.ran_at, 'duration_ms', r.duration_ms, 'error', r.error, 'runs', coalesce(r.runs, 0),
    'open', (select count(*) from ops.invariant_violations v where v.check_name = c.name and not v.resolved))
  from ops.all_checks() c left join ops.check_runs r on r.name = c.name
  order by c.shipped desc, c.name
$$;

-- Violations, newest first, at most 200; p_filter {"check_name"?, "resolved"?}, p_after is the last id of the page before.
create function public.ops_list_violations(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(v) from ops.invariant_violations v
  where (p_after is null or v.id < p_after)
    and (not p_filter ? 'check_name' or v.check_name = p_filter ->> 'check_name')
    and (not p_filter ? 'resolved' or v.resolved = (p_filter ->> 'resolved')::boolean)
  order by v.id desc limit least(p_limit, 200)
$$;

-- Adds a check of the operator's to policy `invariants`, or puts another definition in its place: what a SQL file with checks calls.
-- The name of a shipped check is refused with OPS_011, and so is what the policy's schema refuses.
create function public.ops_define_check(p_name text, p_severity text, p_description text, p_sql text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb;
begin
  if exists (select from ops.checks where name = p_name) then
    perform ops.fail('OPS_011', format('"%s" is the name of a shipped check', p_name), 'p_name', 'choose another name');
  end if;
  insert into public.ops_policy (key, value) values ('invariants', '{}') on conflict (key) do nothing;
  select value into v_policy from public.ops_policy where key = 'invariants' for update;
  update public.ops_policy p
  set value = v_policy || jsonb_build_object('checks', coalesce((
      select jsonb_agg(x.value order by x.ordinality) from jsonb_array_elements(coalesce(v_policy -> 'checks', '[]')) with ordinality x
      where x.value ->> 'name' <> p_name), '[]')
    || jsonb_build_object('name', p_name, 'severity', p_severity, 'description', p_description, 'sql', p_sql))
  where p.key = 'invariants';
end
$$;

-- Names of checks are unique, among the operator's own and beside those that are shipped.
create function ops.check_invariants() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_bad record;
begin
  select x.n - 1 as at, x.name, x.shipped into v_bad
  from (select i.n, i.item ->> 'name' as name, exists (select from ops.checks c where c.name = i.item ->> 'name') as shipped,
          row_number() over (partition by i.item ->> 'name' order by i.n) as turn
        from jsonb_array_elements(coalesce(new.value -> 'checks', '[]')) with ordinality i(item, n)) x
  where x.turn > 1 or x.shipped
  order by x.n limit 1;
  if found then
    perform ops.fail('OPS_011', format('policy invariants: checks[%s].name "%s" is %s', v_bad.at, v_bad.name,
        case when v_bad.shipped then 'the name of a shipped check' else 'there twice' end),
      format('checks[%s].name', v_bad.at), 'give each check a name of its own');
  end if;
  return null;
end
$$;
create trigger ops_policy_check_invariants after insert or update on public.ops_policy
  for each row when (new.key = 'invariants') execute function ops.check_invariants();

-- Violations as operators query them, canaries among them as what proves the loop alive.
create view public.invariant_violations with (security_invoker = true) as
  select id, check_name, severity, message, created_at, resolved, subject, details, occurrences, last_seen_at, resolved_at
  from ops.invariant_violations;

-- How each check went when it last ran.
create view public.ops_check_runs with (security_invoker = true) as
  select name, outcome, ran_at, duration_ms, violations, error, runs from ops.check_runs;

-- 87_canary.sql ---------------------------------------------------------------------------------------------

-- The synthetic canary: each round of the monitor sends an event of the engine's own through the whole loop, as real ones go:
--
--   canary:ping ──pattern──▶ reaction ──gate──▶ mission ──▶ noop step ──worker──▶ mission:succeeded
--
-- It stands outside the caps, auto_approve and the loop guard, and outside what operators count. One that does not come back, or not
-- in time, is a violation. While a part of the loop that it needs is paused none is sent, and that is what is told.

-- What keeps a canary from being sent now, or null.
create function ops.canary_obstacle() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_part text;
begin
  foreach v_part in array array['intake', 'reactions', 'approvals', 'claims'] loop
    if ops.paused(v_part) then
      return format('%s paused by the control switch', case v_part when 'intake' then 'intake is' else v_part || ' are' end);
    end if;
  end loop;
  return case
    when 'noop' = any (ops.blocked_executors()) then 'executor noop is blocked'
    when ops.policy('control') ->> 'max_depth' = '0' then 'control.max_depth is 0' end;
end
$$;

-- Milliseconds of each leg of a canary's way, null for those that it has not gone, with the mission's status.
create function ops.canary_way(p_event_id uuid, out legs jsonb, out mission_id uuid, out status text, out proposal_id uuid, out proposal_status text,
  out returned_at timestamptz, out error text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
as $$
begin
  select jsonb_strip_nulls(jsonb_build_object(
      'pattern_ms', ops.milliseconds(e.created_at, v.settled_at), 'gate_ms', ops.milliseconds(v.settled_at, p.created_at),
      'pickup_ms', ops.milliseconds(m.created_at, r.started_at), 'step_ms', ops.milliseconds(r.started_at, r.completed_at),
      'event_ms', ops.milliseconds(r.completed_at, b.created_at), 'total_ms', ops.milliseconds(e.created_at, b.created_at))),
    m.id, m.status::text, p.id, p.status::text, case when m.status = 'succeeded' then b.created_at end, s.last_error
  into legs, mission_id, status, proposal_id, proposal_status, returned_at, error
  from public.ops_agent_events e
  left join ops.event_verdicts v on v.event_id = e.id
  left join public.ops_agent_reactions a on a.event_id = e.id
  left join public.ops_mission_proposals p on p.reaction_id = a.id
  left join public.ops_missions m on m.proposal_id = p.id
  left join public.ops_mission_steps s on s.mission_id = m.id
  left join lateral (select * from public.ops_action_runs x where x.step_id = s.id order by x.attempt desc limit 1) r on true
  left join lateral (select * from public.ops_agent_events x where x.mission_id = m.id and x.type like 'mission:%' order by x.created_at limit 1) b on true
  where e.id = p_event_id;
end
$$;

create function ops.milliseconds(p_from timestamptz, p_to timestamptz) returns numeric
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return round(extract(epoch from p_to - p_from) * 1000, 1);
end
$$;

-- Looks after the canaries that are on their way: notes those that came back, and tells of those that are late.
create function ops.collect_canaries() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('invariants') -> 'canary', '{}');
  v_slow interval := coalesce((v_policy ->> 'slow_seconds')::numeric, 600) * interval '1 second';
  v_missing interval := coalesce((v_policy ->> 'missing_minutes')::numeric, 15) * interval '1 minute';
  v_canary ops.canaries;
  v_way record;
  v_obstacle text := ops.canary_obstacle();
  v_disturbed boolean;
  v_status text;
begin
  for v_canary in
    select * from ops.canaries c where c.status = 'travelling' order by c.sent_at limit 50 for no key update skip locked
  loop
    select * into v_way from ops.canary_way(v_canary.event_id);
    -- A pause since it was sent says nothing about the loop's speed.
    v_disturbed := exists (select from public.ops_policy p where p.key in ('control', 'worker_policy') and p.updated_at > v_canary.sent_at);
    v_status := case
      when v_way.returned_at is not null then
        case when v_way.returned_at - v_canary.sent_at > v_slow and not v_disturbed then 'slow' else 'returned' end
      when v_way.status in ('failed', 'cancelled') then 'missing'
      when v_obstacle is not null then 'paused'
      when ops.now() - v_canary.sent_at > v_missing and not (v_disturbed and ops.now() - v_canary.sent_at < 2 * v_missing) then 'missing' end;
    continue when v_status is null;

    update ops.canaries c
    set status = v_status, returned_at = v_way.returned_at, legs = coalesce(v_way.legs, '{}'),
      reason = case v_status when 'paused' then v_obstacle when 'missing' then ops.canary_last_seen(v_way.mission_id, v_way.status, v_way.proposal_id, v_way.error) end
    where c.id = v_canary.id
    returning * into v_canary;
    if v_status in ('returned', 'slow') then
      perform ops.record_canary(v_canary, v_slow);
    elsif v_status = 'missing' then
      perform ops.open_violation('canary_missing', '', 'high',
        format('the canary sent at %s did not come back: %s', v_canary.sent_at, v_canary.reason), to_jsonb(v_canary));
    else
      perform ops.resolve_violations('canary_missing');
    end if;
    if v_way.status in ('approved', 'running') and v_status in ('missing', 'paused') then
      perform public.ops_cancel_mission(v_way.mission_id, 'engine', 'the canary is late');
    end if;
  end loop;
end
$$;

create function ops.canary_last_seen(p_mission_id uuid, p_status text, p_proposal_id uuid, p_error text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_status in ('failed', 'cancelled') then format('its mission %s%s', case p_status when 'failed' then 'failed' else 'was cancelled' end, coalesce(': ' || p_error, ''))
    when p_mission_id is not null then 'no worker has done its step (executor noop)'
    when p_proposal_id is not null then 'its proposal was not admitted'
    else 'no heartbeat has turned its event into a proposal' end;
end
$$;

-- A canary that came back proves the loop alive: a line among the violations, resolved from the start, as dashboards ask for it.
create function ops.record_canary(p_canary ops.canaries, p_slow interval) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.invariant_violations (check_name, subject, severity, message, details, resolved, created_at, last_seen_at, resolved_at)
  values ('synthetic_canary', p_canary.id::text, 'info', format('came back after %s ms', p_canary.legs ->> 'total_ms'), p_canary.legs,
    true, p_canary.returned_at, p_canary.returned_at, p_canary.returned_at);
  perform ops.resolve_violations('canary_missing');
  if p_canary.status = 'slow' then
    perform ops.open_violation('canary_slow', '', 'warning', format('the canary sent at %s took %s s, allowed are %s', p_canary.sent_at,
      round((p_canary.legs ->> 'total_ms')::numeric / 1000, 1), round(extract(epoch from p_slow))), p_canary.legs);
  else
    perform ops.resolve_violations('canary_slow');
  end if;
end
$$;

-- Looks after the canaries under way and, once in each round, sends another or notes what keeps it from being sent. A heartbeat
-- calls it before it looks for events, so that the canary's first legs are that heartbeat's own. Returns true when one was sent.
create function public.ops_send_canary() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('invariants'), '{}');
  v_obstacle text;
  v_event_id uuid;
begin
  perform ops.collect_canaries();
  if not coalesce((v_policy #>> '{canary,enabled}')::boolean, true) then
    perform ops.resolve_violations('canary_missing'), ops.resolve_violations('canary_slow');
    return false;
  elsif not ops.take_turn('canary', coalesce((v_policy ->> 'every_minutes')::numeric, 5)) then
    return false;
  end if;
  v_obstacle := ops.canary_obstacle();
  if v_obstacle is null then
    insert into public.ops_agent_events (type, data) values ('canary:ping', '{"source": "canary"}') returning id into v_event_id;
  end if;
  insert into ops.canaries (event_id, status, reason)
  values (v_event_id, case when v_obstacle is null then 'travelling' else 'paused' end, v_obstacle);
  return v_obstacle is null;
end
$$;

-- Keeps a number that only somebody outside the database can know: the API's latency, a backup's end. One row a name, the last report.
create function public.ops_report(p_name text, p_value numeric, p_details jsonb default '{}') returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_name !~ '^[a-z][a-z0-9_]{0,99}$' then
    perform ops.fail('OPS_011', 'p_name must be 1 to 100 lower-case letters, digits or "_"', 'p_name');
  end if;
  insert into ops.reports (name, value, details) values (p_name, p_value, coalesce(p_details, '{}'))
  on conflict (name) do update set value = excluded.value, details = excluded.details, reported_at = ops.now();
end
$$;

-- Takes away what old canaries left in the loop, a day after they were sent, and old records of the watch. Each call a little.
create function ops.prune_watch() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_canary record;
  v_ids uuid[];
begin
  for v_canary in
    select c.id, c.event_id from ops.canaries c join public.ops_agent_events e on e.id = c.event_id
    where c.sent_at < ops.now() - interval '1 day' and c.sent_at > ops.now() - interval '8 days' and c.status <> 'travelling'
    order by c.sent_at limit 24
  loop
    v_ids := ops.chain_of(v_canary.event_id);
    continue when not ops.ended_before(v_ids, ops.now() - interval '1 hour') or not ops.hold_chain(v_ids);
    delete from public.ops_agent_events where id = any (v_ids) and id <> v_canary.event_id;
    delete from public.ops_mission_proposals where id = any (v_ids);
    delete from public.ops_agent_events where id = v_canary.event_id;
    delete from ops.archive where id = any (v_ids);
  end loop;
  delete from ops.canaries c where c.sent_at < ops.now() - interval '8 days';
  delete from ops.invariant_violations v where v.created_at < ops.now() - interval '90 days' and v.resolved;
  delete from ops.invariant_violations v
  where v.check_name = 'synthetic_canary' and v.created_at between ops.now() - interval '10 days' and ops.now() - interval '8 days';
  delete from ops.alert_notices n where n.created_at < ops.now() - interval '90 days' and n.status <> 'pending';
  delete from ops.alerts a where a.opened_at < ops.now() - interval '90 days' and a.status = 'resolved';
  delete from ops.silences s where s.until < ops.now() - interval '90 days';
end
$$;

-- Canaries, and how many milliseconds each leg of their way took.
create view public.ops_canary with (security_invoker = true) as
  select id, event_id, status, sent_at, returned_at, reason, (legs ->> 'pattern_ms')::numeric as pattern_ms, (legs ->> 'gate_ms')::numeric as gate_ms,
    (legs ->> 'pickup_ms')::numeric as pickup_ms, (legs ->> 'step_ms')::numeric as step_ms, (legs ->> 'event_ms')::numeric as event_ms,
    (legs ->> 'total_ms')::numeric as total_ms
  from ops.canaries;

-- 88_alert_measures.sql -------------------------------------------------------------------------------------

-- What alert rules measure.
--
-- Every measure reads a bounded number of rows by an index, whatever the loop has before or behind it: what is counted, up to twice the
-- highest threshold, and rates and durations over the last thousand. Those are found by what only work that has ended leaves, attempts and
-- the events of missions, because behind a long queue the newest steps and missions have not begun.

-- The thousand attempts that were claimed last, of those that have ended.
create view ops.last_attempts with (security_invoker = true) as
  select r.* from public.ops_action_runs r order by r.id desc limit 1000;

-- How far a rule with these thresholds counts.
create function ops.count_up_to(p_warning numeric, p_critical numeric) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return least(greatest(ceil(2 * greatest(p_warning, p_critical)), 1), 1000000);
end
$$;

-- The value of a rule's measure now, for each subject that it tells apart, with a sentence. No row: there is nothing to measure. What is
-- counted is counted up to p_most. No bitmap scans: they would read a whole backlog to count the first rows of it. Each plan is the only one
-- there is, so it is made once.
create function ops.measure(p_rule text, p_most integer default 1) returns table (subject text, value numeric, summary text)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set max_parallel_workers_per_gather = 0
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
  v_since timestamptz;
  v_claimed timestamptz;
begin
  if p_rule = 'heartbeat_failures' then
    return query
    select '', n::numeric, format('%s heartbeats in a row have failed: %s', n, error)
    from (select count(*) filter (where b.run = 0) as n, (array_agg(b.error))[1] as error
          from (select sum(h.ok::integer) over (order by h.at desc) as run, h.report #>> '{errors,0,message}' as error
                from (select * from ops.heartbeats order by at desc limit 100) h) b) f;
  elsif p_rule = 'heartbeat_silence_minutes' then
    return query
    select '', ops.minutes(v_now - b.at), format('no heartbeat was recorded since %s', b.at) from (
      select at from ops.heartbeats order by at desc limit 1) b;
  elsif p_rule = 'worker_idle_minutes' then
    select min(o.run_at) into v_since from ops.oldest_due() o where o.executor <> all (ops.blocked_executors());
    if v_since is null or ops.paused('claims') then
      return;
    end if;
    v_claimed := ops.last_claim();
    if v_claimed > v_now - interval '5 minutes' then
      return;
    end if;
    v_since := greatest(v_since, v_claimed);
    return query select '', ops.minutes(v_now - v_since), format('steps are due, and none was claimed for %s minutes', ops.minutes(v_now - v_since));
  elsif p_rule = 'unclaimable_minutes' then
    return query
    select o.executor, ops.minutes(v_now - o.run_at), format('no live worker offers executor "%s"', o.executor)
    from ops.oldest_due() o
    where o.executor <> all (ops.blocked_executors()) and not ops.paused('claims')
      and not exists (select from ops.workers w where o.executor = any (w.executors) and w.last_seen_at > v_now - interval '2 minutes');
  elsif p_rule = 'proposal_latency_p95_seconds' then
    return query
    select '', round(max(l.p95)::numeric, 1), format('95 %% of the last %s proposals came within %s s of their event', max(l.n), round(max(l.p95)::numeric, 1))
    from (select percentile_cont(0.95) within group (order by extract(epoch from p.created_at - e.created_at)) as p95, count(*) as n
          from (select * from public.ops_mission_proposals order by id desc limit 1000) p
          join public.ops_agent_reactions r on r.id = p.reaction_id join public.ops_agent_events e on e.id = r.event_id
          where p.created_at > v_now - interval '1 day' and p.source <> 'canary') l
    having max(l.n) > 0;
  elsif p_rule = 'mission_success_percent' then
    return query
    select '', round(100.0 * m.good / m.n, 2), format('%s of %s missions failed', m.n - m.good, m.n)
    from (select count(*) as n, count(*) filter (where l.status = 'succeeded') as good
          -- Only missions that have ended have the event of a round.
          from (select distinct e.mission_id from (
                  select mission_id from public.ops_agent_events where mission_id is not null and round is not null
                  order by mission_id desc, round desc limit 1000) e) w,
            lateral (select t.* from public.ops_missions t where t.id = w.mission_id offset 0) l
          where l.status in ('succeeded', 'failed') and l.completed_at > v_now - interval '1 day' and l.source is distinct from 'canary') m
    where m.n >= 5;
  elsif p_rule = 'step_error_percent' then
    return query
    select '', round(100.0 * a.bad / a.n, 2), format('%s of %s attempts failed', a.bad, a.n)
    from (select count(*) as n, count(*) filter (where l.status = 'failed') as bad
          from ops.last_attempts l
          where l.status in ('succeeded', 'failed') and l.completed_at > v_now - interval '1 hour') a
    where a.n >= 20;
  elsif p_rule = 'dead_letters_per_hour' then
    return query
    select '', count(*)::numeric, format('%s steps ran out of attempts within the hour', ops.up_to(count(*), p_most)) from (
      select from ops.queue q, lateral (select s.kind from public.ops_mission_steps s where s.id = q.step_id offset 0) s
      where q.status = 'failed' and q.ended_at > v_now - interval '1 hour' and s.kind <> 'noop:canary' limit p_most) d;
  elsif p_rule = 'queued_events' then
    return query
    select '', count(*)::numeric, format('%s events wait to be processed', ops.up_to(count(*), p_most)) from (
      select from public.ops_agent_events where processed_at is null limit p_most) d;
  elsif p_rule = 'queued_steps' then
    return query
    select '', count(*)::numeric, format('%s steps wait for a worker', ops.up_to(count(*), p_most)) from (
      select from ops.queue where status = 'queued' and ready and run_at <= v_now limit p_most) d;
  elsif p_rule = 'proposals_per_hour' then
    return query
    select '', count(*)::numeric, format('%s proposals within the hour', ops.up_to(count(*), p_most)) from (
      select from (
        -- As many more as there may be canaries among them.
        select created_at, source from public.ops_mission_proposals order by id desc limit p_most + 100) l
      where l.created_at > v_now - interval '1 hour' and l.source <> 'canary' limit p_most) d;
  elsif p_rule = 'average_step_seconds' then
    return query
    select l.kind, round(avg(l.seconds), 1), format('steps of kind %s take %s s on average', l.kind, round(avg(l.seconds), 1))
    from (select s.kind, extract(epoch from s.completed_at - s.reserved_at) as seconds
          from ops.last_attempts a, lateral (select * from public.ops_mission_steps t where t.id = a.step_id offset 0) s
          where s.attempt = a.attempt and s.status in ('succeeded', 'failed') and s.completed_at > v_now - interval '1 day') l
    group by l.kind;
  elsif p_rule = 'pattern_errors_per_hour' then
    return query
    select '', sum(f.n)::numeric, format('%s patterns failed on events, or their reactions could not become proposals', sum(f.n))
    from (select count(*) as n from (select * from ops.event_verdicts order by event_id desc limit 2000) v
          where v.settled_at > v_now - interval '1 hour' and (v.error is not null or v.decisions @> '[{"decision": "error"}]')
          union all
          select count(*) from (select * from public.ops_agent_reactions order by id desc limit 2000) r
          where r.status = 'failed' and r.updated_at > v_now - interval '1 hour') f;
  elsif p_rule in ('quarantined_patterns', 'api_error_percent', 'api_p99_ms', 'database_latency_ms') then
    return query
    select '', r.value, case p_rule
      when 'quarantined_patterns' then format('%s patterns are out of service: %s', r.value, (select string_agg(k, ', ') from jsonb_object_keys(r.details) k))
      when 'api_error_percent' then format('the control plane answered %s %% of its requests with an error', r.value)
      when 'api_p99_ms' then format('1 of 100 requests to the control plane takes more than %s ms', r.value)
      else format('the control plane waited %s ms for a trivial query', r.value) end
    -- Patterns are reported with each round of checks, the others with each look at the rules.
    from ops.reports r where r.name = p_rule and r.reported_at > v_now - greatest(30,
      case p_rule when 'quarantined_patterns' then 2 * (ops.policy('invariants') ->> 'every_minutes')::integer end) * interval '1 minute';
  elsif p_rule = 'backup_age_hours' then
    return query
    select '', round(extract(epoch from v_now - r.reported_at) / 3600, 1), format('the last backup was reported at %s', r.reported_at)
    from ops.reports r where r.name = 'backup';
  elsif p_rule = 'database_gigabytes' then
    return query
    select '', round(pg_database_size(current_database()) / 1e9, 3), format('the database takes %s', pg_size_pretty(pg_database_size(current_database())));
  elsif p_rule = 'connections_percent' then
    return query
    select '', round(100.0 * c.used / c.most, 1), format('%s of %s connections are in use', c.used, c.most)
    from (select sum(numbackends) as used, current_setting('max_connections')::numeric as most from pg_stat_database) c;
  elsif p_rule = 'longest_query_seconds' then
    return query
    select '', round(max(extract(epoch from clock_timestamp() - a.query_start)), 1), format('a query has run since %s: process %s',
      min(a.query_start), (array_agg(a.pid order by a.query_start))[1])
    from pg_stat_activity a
    where a.datname = current_database() and a.backend_type = 'client backend' and a.state = 'active' and a.pid <> pg_backend_pid()
    having count(*) > 0;
  elsif p_rule = 'worker_memory_percent' then
    return query
    select w.name, round((w.health ->> 'memory_percent')::numeric, 1), format('worker "%s" uses %s %% of its memory', w.name, round((w.health ->> 'memory_percent')::numeric, 1))
    from ops.workers w where w.last_seen_at > v_now - interval '2 minutes' and w.health ? 'memory_percent';
  elsif p_rule = 'service_down_minutes' then
    return query
    select s.name, ops.minutes(v_now - s.opened_at), format('service %s does not answer as it should: %s', s.name, s.error)
    from ops.services s where s.state = 'open';
  elsif p_rule = 'channel_failures' then
    return query
    select c.name, c.failures::numeric, format('channel %s fails: %s', c.name, c.last_error)
    from ops.channels c where ops.policy('alerts') -> 'channels' ? c.name;
  end if;
end
$$;

create function ops.minutes(p_interval interval) returns numeric
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return round(extract(epoch from p_interval) / 60, 1);
end
$$;

-- A number that was counted up to p_most, in words.
create function ops.up_to(p_count bigint, p_most integer) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when p_count < p_most then p_count::text else 'at least ' || p_count end;
end
$$;

-- When a step was claimed last, canaries aside: of the attempts that have ended and of those at work. Null when that was long ago.
create function ops.last_claim() returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return greatest(
    (select max(r.started_at)
     from (select step_id, started_at from public.ops_action_runs order by id desc limit 100) r,
       lateral (select t.kind from public.ops_mission_steps t where t.id = r.step_id offset 0) s
     where s.kind <> 'noop:canary'),
    (select max(s.reserved_at)
     from (select steps from ops.claims order by id desc limit 20) c,
       lateral (
         select t.reserved_at from unnest(c.steps) u(id), lateral (select * from public.ops_mission_steps where id = u.id offset 0) t
         where t.kind <> 'noop:canary' limit 1) s));
end
$$;

-- Since when the longest waiting step of each executor has been due; looks at the first hundred of each.
create function ops.oldest_due() returns table (executor text, run_at timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return query
  select x.name, min(s.run_at)
  from unnest(ops.claimable_executors()) x(name), lateral (
    select q.run_at from ops.queue q, lateral (select t.kind from public.ops_mission_steps t where t.id = q.step_id offset 0) t
    where q.status = 'queued' and q.ready and q.executor = x.name and q.run_at <= (select ops.now()) and t.kind <> 'noop:canary'
    order by q.priority, q.run_at, q.step_id limit 100) s
  group by x.name;
end
$$;

-- 88_alerts.sql ---------------------------------------------------------------------------------------------

-- Alerts: policy `alerts` says when the loop asks for a person, and which way.
--
--   rule broken ──▶ open ──worse──▶ escalated ──still there──▶ repeated … ──kept for a while──▶ resolved
--
-- Each of these is told once through every channel that the severity is routed to, as a notice in the outbox: whoever delivers takes a
-- notice under a lease, so that a crash loses none, and sends it under the notice's id, so that a receiver can tell a repetition.
-- Acknowledged alerts are told again only when they get worse or end; silenced ones are not told of at all.

create function ops.severity_rank(p_severity text) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_position(array['info', 'warning', 'high', 'critical'], p_severity);
end
$$;

-- How severities are called where people are woken: P0 critical, P1 high, P2 warning, P3 info.
create function ops.priority(p_severity text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return 'P' || 4 - ops.severity_rank(p_severity);
end
$$;

-- Whether a value breaks a rule at a threshold. Rules say by their nature which side is bad.
create function ops.breaks(p_rule text, p_value numeric, p_threshold numeric) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_threshold is null or p_value is null then false
    when p_rule = 'mission_success_percent' then p_value < p_threshold
    when p_rule in ('heartbeat_failures', 'heartbeat_silence_minutes', 'worker_idle_minutes', 'unclaimable_minutes', 'pattern_errors_per_hour',
      'quarantined_patterns', 'service_down_minutes', 'channel_failures') then p_value >= p_threshold
    else p_value > p_threshold end;
end
$$;

-- Looks at every rule, when it is time to, for one of any number of callers. p_reports are numbers that only the caller knows:
-- {"database_latency_ms": 3.2, …}. A rule that cannot be measured stops no other and is an alert itself. Returns how many alerts are open,
-- or null when it was not time.
create function public.ops_evaluate_alerts(p_reports jsonb default '{}') returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('alerts'), '{}');
  v_rule record;
  v_measure record;
  v_severity text;
  v_seen text[];
  v_broken text[] := '{}';
begin
  if not ops.take_turn('alerts', coalesce((v_policy ->> 'every_minutes')::numeric, 1)) then
    return null;
  end if;
  perform public.ops_report(r.key, r.value::numeric) from jsonb_each_text(p_reports) r;
  if not coalesce((v_policy ->> 'enabled')::boolean, true) then
    v_policy := '{"violations": false}';
  end if;

  for v_rule in select r.key as name, (r.value ->> 'warning')::numeric as warning, (r.value ->> 'critical')::numeric as critical
    from jsonb_each(coalesce(v_policy -> 'rules', '{}')) r
  loop
    begin
      v_seen := '{}';
      for v_measure in select * from ops.measure(v_rule.name, ops.count_up_to(v_rule.warning, v_rule.critical)) loop
        v_severity := case when ops.breaks(v_rule.name, v_measure.value, v_rule.critical) then 'critical'
          when ops.breaks(v_rule.name, v_measure.value, v_rule.warning) then 'warning' end;
        continue when v_severity is null;
        v_seen := v_seen || left(v_measure.subject, 500);
        perform ops.raise_alert(v_rule.name, v_measure.subject, v_severity, v_measure.value,
          case v_severity when 'critical' then v_rule.critical else v_rule.warning end, v_measure.summary);
      end loop;
      perform ops.clear_alerts(v_rule.name, v_seen);
    exception
      when query_canceled then
        raise;
      when others then
        v_broken := v_broken || v_rule.name;
        perform ops.raise_alert('rule_failed', v_rule.name, 'warning', null, null, format('rule %s cannot be measured: %s', v_rule.name, sqlerrm));
    end;
  end loop;
  perform ops.clear_alerts('rule_failed', v_broken);
  perform ops.alert_violations(coalesce((v_policy ->> 'violations')::boolean, true));
  perform ops.clear_alerts(a.rule, '{}', true) from (
    select distinct rule from ops.alerts where status = 'open' and rule not in ('rule_failed', 'invariant')
      and not coalesce(v_policy -> 'rules', '{}') ? rule) a;
  perform ops.send_digest(v_policy -> 'digest');
  return (select count(*) from ops.alerts where status = 'open');
end
$$;

-- An alert for each check that is violated, with the severity of the check.
create function ops.alert_violations(p_wanted boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_check record;
  v_seen text[] := '{}';
begin
  for v_check in
    select v.check_name, count(*) as n, (array_agg(v.severity order by ops.severity_rank(v.severity) desc))[1] as severity,
      (array_agg(v.message order by v.created_at))[1] as message
    from ops.invariant_violations v where not v.resolved and p_wanted group by v.check_name
  loop
    v_seen := v_seen || v_check.check_name;
    perform ops.raise_alert('invariant', v_check.check_name, v_check.severity, v_check.n, 0,
      format('%s violation%s of %s: %s', v_check.n, case when v_check.n > 1 then 's' else '' end, v_check.check_name, v_check.message));
  end loop;
  perform ops.clear_alerts('invariant', v_seen, not p_wanted);
end
$$;

-- Opens an alert or brings it up to date, and tells of what is new about it.
create function ops.raise_alert(p_rule text, p_subject text, p_severity text, p_value numeric, p_threshold numeric, p_summary text, p_details jsonb default '{}')
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_alert ops.alerts;
begin
  insert into ops.alerts as a (rule, subject, severity, summary, details, value, threshold)
  values (p_rule, left(p_subject, 500), p_severity, left(p_summary, 1000), p_details, p_value, p_threshold)
  on conflict (rule, subject) where status = 'open' do update
  set severity = case when ops.severity_rank(excluded.severity) > ops.severity_rank(a.severity) then excluded.severity else a.severity end,
    summary = excluded.summary, details = excluded.details, value = excluded.value, threshold = excluded.threshold,
    last_seen_at = ops.now(), clear_since = null
  returning * into v_alert;

  if v_alert.told_at is null then
    perform ops.tell(v_alert, 'opened');
  elsif ops.severity_rank(v_alert.severity) > ops.severity_rank(v_alert.told_severity) then
    -- Whoever has acknowledged the lesser trouble has not heard of this one.
    update ops.alerts set acknowledged_at = null, acknowledged_by = null where id = v_alert.id;
    perform ops.tell(v_alert, 'escalated');
  elsif v_alert.acknowledged_at is null
    and v_alert.told_at <= ops.now() - coalesce((ops.policy('alerts') ->> 'repeat_minutes')::numeric, 240) * interval '1 minute'
  then
    perform ops.tell(v_alert, 'repeated');
  end if;
end
$$;

-- Ends the alerts of a rule whose subjects are no longer in trouble, once they have been so for a while (p_at_once: now).
create function ops.clear_alerts(p_rule text, p_except text[] default '{}', p_at_once boolean default false) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold interval := case when p_at_once then interval '0'
    else coalesce((ops.policy('alerts') ->> 'resolve_after_minutes')::numeric, 5) * interval '1 minute' end;
  v_alert ops.alerts;
begin
  for v_alert in
    update ops.alerts a set clear_since = coalesce(a.clear_since, ops.now())
    where a.rule = p_rule and a.status = 'open' and a.subject <> all (p_except)
    returning a.*
  loop
    continue when v_alert.clear_since > ops.now() - v_hold;
    update ops.alerts a set status = 'resolved', resolved_at = ops.now() where a.id = v_alert.id returning * into v_alert;
    if v_alert.told_at is not null then
      perform ops.tell(v_alert, 'resolved');
    end if;
  end loop;
end
$$;

create function ops.silenced(p_rule text, p_subject text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from ops.silences s where s.rule in (p_rule, '*') and (s.subject is null or s.subject = p_subject) and s.until > ops.now());
end
$$;

-- Puts a notice for each channel of the alert's severity into the outbox, unless somebody has silenced it. What a channel cannot
-- deliver is not told through that channel.
create function ops.tell(p_alert ops.alerts, p_transition text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('alerts'), '{}');
  v_default jsonb := case when p_alert.severity = 'info' then '[]' else '["slack"]' end::jsonb;
begin
  if ops.silenced(p_alert.rule, p_alert.subject) then
    return;
  end if;
  update ops.alerts a set told_at = ops.now(), told_severity = p_alert.severity, notices = a.notices + 1 where a.id = p_alert.id
  returning a.notices into p_alert.notices;
  insert into ops.alert_notices (alert_id, number, transition, channel, message)
  select p_alert.id, p_alert.notices, p_transition, c.channel, jsonb_build_object(
    'alert_id', p_alert.id, 'rule', p_alert.rule, 'subject', p_alert.subject, 'transition', p_transition, 'severity', p_alert.severity,
    'priority', ops.priority(p_alert.severity), 'summary', p_alert.summary, 'value', p_alert.value, 'threshold', p_alert.threshold,
    'opened_at', p_alert.opened_at, 'at', ops.now())
  from (select distinct jsonb_array_elements_text(coalesce(v_policy #> array['routes', p_alert.severity], v_default)) as channel) c
  where coalesce(v_policy -> 'channels', '{}') ? c.channel and not (p_alert.rule = 'channel_failures' and p_alert.subject = c.channel)
  order by c.channel;
end
$$;

-- 88_alerts_for_operators.sql -------------------------------------------------------------------------------

-- Alerts for operators: what is wrong, who has seen it, what nobody wants to be told of.

-- Alerts, newest first, at most 200; p_filter {"id"?, "status"?, "rule"?, "severity"?}, p_after is the last id of the page before.
create function public.ops_list_alerts(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(a) || jsonb_build_object('priority', ops.priority(a.severity), 'silenced', ops.silenced(a.rule, a.subject))
  from ops.alerts a
  where (p_after is null or a.id < p_after)
    and (not p_filter ? 'id' or a.id = (p_filter ->> 'id')::uuid)
    and (not p_filter ? 'status' or a.status = p_filter ->> 'status')
    and (not p_filter ? 'rule' or a.rule = p_filter ->> 'rule')
    and (not p_filter ? 'severity' or a.severity = p_filter ->> 'severity')
  order by a.id desc limit least(p_limit, 200)
$$;

-- Somebody has taken an alert on: it is told again only when it gets worse, or ends. Doing it again changes nothing.
-- Errors: OPS_011 without a name, OPS_013 unknown, OPS_014 when it is over.
create function public.ops_acknowledge_alert(p_alert_id uuid, p_actor text, p_note text default null) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_alert ops.alerts;
begin
  if length(coalesce(p_actor, '')) not between 1 and 200 then
    perform ops.fail('OPS_011', 'p_actor must have 1 to 200 characters', 'p_actor');
  end if;
  select * into v_alert from ops.alerts where id = p_alert_id for update;
  if not found then
    perform ops.fail('OPS_013', format('there is no alert %s', p_alert_id), 'p_alert_id');
  elsif v_alert.status <> 'open' then
    perform ops.fail('OPS_014', format('alert %s was resolved at %s', p_alert_id, v_alert.resolved_at), 'status');
  end if;
  update ops.alerts set acknowledged_at = coalesce(acknowledged_at, ops.now()), acknowledged_by = coalesce(acknowledged_by, p_actor),
    note = coalesce(p_note, note)
  where id = p_alert_id returning * into v_alert;
  return to_jsonb(v_alert) || jsonb_build_object('priority', ops.priority(v_alert.severity), 'silenced', ops.silenced(v_alert.rule, v_alert.subject));
end
$$;

-- Keeps a rule ('*': all) quiet for some minutes (1..43200), for one subject or all (null), with a reason. What is still open then is told.
-- Notices that have not left yet stay unsent. Errors: OPS_011.
create function public.ops_silence_alerts(p_rule text, p_minutes integer, p_reason text, p_actor text, p_subject text default null)
returns table (silence_id uuid, until timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if p_minutes is null or p_minutes not between 1 and 43200 then
    perform ops.fail('OPS_011', 'a silence lasts 1 to 43200 minutes, 30 days', 'p_minutes');
  elsif length(coalesce(p_reason, '')) not between 1 and 1000 then
    perform ops.fail('OPS_011', 'a silence needs a reason of 1 to 1000 characters', 'p_reason');
  elsif length(coalesce(p_actor, '')) not between 1 and 200 then
    perform ops.fail('OPS_011', 'p_actor must have 1 to 200 characters', 'p_actor');
  elsif p_rule is distinct from '*' and p_rule is distinct from 'invariant' and p_rule is distinct from 'rule_failed'
    and not exists (select from ops.policy_schemas s where s.key = 'alerts' and s.schema #> '{properties,rules,properties}' ? p_rule)
  then
    perform ops.fail('OPS_011', format('there is no rule "%s"', p_rule), 'p_rule',
      'known rules: *, invariant, rule_failed, ' || (select string_agg(k, ', ' order by k) from ops.policy_schemas s,
        jsonb_object_keys(s.schema #> '{properties,rules,properties}') k where s.key = 'alerts'));
  end if;
  update ops.alert_notices n set status = 'skipped', last_error = 'silenced by ' || p_actor, lease_token = null, lease_expires_at = null
  from ops.alerts a
  where n.alert_id = a.id and n.status = 'pending' and n.lease_token is null and p_rule in (a.rule, '*') and (p_subject is null or a.subject = p_subject);
  return query
  insert into ops.silences as s (rule, subject, until, reason, actor) values (p_rule, p_subject, ops.now() + p_minutes * interval '1 minute', p_reason, p_actor)
  returning s.id, s.until;
end
$$;

-- Alerts as rows.
create view public.ops_alerts with (security_invoker = true) as
  select id, rule, subject, severity, case severity when 'critical' then 'P0' when 'high' then 'P1' when 'warning' then 'P2' else 'P3' end as priority,
    status, summary, value, threshold, opened_at, last_seen_at, resolved_at, acknowledged_at, acknowledged_by, note, notices
  from ops.alerts;

-- What was told through which channel, and what could not be.
create view public.ops_alert_notices with (security_invoker = true) as
  select id, alert_id, number, transition, channel, status, attempts, due_at, delivered_at, last_error, created_at, message from ops.alert_notices;

create view public.ops_silences with (security_invoker = true) as
  select id, rule, subject, until, reason, actor, created_at from ops.silences;

-- 88_digest.sql ---------------------------------------------------------------------------------------------

-- The digest: a notice once a day, at the hour and through the channels that policy `alerts` names.

-- What the last day was like, for people who read one mail a day.
create function ops.digest() returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_since timestamptz := ops.now() - interval '1 day';
begin
  return jsonb_build_object('since', v_since, 'at', ops.now(),
    'open_alerts', (select coalesce(jsonb_agg(jsonb_build_object('priority', ops.priority(a.severity), 'rule', a.rule, 'subject', a.subject,
        'summary', a.summary, 'opened_at', a.opened_at) order by ops.severity_rank(a.severity) desc, a.opened_at), '[]')
      from (select * from ops.alerts where status = 'open' order by opened_at limit 50) a),
    'alerts_opened', (select count(*) from ops.alerts where opened_at > v_since),
    'alerts_resolved', (select count(*) from ops.alerts where resolved_at > v_since and opened_at > v_since - interval '7 days'),
    'open_violations', (select count(*) from ops.invariant_violations where not resolved),
    'canaries_returned', (select count(*) from ops.canaries where sent_at > v_since and status in ('returned', 'slow')),
    'canaries_missing', (select count(*) from ops.canaries where sent_at > v_since and status = 'missing'),
    'dead_letters', (select count(*) from (select from ops.queue where status = 'failed' and ended_at > v_since limit 10000) d),
    'pending_approvals', (select count(*) from (select from public.ops_mission_proposals where status = 'pending' limit 10000) p),
    'heartbeats', (select count(*) from ops.heartbeats where at > v_since),
    'failed_heartbeats', (select count(*) from ops.heartbeats where at > v_since and not ok));
end
$$;

-- Puts the day's digest into the outbox, once for each day of the digest's time zone, when its hour has come.
create function ops.send_digest(p_digest jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_local timestamp := ops.now() at time zone coalesce(p_digest ->> 'time_zone', 'UTC');
  v_day text := v_local::date::text;
begin
  if p_digest is null or extract(hour from v_local) < coalesce((p_digest ->> 'hour')::integer, 8) then
    return;
  end if;
  insert into ops.watch as w (part, ran_at, role, details) values ('digest', ops.now(), ops.caller(), jsonb_build_object('day', v_day))
  on conflict (part) do update set ran_at = excluded.ran_at, details = excluded.details where coalesce(w.details ->> 'day', '') < v_day;
  if found then
    insert into ops.alert_notices (number, transition, channel, message)
    select 0, 'digest', c, ops.digest() || '{"transition": "digest", "severity": "info"}' from jsonb_array_elements_text(p_digest -> 'channels') c
    where coalesce(ops.policy('alerts') -> 'channels', '{}') ? c;
  end if;
end
$$;

-- 88_notices.sql --------------------------------------------------------------------------------------------

-- The outbox: notices are taken under a lease by whoever delivers them, and what came of it is recorded.

-- Takes up to p_limit notices that are due, under a lease, the oldest first; only those of some channels and of one rule, if these are
-- given. Notices about one alert leave through a channel one after the other. A restored copy tells nobody: what waits in it was or
-- will be told by the database that it was taken from.
create function ops.take_notices(p_limit integer, p_lease_seconds integer, p_channels text[] default null, p_rule text default null)
returns table (id uuid, token uuid, channel text, config jsonb, message jsonb, attempt integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_channels jsonb := coalesce(ops.policy('alerts') -> 'channels', '{}');
begin
  if ops.on_hold() then
    return;
  end if;
  return query
  with due as materialized (
    select n.id from ops.alert_notices n
    where n.status = 'pending' and n.due_at <= ops.now() and coalesce(n.lease_expires_at, '-infinity') <= ops.now()
      and (p_channels is null or n.channel = any (p_channels))
      and (p_rule is null or exists (select from ops.alerts a where a.id = n.alert_id and a.rule = p_rule))
      and not exists (select from ops.alert_notices e
                      where e.alert_id = n.alert_id and e.channel = n.channel and e.number < n.number and e.status = 'pending')
    order by n.due_at, n.id limit least(p_limit, 100) for update skip locked
  )
  update ops.alert_notices n
  set lease_token = gen_random_uuid(), lease_expires_at = ops.now() + least(p_lease_seconds, 600) * interval '1 second', attempts = n.attempts + 1
  from due d where n.id = d.id
  returning n.id, n.lease_token, n.channel, v_channels -> n.channel, n.message, n.attempts;
end
$$;

-- Takes up to p_limit notices (1..100) that are due. Answers what to send, and the channel as policy describes it.
create function public.ops_claim_notices(p_limit integer default 20, p_lease_seconds integer default 120)
returns table (id uuid, token uuid, channel text, config jsonb, message jsonb, attempt integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_channels jsonb := coalesce(ops.policy('alerts') -> 'channels', '{}');
begin
  update ops.alert_notices n set status = 'skipped', last_error = 'there is no such channel any more', lease_token = null, lease_expires_at = null
  where n.status = 'pending' and not v_channels ? n.channel;
  return query select * from ops.take_notices(p_limit, p_lease_seconds);
end
$$;

-- What came of sending a notice: delivered, later (again after p_after_seconds, or with backoff from 30 s to 1 h; given up after a day), refused, or
-- skipped because the channel is not set up. Answers ok, or lost when the lease is another's by now.
create function public.ops_record_notice(p_id uuid, p_token uuid, p_outcome text, p_detail jsonb default '{}', p_error text default null,
  p_after_seconds integer default null)
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_notice ops.alert_notices;
begin
  if p_outcome not in ('delivered', 'later', 'refused', 'skipped') then
    perform ops.fail('OPS_011', 'p_outcome must be delivered, later, refused or skipped', 'p_outcome');
  end if;
  update ops.alert_notices n
  set lease_token = null, lease_expires_at = null, last_error = left(p_error, 2000), detail = p_detail,
    status = case when p_outcome <> 'later' then p_outcome when n.created_at < ops.now() - interval '1 day' then 'refused' else 'pending' end,
    delivered_at = case when p_outcome = 'delivered' then ops.now() end,
    due_at = case when p_outcome = 'later'
      then ops.now() + greatest(least(30 * 2 ^ least(n.attempts - 1, 12), 3600), least(coalesce(p_after_seconds, 0), 86400)) * interval '1 second' else n.due_at end
  where n.id = p_id and n.lease_token = p_token and n.status = 'pending'
  returning * into v_notice;
  if not found then
    return 'lost';
  end if;
  if p_outcome = 'delivered' then
    insert into ops.channels (name, last_ok_at) values (v_notice.channel, ops.now())
    on conflict (name) do update set failures = 0, last_error = null, last_ok_at = ops.now();
  elsif p_outcome in ('later', 'refused') then
    insert into ops.channels as c (name, failures, last_error, last_failure_at) values (v_notice.channel, 1, left(p_error, 2000), ops.now())
    on conflict (name) do update set failures = c.failures + 1, last_error = excluded.last_error, last_failure_at = ops.now();
  end if;
  return 'ok';
end
$$;

-- 89_heartbeat_silence.sql ----------------------------------------------------------------------------------

-- A silent heartbeat, seen by somebody else: rules and checks run inside the heartbeat and fall silent with it, so workers look after it.
--
-- Each worker asks when it starts and once a minute. While no heartbeat has come for longer than rule `heartbeat_silence_minutes` allows, the
-- alert opens, gets worse and repeats as any other, and workers tell of it through those channels whose variables they have themselves.
-- What they cannot tell waits for the heartbeat, which also resolves the alert when it is back.

-- Null while heartbeats come, before the first, and without the rule. Otherwise {"silent_minutes", "channels": {name: as policy describes it}}.
create function public.ops_watch_heartbeat() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_rule constant text := 'heartbeat_silence_minutes';
  v_policy jsonb := coalesce(ops.policy('alerts'), '{}');
  v_warning numeric := v_policy #>> array['rules', c_rule, 'warning'];
  v_critical numeric := v_policy #>> array['rules', c_rule, 'critical'];
  v_silence record;
  v_critically boolean;
begin
  select m.value, m.summary into v_silence from ops.measure(c_rule) m;
  v_critically := ops.breaks(c_rule, v_silence.value, v_critical);
  if not (v_critically or ops.breaks(c_rule, v_silence.value, v_warning)) or not coalesce((v_policy ->> 'enabled')::boolean, true) or ops.on_hold() then
    return null;
  end if;
  if ops.take_turn('silence', 1) then
    perform ops.raise_alert(c_rule, '', case when v_critically then 'critical' else 'warning' end, v_silence.value,
      case when v_critically then v_critical else v_warning end, v_silence.summary);
  end if;
  return jsonb_build_object('silent_minutes', v_silence.value, 'channels', coalesce(v_policy -> 'channels', '{}'));
end
$$;

-- Takes the notices about a silent heartbeat that are due for these channels; no others, so that nobody but the control plane can keep an
-- alert from being told.
create function public.ops_claim_silence_notices(p_channels text[], p_lease_seconds integer default 120)
returns table (id uuid, token uuid, channel text, config jsonb, message jsonb, attempt integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select * from ops.take_notices(20, p_lease_seconds, p_channels, 'heartbeat_silence_minutes');
end
$$;

-- 90_rights.sql ---------------------------------------------------------------------------------------------

-- Rights, by name. anon and authenticated get nothing, and neither does the public.
--
-- `ops.seal()` is the one place that says who may do what. Every migration calls it at its end, and where the database allows
-- event triggers it also runs whenever somebody adds or renames an `ops_*` object of schema public, because Supabase's default grants would
-- open that to the world.

create function ops.seal() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object record;
  v_worker text[] := array['ops_register_worker', 'ops_worker_heartbeat', 'ops_claim_steps', 'ops_handed_steps', 'ops_claim_next_step', 'ops_renew_steps',
    'ops_complete_steps', 'ops_fail_steps', 'ops_snooze_steps', 'ops_release_steps', 'ops_radar_add', 'ops_radar_update', 'ops_radar_list',
    'ops_recover_expired_leases', 'ops_recover_stale_steps', 'ops_watch_heartbeat', 'ops_claim_silence_notices', 'ops_record_notice'];
  v_reader text[] := array['ops_hold', 'ops_overview', 'ops_doctor', 'ops_watch_state', 'ops_trace', 'ops_why', 'ops_timeline', 'ops_health', 'ops_read_policies', 'ops_list_events', 'ops_list_proposals',
    'ops_list_missions', 'ops_list_steps', 'ops_radar_list', 'ops_cap_usage', 'ops_gate_proposal', 'ops_is_auto_approvable', 'ops_extract_step_kinds',
    'ops_list_services', 'ops_policy_changes', 'ops_policies_at', 'ops_recording',
    'ops_list_checks', 'ops_list_violations', 'ops_list_alerts'];
  v_operator text[] := array['ops_release_hold', 'ops_approve_proposal', 'ops_reject_proposal', 'ops_cancel_mission', 'ops_cancel_step', 'ops_retry_step',
    'ops_retry_dead_steps', 'ops_policy_rollback', 'ops_apply_policies', 'ops_maybe_finalize_mission', 'ops_recover_expired_leases', 'ops_recover_stale_steps',
    'ops_emit_events', 'ops_create_proposal_and_maybe_autoapprove', 'ops_archive', 'ops_radar_add', 'ops_radar_update',
    'ops_run_checks', 'ops_define_check', 'ops_acknowledge_alert', 'ops_silence_alerts'];
begin
  -- One at a time: two that change the same grants at once would fail.
  perform pg_advisory_xact_lock(hashtextextended('ops seal', 0));

  for v_object in
    select p.oid::regprocedure as name, p.proname from pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.proname like 'ops\_%' and pg_has_role(p.proowner, 'usage')
  loop
    execute format('revoke all on routine %s from public, anon, authenticated, service_role, ops_worker, ops_operator, ops_readonly', v_object.name);
    execute format('grant execute on routine %s to service_role', v_object.name);
    if v_object.proname = any (v_worker) then
      execute format('grant execute on routine %s to ops_worker', v_object.name);
    end if;
    if v_object.proname = any (v_reader) then
      execute format('grant execute on routine %s to ops_operator, ops_readonly', v_object.name);
    end if;
    if v_object.proname = any (v_operator) then
      execute format('grant execute on routine %s to ops_operator', v_object.name);
    end if;
  end loop;

  for v_object in
    select c.oid::regclass as name, c.relname, c.relkind from pg_class c
    where c.relnamespace = 'public'::regnamespace and (c.relname like 'ops\_%' or c.relname = 'invariant_violations')
      and c.relkind in ('r', 'v', 'm', 'p', 'f', 'S') and pg_has_role(c.relowner, 'usage')
  loop
    execute format('revoke all on %s from public, anon, authenticated, service_role, ops_worker, ops_operator, ops_readonly', v_object.name);
    execute format('grant select on %s to service_role, ops_operator, ops_readonly', v_object.name);
    if v_object.relkind in ('r', 'p') then
      execute format('grant insert, update, delete on %s to service_role', v_object.name);
    elsif v_object.relkind = 'S' then
      execute format('grant usage on sequence %s to service_role', v_object.name);
    end if;
  end loop;
  grant insert, update, delete on public.ops_policy to ops_operator;
  -- All of a step but its revision: who writes that, the triggers on hand edits take for the engine.
  revoke insert, update on public.ops_mission_steps from service_role;
  execute format('grant delete, insert (%1$s), update (%1$s) on public.ops_mission_steps to service_role, ops_operator', (
    select string_agg(quote_ident(a.attname), ', ') from pg_attribute a
    where a.attrelid = 'public.ops_mission_steps'::regclass and a.attnum > 0 and not a.attisdropped and a.attname <> 'revision'));
  grant insert, update, delete on public.ops_demand_radar to ops_operator;
  grant insert on public.ops_policy_audit to service_role, ops_operator;

  for v_object in
    select p.oid::regprocedure as name from pg_proc p
    where p.pronamespace = 'ops'::regnamespace and pg_has_role(p.proowner, 'usage')
  loop
    execute format('revoke all on routine %s from public, anon, authenticated, service_role, ops_worker, ops_operator, ops_readonly', v_object.name);
  end loop;
  -- Column defaults and views need these.
  grant execute on function ops.now(), ops.new_id() to service_role, ops_operator, ops_readonly;
  grant select on ops.policy_history, ops.policy_audit, ops.workers, ops.shadow_reactions, ops.services, ops.service_checks, ops.invariant_violations, ops.check_runs,
    ops.canaries, ops.alerts, ops.alert_notices, ops.silences, ops.schedules, ops.queue, ops.claims, ops.running_steps, ops.open_missions to service_role, ops_operator, ops_readonly;
  -- Checks read all of the loop, and call what reads it for them.
  grant usage on schema public, ops to ops_monitor;
  for v_object in
    select c.oid::regclass as name from pg_class c
    where c.relkind in ('r', 'v') and (c.relnamespace = 'ops'::regnamespace or (c.relnamespace = 'public'::regnamespace and c.relname like 'ops\_%'))
      and pg_has_role(c.relowner, 'usage')
  loop
    execute format('grant select on %s to ops_monitor', v_object.name);
  end loop;
  -- With its own rights, which are to read.
  for v_object in
    select p.oid::regprocedure as name from pg_proc p
    where p.pronamespace = 'ops'::regnamespace and pg_has_role(p.proowner, 'usage') and p.provolatile <> 'v' and not p.prosecdef
  loop
    execute format('grant execute on routine %s to ops_monitor', v_object.name);
  end loop;
  grant execute on function ops.now() to ops_monitor;
end
$$;

-- Row level security: on for every table, with a policy for each role that has business there.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['ops_policy', 'ops_mission_proposals', 'ops_missions', 'ops_mission_steps', 'ops_agent_events',
    'ops_agent_reactions', 'ops_action_runs', 'ops_demand_radar']
  loop
    execute format('alter table public.%I enable row level security', v_table);
    execute format('create policy control_plane on public.%I for all to service_role using (true) with check (true)', v_table);
    execute format('create policy readers on public.%I for select to ops_readonly using (true)', v_table);
    execute format('create policy monitor on public.%I for select to ops_monitor using (true)', v_table);
    if v_table in ('ops_policy', 'ops_mission_steps', 'ops_demand_radar') then
      execute format('create policy operators on public.%I for all to ops_operator using (true) with check (true)', v_table);
    else
      execute format('create policy operators on public.%I for select to ops_operator using (true)', v_table);
    end if;
  end loop;
  for v_table in select relname from pg_class where relnamespace = 'ops'::regnamespace and relkind = 'r' loop
    execute format('alter table ops.%I enable row level security', v_table);
    execute format('create policy monitor on ops.%I for select to ops_monitor using (true)', v_table);
    if v_table in ('policy_history', 'policy_audit', 'workers', 'shadow_reactions', 'services', 'service_checks', 'invariant_violations', 'check_runs', 'canaries', 'alerts',
      'alert_notices', 'silences', 'schedules', 'queue', 'claims') then
      execute format('create policy readers on ops.%I for select to service_role, ops_operator, ops_readonly using (true)', v_table);
    end if;
  end loop;
end
$$;

create function ops.seal_on_ddl() returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from pg_event_trigger_ddl_commands() c
             where c.schema_name = 'public'
               and c.object_type in ('function', 'procedure', 'aggregate', 'table', 'view', 'materialized view', 'foreign table', 'sequence')
               and c.object_identity ~ '^public\."?(ops_|invariant_violations)')
  then
    perform ops.seal();
  end if;
end
$$;

do $$
begin
  create event trigger ops_seal on ddl_command_end execute function ops.seal_on_ddl();
exception when insufficient_privilege then
  raise notice 'event triggers are not allowed here: run select ops.seal() after adding ops_* objects by hand';
end
$$;

do $$ begin perform ops.seal(); end $$;

-- policies/schemas ------------------------------------------------------------------------------------------

insert into ops.policy_schemas (key, schema) values
  ('reaction_matrix', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "patterns": {
      "description": "The rules; each answers events on its own.",
      "maxItems": 5000,
      "type": "array",
      "items": {
        "type": "object",
        "properties": {
          "id": {
            "description": "What reactions, caps and traces call the pattern. Default: its name.",
            "type": "string",
            "minLength": 1,
            "maxLength": 100
          },
          "name": {
            "description": "What people call it. Default: its id.",
            "type": "string",
            "minLength": 1,
            "maxLength": 100
          },
          "description": {
            "description": "What the pattern is for.",
            "type": "string",
            "maxLength": 2000
          },
          "enabled": {
            "default": true,
            "description": "Off: the pattern answers nothing.",
            "type": "boolean"
          },
          "mode": {
            "default": "active",
            "description": "\"shadow\" records what the pattern would have done and does nothing.",
            "type": "string",
            "enum": [
              "active",
              "shadow"
            ]
          },
          "event_type": {
            "description": "The events it answers: types, with \"*\" for any run of characters. heartbeat:* events are never answered.",
            "anyOf": [
              {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "pattern": "^[A-Za-z0-9*][A-Za-z0-9_.:*-]*$"
              },
              {
                "minItems": 1,
                "maxItems": 50,
                "type": "array",
                "items": {
                  "type": "string",
                  "minLength": 1,
                  "maxLength": 200,
                  "pattern": "^[A-Za-z0-9*][A-Za-z0-9_.:*-]*$"
                }
              }
            ]
          },
          "type": {
            "description": "Another name for event_type.",
            "anyOf": [
              {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "pattern": "^[A-Za-z0-9*][A-Za-z0-9_.:*-]*$"
              },
              {
                "minItems": 1,
                "maxItems": 50,
                "type": "array",
                "items": {
                  "type": "string",
                  "minLength": 1,
                  "maxLength": 200,
                  "pattern": "^[A-Za-z0-9*][A-Za-z0-9_.:*-]*$"
                }
              }
            ]
          },
          "tags": {
            "description": "Answers only events with at least one of these tags in event.data.tags.",
            "minItems": 1,
            "maxItems": 100,
            "type": "array",
            "items": {
              "type": "string",
              "minLength": 1,
              "maxLength": 200
            }
          },
          "source": {
            "description": "Answers only events whose event.data.source is this.",
            "type": "string",
            "minLength": 1,
            "maxLength": 200
          },
          "when": {
            "description": "Answers only events for which this CEL expression is true: \"event.data.issue.comments > 3\". It sees event.id, type, data, depth and created_at.",
            "type": "string",
            "minLength": 1,
            "maxLength": 2000
          },
          "probability": {
            "default": 1,
            "description": "The share of events it answers, 0 to 1; the same event always falls the same way.",
            "type": "number",
            "minimum": 0,
            "maximum": 1
          },
          "cooldown_minutes": {
            "description": "Minutes of silence after it has answered an event.",
            "type": "number",
            "minimum": 0,
            "maximum": 525600
          },
          "cooldown": {
            "description": "Another name for cooldown_minutes.",
            "type": "number",
            "minimum": 0,
            "maximum": 525600
          },
          "cooldown_key": {
            "description": "Keeps a cooldown for each value of this text, with placeholders. Absent: one for the pattern.",
            "type": "string",
            "minLength": 1,
            "maxLength": 1000
          },
          "threshold": {
            "description": "Answers only when matches come in numbers.",
            "type": "object",
            "properties": {
              "count": {
                "type": "integer",
                "minimum": 1,
                "maximum": 10000,
                "description": "How many matches it takes."
              },
              "within_minutes": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 10080,
                "description": "The minutes within which they must come."
              },
              "key": {
                "description": "Counts matches apart by this text, with placeholders. Absent: all together.",
                "type": "string",
                "minLength": 1,
                "maxLength": 1000
              }
            },
            "required": [
              "count",
              "within_minutes"
            ],
            "additionalProperties": false
          },
          "dedupe_key": {
            "description": "No second proposal while one with this text, with placeholders, is alive. Patterns and API callers share these keys: begin it with a word of your own.",
            "type": "string",
            "minLength": 1,
            "maxLength": 1000
          },
          "proposal_source": {
            "default": "reaction",
            "description": "The source of its proposals, which caps count by. Events have no say in it.",
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
          },
          "target": {
            "description": "The agent that answers: another name for template.agent.",
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
          },
          "template": {
            "type": "object",
            "properties": {
              "title": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "description": "The mission in a few words; may hold placeholders."
              },
              "description": {
                "description": "The mission at length; may hold placeholders.",
                "type": "string",
                "maxLength": 4000
              },
              "risk_level": {
                "description": "How much could go wrong. Absent, it counts as \"medium\".",
                "type": "string",
                "enum": [
                  "low",
                  "medium",
                  "high",
                  "critical"
                ]
              },
              "agent": {
                "description": "The agent that asks for the mission and, by default, does its steps.",
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
              },
              "priority": {
                "description": "Lower runs first. Default 0.",
                "type": "integer",
                "minimum": -100,
                "maximum": 100
              },
              "steps": {
                "minItems": 1,
                "maxItems": 100,
                "type": "array",
                "items": {
                  "type": "object",
                  "properties": {
                    "key": {
                      "description": "The name by which other steps refer to this one. Default: \"step-1\", \"step-2\", ….",
                      "type": "string",
                      "minLength": 1,
                      "maxLength": 64,
                      "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$"
                    },
                    "kind": {
                      "type": "string",
                      "minLength": 1,
                      "maxLength": 100,
                      "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*(:[A-Za-z0-9][A-Za-z0-9_.-]*)?$",
                      "description": "What the step does: an executor, or \"executor:agent\"."
                    },
                    "executor": {
                      "description": "The executor that runs it. Default: what the kind names before \":\".",
                      "type": "string",
                      "minLength": 1,
                      "maxLength": 64,
                      "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
                    },
                    "agent": {
                      "description": "The agent that does it. Default: the kind after \":\", then the template.",
                      "type": "string",
                      "minLength": 1,
                      "maxLength": 100,
                      "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
                    },
                    "params": {
                      "description": "Input for the executor. Strings may hold placeholders, also {{steps.<key>.result.<path>}} of earlier steps.",
                      "type": "object",
                      "propertyNames": {
                        "type": "string"
                      },
                      "additionalProperties": {}
                    },
                    "depends_on": {
                      "description": "Keys of the steps that must succeed first; [] starts at once. Absent: the step before this one.",
                      "maxItems": 100,
                      "type": "array",
                      "items": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": 64,
                        "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$"
                      }
                    },
                    "priority": {
                      "description": "Lower runs first. Default: that of the template.",
                      "type": "integer",
                      "minimum": -100,
                      "maximum": 100
                    },
                    "run_at": {
                      "description": "Not before this time.",
                      "type": "string",
                      "maxLength": 40,
                      "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
                    },
                    "delay_seconds": {
                      "description": "Not before this many seconds after the step could have run.",
                      "type": "integer",
                      "minimum": 0,
                      "maximum": 31536000
                    },
                    "timeout_seconds": {
                      "description": "Seconds that one attempt may take.",
                      "type": "integer",
                      "minimum": 1,
                      "maximum": 86400
                    },
                    "max_retries": {
                      "description": "Failures after which the step is a dead letter.",
                      "type": "integer",
                      "minimum": 0,
                      "maximum": 100
                    },
                    "cost_usd": {
                      "description": "US dollars to set aside for the step.",
                      "type": "number",
                      "minimum": 0,
                      "maximum": 1000000
                    },
                    "service": {
                      "description": "A service of policy `services` that the step needs: while its breaker is open, the step waits.",
                      "type": "string",
                      "minLength": 1,
                      "maxLength": 100,
                      "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
                    }
                  },
                  "required": [
                    "kind"
                  ],
                  "additionalProperties": false
                },
                "description": "The work to do."
              }
            },
            "required": [
              "title",
              "steps"
            ],
            "additionalProperties": false,
            "description": "The proposal it makes."
          }
        },
        "required": [
          "template"
        ],
        "additionalProperties": false,
        "allOf": [
          {
            "anyOf": [
              {
                "required": [
                  "id"
                ]
              },
              {
                "required": [
                  "name"
                ]
              }
            ]
          },
          {
            "anyOf": [
              {
                "required": [
                  "event_type"
                ]
              },
              {
                "required": [
                  "type"
                ]
              }
            ]
          }
        ]
      }
    },
    "salt": {
      "default": "",
      "description": "Enters the hash behind probability; another salt draws another sample of the same share.",
      "type": "string",
      "maxLength": 100
    }
  },
  "additionalProperties": false,
  "description": "Which events the loop answers, and with which proposals."
}$json$),
  ('auto_approve', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "enabled": {
      "default": false,
      "description": "Approve by rule at all. Off: every proposal waits for a person.",
      "type": "boolean"
    },
    "allowed_step_kinds": {
      "description": "Every step of the proposal must be of one of these kinds: \"openclaw\" allows all agents, \"openclaw:scout\" that one. Absent: all kinds.",
      "maxItems": 500,
      "type": "array",
      "items": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*(:[A-Za-z0-9][A-Za-z0-9_.-]*)?$"
      }
    },
    "max_risk_level": {
      "description": "The highest risk approved by rule. A template that states no risk counts as \"medium\". Absent: any.",
      "type": "string",
      "enum": [
        "low",
        "medium",
        "high",
        "critical"
      ]
    }
  },
  "additionalProperties": false,
  "description": "Which proposals start without a person. A missing row, or enabled: false, lets none."
}$json$),
  ('proposal_caps', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "daily_limit": {
      "description": "Proposals let through in a day, all together. Absent: no limit.",
      "type": "integer",
      "minimum": 0,
      "maximum": 1000000
    },
    "per_source": {
      "description": "Proposals let through in a day for each source, such as \"github\".",
      "type": "object",
      "propertyNames": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
      },
      "additionalProperties": {
        "type": "integer",
        "minimum": 0,
        "maximum": 1000000
      }
    },
    "per_source_limits": {
      "description": "Another name for per_source.",
      "type": "object",
      "propertyNames": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
      },
      "additionalProperties": {
        "type": "integer",
        "minimum": 0,
        "maximum": 1000000
      }
    },
    "per_agent": {
      "description": "Proposals let through in a day for each agent that asks.",
      "type": "object",
      "propertyNames": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
      },
      "additionalProperties": {
        "type": "integer",
        "minimum": 0,
        "maximum": 1000000
      }
    },
    "per_step_kind": {
      "description": "Steps let through in a day for each executor.",
      "type": "object",
      "propertyNames": {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
      },
      "additionalProperties": {
        "type": "integer",
        "minimum": 0,
        "maximum": 1000000
      }
    },
    "per_pattern": {
      "description": "Proposals let through in a day for each pattern of the reaction matrix, by its id.",
      "type": "object",
      "propertyNames": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100
      },
      "additionalProperties": {
        "type": "integer",
        "minimum": 0,
        "maximum": 1000000
      }
    },
    "daily_budget_usd": {
      "description": "US dollars that the steps let through in a day may cost, by their cost_usd. Absent: no limit.",
      "type": "number",
      "minimum": 0,
      "maximum": 1000000
    },
    "time_zone": {
      "default": "UTC",
      "description": "Where the day begins and ends.",
      "type": "string",
      "minLength": 1,
      "maxLength": 100,
      "pattern": "^[A-Za-z][A-Za-z0-9_+/-]*$",
      "format": "time-zone"
    }
  },
  "additionalProperties": false,
  "description": "How much may start in a day. What waits for approval holds its place; what is rejected or expires gives it back."
}$json$),
  ('worker_policy', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "max_retries": {
      "default": 3,
      "description": "Failures after which a step is a dead letter, where the step does not say.",
      "type": "integer",
      "minimum": 0,
      "maximum": 100
    },
    "lease_minutes": {
      "default": 5,
      "description": "Minutes until a claimed step may go to another worker unless its lease is renewed.",
      "type": "integer",
      "minimum": 1,
      "maximum": 1440
    },
    "stale_minutes": {
      "default": 15,
      "description": "Minutes after which a running step counts as stuck though its lease is renewed, where the step has no timeout.",
      "type": "integer",
      "minimum": 1,
      "maximum": 10080
    },
    "backoff_base_seconds": {
      "default": 10,
      "description": "The longest wait before the first retry, in seconds; it doubles with each failure.",
      "type": "number",
      "minimum": 0,
      "maximum": 3600
    },
    "backoff_max_seconds": {
      "default": 3600,
      "description": "The longest wait before any retry, in seconds.",
      "type": "number",
      "minimum": 0,
      "maximum": 86400
    },
    "blocked_executors": {
      "default": [],
      "description": "Executors whose steps are never claimed.",
      "maxItems": 100,
      "type": "array",
      "items": {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
      }
    },
    "allowed_openclaw_subcommands": {
      "default": [
        "agent"
      ],
      "description": "Subcommands that the openclaw executor may run.",
      "maxItems": 100,
      "type": "array",
      "items": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100
      }
    },
    "openclaw_timeout_ms": {
      "default": 600000,
      "description": "Milliseconds that one openclaw call may take.",
      "type": "integer",
      "minimum": 1000,
      "maximum": 86400000
    },
    "allowed_tools": {
      "description": "Tools that agents may be given. Absent: those that their role names.",
      "maxItems": 500,
      "type": "array",
      "items": {
        "type": "string",
        "minLength": 1,
        "maxLength": 200
      }
    },
    "allowed_wreckit_commands": {
      "default": [
        "ideas",
        "status",
        "list",
        "show",
        "research",
        "plan"
      ],
      "description": "Commands that the wreckit executor may run. By default those that change no code.",
      "maxItems": 100,
      "type": "array",
      "items": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100
      }
    },
    "allowed_commands": {
      "default": [],
      "description": "Programs that the minion executor may run, with any arguments, each by its absolute path. Shells are refused.",
      "maxItems": 200,
      "type": "array",
      "items": {
        "type": "string",
        "maxLength": 500,
        "pattern": "^\\/[^ ]+$"
      }
    },
    "mcp_servers": {
      "default": {},
      "description": "MCP servers that the mcp executor may use, by the name that steps use.",
      "type": "object",
      "propertyNames": {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$"
      },
      "additionalProperties": {
        "anyOf": [
          {
            "type": "object",
            "properties": {
              "command": {
                "type": "string",
                "maxLength": 500,
                "pattern": "^\\/[^ ]+$",
                "description": "The program to start, by its absolute path."
              },
              "args": {
                "default": [],
                "description": "Arguments of the program.",
                "maxItems": 100,
                "type": "array",
                "items": {
                  "type": "string",
                  "maxLength": 1000
                }
              },
              "env": {
                "default": {},
                "description": "Variables that the program gets: its name for each, and the variable of the worker with the value.",
                "type": "object",
                "propertyNames": {
                  "type": "string",
                  "maxLength": 100,
                  "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"
                },
                "additionalProperties": {
                  "type": "string",
                  "maxLength": 100,
                  "pattern": "^OPS_MCP_[A-Z0-9_]+$"
                }
              },
              "tools": {
                "default": [],
                "description": "Tools of the server that steps may call; no others.",
                "maxItems": 500,
                "type": "array",
                "items": {
                  "type": "string",
                  "minLength": 1,
                  "maxLength": 200
                }
              }
            },
            "required": [
              "command"
            ],
            "additionalProperties": false
          },
          {
            "type": "object",
            "properties": {
              "url": {
                "type": "string",
                "maxLength": 2000,
                "pattern": "^https?:\\/\\/[^ ]+$",
                "description": "Where the server answers over streamable HTTP."
              },
              "token_env": {
                "description": "The variable of the worker that holds the bearer token.",
                "type": "string",
                "maxLength": 100,
                "pattern": "^OPS_MCP_[A-Z0-9_]+$"
              },
              "tools": {
                "default": [],
                "description": "Tools of the server that steps may call; no others.",
                "maxItems": 500,
                "type": "array",
                "items": {
                  "type": "string",
                  "minLength": 1,
                  "maxLength": 200
                }
              }
            },
            "required": [
              "url"
            ],
            "additionalProperties": false
          }
        ]
      }
    }
  },
  "additionalProperties": false,
  "description": "How workers treat steps. What a step says itself goes before; the environment and the defaults come after."
}$json$),
  ('agent_roles', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "propertyNames": {
    "type": "string",
    "minLength": 1,
    "maxLength": 100,
    "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
  },
  "additionalProperties": {
    "type": "object",
    "properties": {
      "instructions": {
        "description": "What the agent is for and how it should work, in words; {{role.instructions}} in a template.",
        "type": "string",
        "maxLength": 20000
      },
      "model": {
        "description": "The model that the agent runs on. Absent: the executor decides.",
        "type": "string",
        "minLength": 1,
        "maxLength": 200
      },
      "tools": {
        "description": "Tools that the agent may use; none if empty. Absent: those that worker_policy allows.",
        "maxItems": 200,
        "type": "array",
        "items": {
          "type": "string",
          "minLength": 1,
          "maxLength": 200
        }
      },
      "temperature": {
        "description": "Sampling temperature, 0 to 2. Absent: the executor decides.",
        "type": "number",
        "minimum": 0,
        "maximum": 2
      }
    },
    "additionalProperties": false
  },
  "description": "Who the agents are, by the name that steps and templates use."
}$json$),
  ('control', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "pause": {
      "description": "Parts of the loop that stand still, each by itself. Work already leased finishes.",
      "default": {},
      "type": "object",
      "properties": {
        "intake": {
          "default": false,
          "description": "Refuse new events with OPS_015.",
          "type": "boolean"
        },
        "reactions": {
          "default": false,
          "description": "Leave events unprocessed and make no proposals from reactions.",
          "type": "boolean"
        },
        "approvals": {
          "default": false,
          "description": "Admit no mission, neither by rule nor by hand; proposals wait.",
          "type": "boolean"
        },
        "claims": {
          "default": false,
          "description": "Hand no steps to workers.",
          "type": "boolean"
        },
        "executors": {
          "default": [],
          "description": "Hand no steps of these executors to workers; the others go on.",
          "maxItems": 100,
          "type": "array",
          "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 64,
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
          }
        }
      },
      "additionalProperties": false
    },
    "max_depth": {
      "default": 8,
      "description": "How many missions may follow from each other, counted from the event that began the chain.",
      "type": "integer",
      "minimum": 0,
      "maximum": 100
    },
    "max_missions_per_root_event": {
      "default": 50,
      "description": "How many missions one event may set off in all, directly and by way of others.",
      "type": "integer",
      "minimum": 1,
      "maximum": 100000
    }
  },
  "additionalProperties": false,
  "description": "The switch that stops parts of the loop, and the guard against loops that feed themselves."
}$json$),
  ('approvals', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "expires_minutes": {
      "default": 1440,
      "description": "Minutes after which a proposal that nobody decided on expires.",
      "type": "integer",
      "minimum": 1,
      "maximum": 525600
    }
  },
  "additionalProperties": false,
  "description": "How long a person has to decide."
}$json$),
  ('schedules', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "schedules": {
      "default": [],
      "description": "The schedules.",
      "maxItems": 1000,
      "type": "array",
      "items": {
        "type": "object",
        "properties": {
          "id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "description": "A name that is unique among the schedules."
          },
          "description": {
            "description": "What it is for.",
            "type": "string",
            "maxLength": 1000
          },
          "enabled": {
            "default": true,
            "description": "Off: no events; times that pass meanwhile are not made up for.",
            "type": "boolean"
          },
          "cron": {
            "type": "string",
            "maxLength": 200,
            "pattern": "^[0-9A-Za-z*,/#?-]+( [0-9A-Za-z*,/#?-]+){4}$",
            "description": "When: minute, hour, day of month, month, weekday; \"*/15 8-18 * * MON-FRI\" for example."
          },
          "time_zone": {
            "default": "UTC",
            "description": "The zone of the clock that cron reads.",
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[A-Za-z][A-Za-z0-9_+/-]*$",
            "format": "time-zone"
          },
          "missed": {
            "default": "once",
            "description": "What becomes of times that passed while nothing ran: none, one event in all, or one for each. A time is met, not missed, when it is the last one and a heartbeat comes within ten minutes of it.",
            "type": "string",
            "enum": [
              "skip",
              "once",
              "all"
            ]
          },
          "event": {
            "type": "object",
            "properties": {
              "type": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]*$",
                "description": "The type of the event."
              },
              "data": {
                "default": {},
                "description": "The data of the event.",
                "type": "object",
                "propertyNames": {
                  "type": "string"
                },
                "additionalProperties": {}
              }
            },
            "required": [
              "type"
            ],
            "additionalProperties": false,
            "description": "The event that is reported at each time; a pattern of the reaction matrix answers it."
          }
        },
        "required": [
          "id",
          "cron",
          "event"
        ],
        "additionalProperties": false
      }
    }
  },
  "additionalProperties": false,
  "description": "Events that come by the clock."
}$json$),
  ('alerts', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "enabled": {
      "default": true,
      "description": "Raise alerts at all.",
      "type": "boolean"
    },
    "every_minutes": {
      "default": 1,
      "description": "Minutes between two looks at the rules.",
      "type": "integer",
      "minimum": 1,
      "maximum": 60
    },
    "repeat_minutes": {
      "default": 240,
      "description": "Minutes after which an open alert is told again.",
      "type": "integer",
      "minimum": 1,
      "maximum": 10080
    },
    "resolve_after_minutes": {
      "default": 5,
      "description": "Minutes for which a rule must have been kept before its alert is resolved.",
      "type": "integer",
      "minimum": 0,
      "maximum": 1440
    },
    "rules": {
      "description": "The thresholds, by what is measured. What is counted is counted up to twice the higher one, at most up to a million.",
      "default": {},
      "type": "object",
      "properties": {
        "heartbeat_failures": {
          "description": "Failed heartbeats in a row, at or above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "heartbeat_silence_minutes": {
          "description": "Minutes between this heartbeat and the one before, at or above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "worker_idle_minutes": {
          "description": "Minutes in which no step was claimed though some are queued, at or above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "unclaimable_minutes": {
          "description": "Minutes for which a step has been due whose executor no live worker offers, by executor, at or above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "proposal_latency_p95_seconds": {
          "description": "Seconds from event to proposal, 95th percentile of the last 1000 proposals of the last day, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "mission_success_percent": {
          "description": "Of the missions that succeeded or failed in the last day, at most the last 1000 that began, how many succeeded, in percent, below. Fewer than five say nothing.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "step_error_percent": {
          "description": "Of the attempts that succeeded or failed in the last hour, at most the last 1000, how many failed, in percent, above. Fewer than twenty say nothing.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "dead_letters_per_hour": {
          "description": "Steps that ran out of attempts in the last hour, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "queued_events": {
          "description": "Events not processed yet, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "queued_steps": {
          "description": "Steps that could run but do not, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "proposals_per_hour": {
          "description": "Proposals made in the last hour, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "average_step_seconds": {
          "description": "Mean duration of the steps of one kind that ended with one of the last 1000 attempts, in the last day, in seconds, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "pattern_errors_per_hour": {
          "description": "Patterns that failed on an event, and reactions that could not become a proposal, in the last hour, among the last 2000 of each, at or above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "quarantined_patterns": {
          "description": "Patterns of the reaction matrix that are out of service, at or above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "api_error_percent": {
          "description": "Requests to the control plane that it answered with 5xx, in percent of the last ones that the process of the heartbeat answered, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "api_p99_ms": {
          "description": "Milliseconds of a request to the control plane, 99th percentile of the same, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "database_latency_ms": {
          "description": "Milliseconds that the control plane waits for a trivial query, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "database_gigabytes": {
          "description": "Size of the database, above. Postgres knows no free space: set what your plan has.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "connections_percent": {
          "description": "Connections in use, in percent of those that the server allows, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "longest_query_seconds": {
          "description": "Seconds for which the longest query of this database has run, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "worker_memory_percent": {
          "description": "Memory of a worker, in percent of what its machine allows it, above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "backup_age_hours": {
          "description": "Hours since the last backup that was reported, above. Never reported: nothing.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "service_down_minutes": {
          "description": "Minutes for which the breaker of a service has been open, by service, at or above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        },
        "channel_failures": {
          "description": "Messages that one channel failed to deliver in a row, by channel, at or above.",
          "type": "object",
          "properties": {
            "warning": {
              "description": "The value at which a warning is raised.",
              "type": "number",
              "minimum": 0
            },
            "critical": {
              "description": "The value at which it becomes critical.",
              "type": "number",
              "minimum": 0
            }
          },
          "additionalProperties": false
        }
      },
      "additionalProperties": false
    },
    "violations": {
      "default": true,
      "description": "Raise an alert for each check that is violated, with the severity of the check.",
      "type": "boolean"
    },
    "channels": {
      "default": {},
      "description": "Ways to tell people and programs, by name.",
      "type": "object",
      "propertyNames": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
      },
      "additionalProperties": {
        "anyOf": [
          {
            "type": "object",
            "properties": {
              "type": {
                "type": "string",
                "const": "slack",
                "description": "An incoming webhook of Slack, or of what speaks like it."
              },
              "url_variable": {
                "default": "SLACK_WEBHOOK_URL",
                "description": "The environment variable that holds its address. Not set: nothing is sent.",
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "pattern": "^[A-Z][A-Z0-9_]*$"
              }
            },
            "required": [
              "type"
            ],
            "additionalProperties": false
          },
          {
            "type": "object",
            "properties": {
              "type": {
                "type": "string",
                "const": "webhook",
                "description": "A webhook in the format of Standard Webhooks."
              },
              "url_variable": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "pattern": "^[A-Z][A-Z0-9_]*$",
                "description": "The environment variable that holds its address."
              },
              "secret_variable": {
                "description": "The environment variable that holds the secret to sign with. Absent: not signed.",
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "pattern": "^[A-Z][A-Z0-9_]*$"
              }
            },
            "required": [
              "type",
              "url_variable"
            ],
            "additionalProperties": false
          },
          {
            "type": "object",
            "properties": {
              "type": {
                "type": "string",
                "const": "email",
                "description": "Mail by SMTP."
              },
              "url_variable": {
                "default": "SMTP_URL",
                "description": "The environment variable that holds smtp://user:password@host:587.",
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "pattern": "^[A-Z][A-Z0-9_]*$"
              },
              "from": {
                "type": "string",
                "minLength": 3,
                "maxLength": 200,
                "description": "The sender."
              },
              "to": {
                "minItems": 1,
                "maxItems": 50,
                "type": "array",
                "items": {
                  "type": "string",
                  "minLength": 3,
                  "maxLength": 200
                },
                "description": "The receivers."
              }
            },
            "required": [
              "type",
              "from",
              "to"
            ],
            "additionalProperties": false
          }
        ]
      }
    },
    "routes": {
      "description": "Which channels are told, by severity.",
      "default": {},
      "type": "object",
      "properties": {
        "critical": {
          "default": [
            "slack"
          ],
          "description": "P0.",
          "maxItems": 20,
          "type": "array",
          "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
          }
        },
        "high": {
          "default": [
            "slack"
          ],
          "description": "P1.",
          "maxItems": 20,
          "type": "array",
          "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
          }
        },
        "warning": {
          "default": [
            "slack"
          ],
          "description": "P2.",
          "maxItems": 20,
          "type": "array",
          "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
          }
        },
        "info": {
          "default": [],
          "description": "P3.",
          "maxItems": 20,
          "type": "array",
          "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
          }
        }
      },
      "additionalProperties": false
    },
    "digest": {
      "description": "A summary once a day. Absent: none.",
      "type": "object",
      "properties": {
        "channels": {
          "minItems": 1,
          "maxItems": 20,
          "type": "array",
          "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
          },
          "description": "Where it goes."
        },
        "hour": {
          "default": 8,
          "description": "The hour of the day from which it is sent.",
          "type": "integer",
          "minimum": 0,
          "maximum": 23
        },
        "time_zone": {
          "default": "UTC",
          "description": "Where that hour is.",
          "type": "string",
          "minLength": 1,
          "maxLength": 100,
          "pattern": "^[A-Za-z][A-Za-z0-9_+/-]*$",
          "format": "time-zone"
        }
      },
      "required": [
        "channels"
      ],
      "additionalProperties": false
    }
  },
  "additionalProperties": false,
  "description": "When the loop asks for a person. A rule that is absent raises nothing."
}$json$),
  ('invariants', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "enabled": {
      "default": true,
      "description": "Run the checks at all.",
      "type": "boolean"
    },
    "every_minutes": {
      "default": 5,
      "description": "Minutes between two rounds of checks.",
      "type": "integer",
      "minimum": 1,
      "maximum": 1440
    },
    "timeout_ms": {
      "default": 2000,
      "description": "Milliseconds that one check may take.",
      "type": "integer",
      "minimum": 10,
      "maximum": 5000
    },
    "checks": {
      "default": [],
      "description": "Checks of your own, beside those that are shipped.",
      "maxItems": 500,
      "type": "array",
      "items": {
        "type": "object",
        "properties": {
          "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[a-z][a-z0-9_]*$",
            "description": "A name that is unique among all checks."
          },
          "severity": {
            "type": "string",
            "enum": [
              "critical",
              "high",
              "warning",
              "info"
            ],
            "description": "How bad a violation is."
          },
          "description": {
            "description": "What a violation means.",
            "type": "string",
            "maxLength": 1000
          },
          "sql": {
            "type": "string",
            "minLength": 1,
            "maxLength": 20000,
            "description": "A query that returns what violates the check; no row means all is well. Column id tells violations apart, column message says what is wrong. It runs as ops_monitor: grant it select on the tables."
          }
        },
        "required": [
          "name",
          "severity",
          "sql"
        ],
        "additionalProperties": false
      }
    },
    "skip": {
      "default": [],
      "description": "Checks that are not run, by name.",
      "maxItems": 500,
      "type": "array",
      "items": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "pattern": "^[a-z][a-z0-9_]*$"
      }
    },
    "expected_roles": {
      "description": "The database roles that the check runtime_identity expects.",
      "default": {},
      "type": "object",
      "properties": {
        "worker": {
          "default": [
            "ops_worker"
          ],
          "description": "Roles under which workers may log in.",
          "minItems": 1,
          "maxItems": 20,
          "type": "array",
          "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 63
          }
        },
        "control_plane": {
          "default": [
            "service_role"
          ],
          "description": "Roles under which the heartbeat may log in.",
          "minItems": 1,
          "maxItems": 20,
          "type": "array",
          "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 63
          }
        }
      },
      "additionalProperties": false
    },
    "canary": {
      "description": "The synthetic canary, which proves that the whole loop works.",
      "default": {},
      "type": "object",
      "properties": {
        "enabled": {
          "default": true,
          "description": "Send a canary through the loop with every round.",
          "type": "boolean"
        },
        "slow_seconds": {
          "default": 600,
          "description": "Seconds that a canary may take from its event to the event that comes back.",
          "type": "number",
          "minimum": 1,
          "maximum": 86400
        },
        "missing_minutes": {
          "default": 15,
          "description": "Minutes after which a canary that has not come back is missing.",
          "type": "number",
          "minimum": 1,
          "maximum": 1440
        }
      },
      "additionalProperties": false
    }
  },
  "additionalProperties": false,
  "description": "Statements about the data that must hold, checked all day."
}$json$),
  ('retention', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "archive_after_days": {
      "default": 90,
      "description": "Days after which finished missions, with all that led to them, move to the archive.",
      "type": "integer",
      "minimum": 1,
      "maximum": 36500
    },
    "delete_archived_after_days": {
      "description": "Days after which the archive forgets. Absent: never.",
      "type": "integer",
      "minimum": 1,
      "maximum": 36500
    },
    "heartbeat_days": {
      "default": 7,
      "description": "Days for which heartbeat events are kept.",
      "type": "integer",
      "minimum": 1,
      "maximum": 36500
    },
    "batch_size": {
      "default": 1000,
      "description": "Missions archived at a time.",
      "type": "integer",
      "minimum": 1,
      "maximum": 100000
    }
  },
  "additionalProperties": false,
  "description": "How long finished work stays in the tables that everything reads."
}$json$),
  ('services', $json${
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "services": {
      "default": {},
      "description": "The services, by name.",
      "type": "object",
      "propertyNames": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
      },
      "additionalProperties": {
        "type": "object",
        "properties": {
          "enabled": {
            "default": true,
            "description": "Check this service.",
            "type": "boolean"
          },
          "url": {
            "type": "string",
            "maxLength": 2000,
            "pattern": "^https?:\\/\\/[^ ]+$",
            "description": "The address that tells its health."
          },
          "method": {
            "default": "GET",
            "description": "The HTTP method.",
            "type": "string",
            "enum": [
              "GET",
              "HEAD",
              "POST"
            ]
          },
          "headers": {
            "default": {},
            "description": "Headers to send, in the clear.",
            "type": "object",
            "propertyNames": {
              "type": "string",
              "minLength": 1,
              "maxLength": 100,
              "pattern": "^[A-Za-z0-9-]+$"
            },
            "additionalProperties": {
              "type": "string",
              "maxLength": 2000
            }
          },
          "secret_headers": {
            "default": {},
            "description": "Headers to send whose values are secret: each names the environment variable of the control plane that holds it. Its name begins with OPS_SERVICE_, so that no policy can send other secrets away.",
            "type": "object",
            "propertyNames": {
              "type": "string",
              "minLength": 1,
              "maxLength": 100,
              "pattern": "^[A-Za-z0-9-]+$"
            },
            "additionalProperties": {
              "type": "string",
              "minLength": 1,
              "maxLength": 100,
              "pattern": "^OPS_SERVICE_[A-Z0-9_]*$"
            }
          },
          "expect_status": {
            "default": [
              200
            ],
            "description": "Statuses that mean health.",
            "minItems": 1,
            "maxItems": 20,
            "type": "array",
            "items": {
              "type": "integer",
              "minimum": 100,
              "maximum": 599
            }
          },
          "expect_json": {
            "default": {},
            "description": "Values that the JSON answer must hold, by dotted path: {\"database\": \"connected\"}.",
            "type": "object",
            "propertyNames": {
              "type": "string",
              "minLength": 1,
              "maxLength": 200
            },
            "additionalProperties": {
              "type": [
                "string",
                "number",
                "boolean",
                "null"
              ]
            }
          },
          "timeout_ms": {
            "default": 5000,
            "description": "Milliseconds to wait for the answer.",
            "type": "integer",
            "minimum": 100,
            "maximum": 60000
          },
          "every_minutes": {
            "default": 5,
            "description": "Minutes between two checks.",
            "type": "integer",
            "minimum": 1,
            "maximum": 1440
          },
          "breaker": {
            "description": "When executors stop calling this service for a while.",
            "default": {},
            "type": "object",
            "properties": {
              "failures": {
                "default": 3,
                "description": "Failed checks in a row that open the breaker.",
                "type": "integer",
                "minimum": 1,
                "maximum": 100
              },
              "reset_seconds": {
                "default": 60,
                "description": "Seconds until an open breaker tries again.",
                "type": "integer",
                "minimum": 1,
                "maximum": 86400
              }
            },
            "additionalProperties": false
          }
        },
        "required": [
          "url"
        ],
        "additionalProperties": false
      }
    }
  },
  "additionalProperties": false,
  "description": "Services that the work depends on, and how to tell that they are well."
}$json$)
on conflict (key) do update set schema = excluded.schema;

-- bookkeeping -----------------------------------------------------------------------------------------------

insert into ops.migrations (version, name) values ('0002', 'ops_functions');
