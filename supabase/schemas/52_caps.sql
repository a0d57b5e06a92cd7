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
