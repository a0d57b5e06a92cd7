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
