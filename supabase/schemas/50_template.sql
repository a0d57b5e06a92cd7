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
