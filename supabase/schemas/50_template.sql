-- Proposal templates: what a mission would run.
--
-- {title, description?, risk_level?, agent?, priority?, steps: [{key?, kind, executor?, agent?, params?, depends_on?,
--  priority?, run_at? | delay_seconds?, timeout_seconds?, max_retries?, cost_usd?, service?}]}
-- Steps run in their order; one that names `depends_on` waits for just those ([] = at once).

-- The steps of a template as rows, with all that is implied written out.
create function ops.template_steps(p_template jsonb)
returns table ("position" integer, key text, kind text, executor text, agent text, params jsonb, depends_on text[], step jsonb)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before text;
begin
  "position" := 0;
  for step in select jsonb_array_elements(p_template -> 'steps') loop
    "position" := "position" + 1;
    key := coalesce(step ->> 'key', 'step-' || "position");
    kind := step ->> 'kind';
    executor := coalesce(step ->> 'executor', split_part(kind, ':', 1));
    agent := coalesce(step ->> 'agent', nullif(split_part(kind, ':', 2), ''), p_template ->> 'agent');
    params := coalesce(step -> 'params', '{}');
    depends_on := case when jsonb_typeof(step -> 'depends_on') = 'array'
      then array(select jsonb_array_elements_text(step -> 'depends_on'))
      else array_remove(array[v_before], null) end;
    v_before := key;
    return next;
  end loop;
end
$$;

-- One field of a template or step: its type, and a range or length for numbers and strings.
create function ops.field_problem(p_holder jsonb, p_field text, p_type text, p_min numeric, p_max numeric) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_value jsonb := p_holder -> p_field;
begin
  if v_value is null then
    return null;
  elsif jsonb_typeof(v_value) <> (case p_type when 'integer' then 'number' else p_type end) then
    return format('must be %s %s', case when p_type in ('object', 'array', 'integer') then 'an' else 'a' end, p_type);
  elsif p_type = 'integer' and v_value::text like '%.%' then
    return 'must be a whole number';
  elsif p_type in ('number', 'integer') and v_value::numeric not between p_min and p_max then
    return format('must be between %s and %s', p_min, p_max);
  elsif p_type = 'string' and length(v_value #>> '{}') not between p_min and p_max then
    return format('must have %s to %s characters', p_min, p_max);
  end if;
  return null;
end
$$;

-- The first problem of a template with its JSON path, or nulls.
create function ops.template_problem(p_template jsonb, out path text, out problem text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step jsonb;
  v_at text;
  v_index integer := -1;
  v_keys text[] := '{}';
  v_key text;
  v_run_at timestamptz;
begin
  if p_template is null or jsonb_typeof(p_template) <> 'object' then
    path := ''; problem := 'must be an object'; return;
  end if;
  select k, format('is not a field of a template; known fields: title, description, risk_level, agent, priority, steps')
    into path, problem
  from jsonb_object_keys(p_template) k
  where k not in ('title', 'description', 'risk_level', 'agent', 'priority', 'steps') limit 1;
  if problem is not null then return; end if;

  if p_template -> 'title' is null then path := 'title'; problem := 'is required'; return; end if;
  select f.field, ops.field_problem(p_template, f.field, f.type, f.min, f.max) into path, problem
  from (values ('title', 'string', 1, 200), ('description', 'string', 0, 4000), ('risk_level', 'string', 1, 20),
    ('agent', 'string', 1, 100), ('priority', 'integer', -100, 100), ('steps', 'array', 0, 0)) f(field, type, min, max)
  where ops.field_problem(p_template, f.field, f.type, f.min, f.max) is not null limit 1;
  if problem is not null then return; end if;

  if p_template ->> 'risk_level' not in ('low', 'medium', 'high', 'critical') then
    path := 'risk_level'; problem := 'must be low, medium, high or critical'; return;
  end if;
  if p_template -> 'steps' is null then path := 'steps'; problem := 'is required'; return; end if;
  if jsonb_array_length(p_template -> 'steps') not between 1 and 100 then
    path := 'steps'; problem := 'must hold 1 to 100 steps'; return;
  end if;

  for v_step in select jsonb_array_elements(p_template -> 'steps') loop
    v_index := v_index + 1;
    v_at := 'steps[' || v_index || ']';
    if jsonb_typeof(v_step) <> 'object' then path := v_at; problem := 'must be an object'; return; end if;

    select v_at || '.' || k, 'is not a field of a step; known fields: key, kind, executor, agent, params, depends_on, '
      || 'priority, run_at, delay_seconds, timeout_seconds, max_retries, cost_usd, service' into path, problem
    from jsonb_object_keys(v_step) k
    where k not in ('key', 'kind', 'executor', 'agent', 'params', 'depends_on', 'priority', 'run_at', 'delay_seconds',
      'timeout_seconds', 'max_retries', 'cost_usd', 'service') limit 1;
    if problem is not null then return; end if;

    if v_step -> 'kind' is null then path := v_at || '.kind'; problem := 'is required'; return; end if;
    select v_at || '.' || f.field, ops.field_problem(v_step, f.field, f.type, f.min, f.max) into path, problem
    from (values ('key', 'string', 1, 64), ('kind', 'string', 1, 100), ('executor', 'string', 1, 64), ('agent', 'string', 1, 100),
      ('params', 'object', 0, 0), ('depends_on', 'array', 0, 0), ('priority', 'integer', -100, 100), ('run_at', 'string', 1, 64),
      ('delay_seconds', 'integer', 0, 31536000), ('timeout_seconds', 'integer', 1, 86400), ('max_retries', 'integer', 0, 100),
      ('cost_usd', 'number', 0, 1000000), ('service', 'string', 1, 100)) f(field, type, min, max)
    where ops.field_problem(v_step, f.field, f.type, f.min, f.max) is not null limit 1;
    if problem is not null then return; end if;

    if v_step ->> 'kind' !~ '^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$' then
      path := v_at || '.kind'; problem := 'must look like "executor" or "executor:agent"'; return;
    end if;
    if v_step ->> 'executor' !~ '^[A-Za-z0-9_.-]+$' then
      path := v_at || '.executor'; problem := 'must be letters, digits, "_", "." or "-"'; return;
    end if;
    if v_step ->> 'service' !~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' then
      path := v_at || '.service'; problem := 'must be the name of a service: letters, digits, "_", "." or "-"'; return;
    end if;
    v_key := coalesce(v_step ->> 'key', 'step-' || v_index + 1);
    if v_key !~ '^[A-Za-z0-9_-]+$' then
      path := v_at || '.key'; problem := 'must be letters, digits, "_" or "-"'; return;
    end if;
    if v_key = any (v_keys) then
      path := v_at || '.key'; problem := format('"%s" is the key of an earlier step', v_key); return;
    end if;
    v_keys := v_keys || v_key;
    if v_step ? 'run_at' and v_step ? 'delay_seconds' then
      path := v_at || '.delay_seconds'; problem := 'cannot stand beside run_at'; return;
    end if;
    if v_step ? 'run_at' then
      begin
        if v_step ->> 'run_at' !~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)$' then
          raise invalid_datetime_format;
        end if;
        v_run_at := (v_step ->> 'run_at')::timestamptz;
      exception when data_exception then
        path := v_at || '.run_at'; problem := 'must be a time with its zone, such as "2026-01-31T09:00:00Z"'; return;
      end;
    end if;
  end loop;

  select g.path, g.problem into path, problem from ops.graph_problem(p_template) g;
end
$$;

-- Dependencies: known, not circular; and `{{steps.<key>…}}` only from steps that are done before.
create function ops.graph_problem(p_template jsonb, out path text, out problem text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before jsonb := '{}'; -- key → {every key that is done before it: true}
  v_row record;
  v_left integer;
  v_done integer;
begin
  if p_template::text !~ '"depends_on"|\{\{\s*steps\.' then
    return;
  end if;
  select format('steps[%s].depends_on', s.ordinality - 1), 'must list step keys' into path, problem
  from jsonb_array_elements(p_template -> 'steps') with ordinality s
  where jsonb_path_exists(s.value, '$.depends_on[*] ? (@.type() != "string")')
  order by s.ordinality limit 1;
  if problem is not null then return; end if;
  select format('steps[%s].depends_on', s."position" - 1), format('names "%s", which is no step of this template', d)
    into path, problem
  from ops.template_steps(p_template) s, unnest(s.depends_on) d
  where not exists (select from ops.template_steps(p_template) o where o.key = d)
  order by s."position" limit 1;
  if problem is not null then return; end if;

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
    problem := 'is part of a circle: these steps wait for each other'; return;
  end if;
  path := null;

  select format('steps[%s].params', s."position" - 1),
      format('uses the result of "%s", which is not done before this step', m.match[1])
    into path, problem
  from ops.template_steps(p_template) s,
    lateral (select regexp_matches(s.params::text, '\{\{\s*steps\.([A-Za-z0-9_-]+)', 'g') as match) m
  where not (v_before -> s.key) ? (m.match[1])
  order by s."position" limit 1;
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
