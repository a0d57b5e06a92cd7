-- JSON Schema, as much of it as policies/ produces: enough to refuse a bad hand edit with a path and a reason.

create function ops.is_time_zone(p_name text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  perform now() at time zone p_name;
  return true;
exception when invalid_parameter_value then
  return false;
end
$$;

-- The first problem of a value, or nulls when it is valid. Paths look like `patterns[2].cooldown_minutes`.
create function ops.schema_problem(p_schema jsonb, p_value jsonb, p_path text, out path text, out problem text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_type text := jsonb_typeof(p_value);
  v_number numeric;
  v_text text;
  v_key text;
  v_item jsonb;
  v_index integer := 0;
  v_branch record;
  v_deepest_path text;
  v_deepest_problem text;
  v_matches integer := 0;
  v_at text := coalesce(nullif(p_path, ''), 'value');
begin
  if jsonb_typeof(p_schema) = 'boolean' then
    if not p_schema::boolean then
      path := p_path; problem := 'is not allowed here';
    end if;
    return;
  end if;

  if p_schema ? 'type' then
    if not (
      case jsonb_typeof(p_schema -> 'type')
        when 'array' then (p_schema -> 'type') ? v_type or ((p_schema -> 'type') ? 'integer' and v_type = 'number')
        else p_schema ->> 'type' = v_type or (p_schema ->> 'type' = 'integer' and v_type = 'number')
      end)
    then
      path := p_path; problem := format('must be %s, not %s', replace(p_schema ->> 'type', '"', ''), v_type);
      return;
    end if;
    if p_schema ->> 'type' = 'integer' and p_value::text like '%.%' then
      path := p_path; problem := 'must be a whole number';
      return;
    end if;
  end if;

  if p_schema ? 'const' and p_value <> p_schema -> 'const' then
    path := p_path; problem := format('must be %s', p_schema -> 'const');
    return;
  end if;
  if p_schema ? 'enum' and not exists (select from jsonb_array_elements(p_schema -> 'enum') e where e = p_value) then
    path := p_path;
    problem := format('must be one of %s', (select string_agg(e::text, ', ') from jsonb_array_elements(p_schema -> 'enum') e));
    return;
  end if;

  if v_type = 'number' then
    v_number := p_value::numeric;
    if v_number < (p_schema ->> 'minimum')::numeric then
      path := p_path; problem := format('must be at least %s', p_schema ->> 'minimum');
    elsif v_number > (p_schema ->> 'maximum')::numeric then
      path := p_path; problem := format('must be at most %s', p_schema ->> 'maximum');
    elsif v_number <= (p_schema ->> 'exclusiveMinimum')::numeric then
      path := p_path; problem := format('must be greater than %s', p_schema ->> 'exclusiveMinimum');
    elsif v_number >= (p_schema ->> 'exclusiveMaximum')::numeric then
      path := p_path; problem := format('must be less than %s', p_schema ->> 'exclusiveMaximum');
    elsif v_number % nullif((p_schema ->> 'multipleOf')::numeric, 0) <> 0 then
      path := p_path; problem := format('must be a multiple of %s', p_schema ->> 'multipleOf');
    end if;
  elsif v_type = 'string' then
    v_text := p_value #>> '{}';
    if length(v_text) < (p_schema ->> 'minLength')::integer then
      path := p_path; problem := format('must have at least %s characters', p_schema ->> 'minLength');
    elsif length(v_text) > (p_schema ->> 'maxLength')::integer then
      path := p_path; problem := format('must have at most %s characters', p_schema ->> 'maxLength');
    elsif p_schema ? 'pattern' and v_text !~ (p_schema ->> 'pattern') then
      path := p_path; problem := format('must match %s', p_schema ->> 'pattern');
    elsif p_schema @> '{"format": "time-zone"}' and not ops.is_time_zone(v_text) then
      path := p_path; problem := 'is not a known time zone';
    end if;
  elsif v_type = 'array' then
    if jsonb_array_length(p_value) < (p_schema ->> 'minItems')::integer then
      path := p_path; problem := format('must have at least %s items', p_schema ->> 'minItems');
    elsif jsonb_array_length(p_value) > (p_schema ->> 'maxItems')::integer then
      path := p_path; problem := format('must have at most %s items', p_schema ->> 'maxItems');
    elsif p_schema ? 'items' then
      for v_item in select jsonb_array_elements(p_value) loop
        select s.path, s.problem into path, problem
        from ops.schema_problem(p_schema -> 'items', v_item, p_path || '[' || v_index || ']') s;
        exit when problem is not null;
        v_index := v_index + 1;
      end loop;
    end if;
  elsif v_type = 'object' then
    select p_path, format('misses the field "%s"', r) into path, problem
    from jsonb_array_elements_text(p_schema -> 'required') r where not p_value ? r limit 1;
    if problem is null then
      for v_key, v_item in select * from jsonb_each(p_value) loop
        if (p_schema -> 'properties') ? v_key then
          select s.path, s.problem into path, problem
          from ops.schema_problem(p_schema -> 'properties' -> v_key, v_item, ltrim(p_path || '.' || v_key, '.')) s;
        elsif p_schema -> 'additionalProperties' = 'false' then
          path := ltrim(p_path || '.' || v_key, '.');
          problem := format('is not a field of %s%s', v_at,
            ops.suggestion(v_key, array(select jsonb_object_keys(p_schema -> 'properties'))));
        else
          if p_schema ? 'propertyNames' then
            select s.path, 'has a name that ' || s.problem into path, problem
            from ops.schema_problem(p_schema -> 'propertyNames', to_jsonb(v_key), ltrim(p_path || '.' || v_key, '.')) s;
          end if;
          if problem is null and p_schema ? 'additionalProperties' then
            select s.path, s.problem into path, problem
            from ops.schema_problem(p_schema -> 'additionalProperties', v_item, ltrim(p_path || '.' || v_key, '.')) s;
          end if;
        end if;
        exit when problem is not null;
      end loop;
    end if;
  end if;
  if problem is not null then
    return;
  end if;

  if p_schema ? 'allOf' then
    for v_item in select jsonb_array_elements(p_schema -> 'allOf') loop
      select s.path, s.problem into path, problem from ops.schema_problem(v_item, p_value, p_path) s;
      if problem is not null then
        return;
      end if;
    end loop;
  end if;

  if p_schema ?| array['anyOf', 'oneOf'] then
    for v_branch in
      select s.path, s.problem
      from jsonb_array_elements(coalesce(p_schema -> 'anyOf', p_schema -> 'oneOf')) b,
        ops.schema_problem(b, p_value, p_path) s
    loop
      if v_branch.problem is null then
        v_matches := v_matches + 1;
      elsif v_deepest_problem is null or length(v_branch.path) > length(v_deepest_path) then
        v_deepest_path := v_branch.path;
        v_deepest_problem := v_branch.problem;
      end if;
    end loop;
    -- The branch that got furthest is the one that was meant.
    if v_matches = 0 then
      path := v_deepest_path; problem := v_deepest_problem;
    elsif v_matches > 1 and p_schema ? 'oneOf' then
      path := p_path; problem := 'fits more than one of the allowed forms';
    end if;
  end if;
end
$$;
