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
