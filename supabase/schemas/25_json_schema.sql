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
