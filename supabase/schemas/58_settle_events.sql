-- From event to reaction. Matching is done outside, purely; what it decided is settled here, in one call for a batch, so that any number of
-- overlapping heartbeats give the result of one.

-- The oldest events that nobody has settled yet. Empty while reactions are paused.
create function public.ops_pending_events(p_limit integer)
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
  order by e.created_at, e.id
  limit least(p_limit, 1000)
$$;

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

-- Which guards hold matches back, by the number of the decision: null where none does. Where there are only cooldowns, as in most
-- batches, the first match of a pattern and key that the last firing lets through fires, and the others are held back; where the
-- last of them would be late enough to fire again, and for all other guards, matches are asked in turn.
-- p_events: which event each decision is about. p_cooldowns: 'cooldown' for each match that has one. p_only_cooldowns: no decision has
-- a threshold or a dedupe key.
create function ops.hold_back(p_ids uuid[], p_times timestamptz[], p_depths integer[], p_events integer[], p_decisions jsonb[],
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
      from unnest(p_events, p_decisions, p_cooldowns) with ordinality d(event, value, stop, number) where d.stop is not null offset 0
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
  return ops.hold_back_in_turn(p_ids, p_times, p_depths, p_events, p_decisions, v_max_depth);
end
$$;

-- The same for any guards, match by match, in the order of the events, because each match that fires starts clocks for those that
-- follow; what the guards knew before is read by one statement, and what they know then is written by one. Times are the events'
-- own, so that a backlog settles as it would have live.
create function ops.hold_back_in_turn(p_ids uuid[], p_times timestamptz[], p_depths integer[], p_events integer[], p_decisions jsonb[],
  p_max_depth integer) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stops text[] := array_fill(null::text, array[coalesce(array_length(p_decisions, 1), 0)]);
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
        from unnest(p_events, p_decisions) with ordinality d(event, value, number)
        where d.value ->> 'decision' = 'matched'
          and (d.value ?| array['cooldown', 'threshold', 'dedupe_key'] or p_depths[d.event] >= p_max_depth)) d) m
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

-- Settles events that were matched: [{"event_id", "decisions": [{"pattern_id", "decision", "detail"?, "mode", "cooldown"?,
-- "threshold"?, "dedupe_key"?, "proposal_source"?, "template"?}], "error"?}]. Each is marked processed, its decisions are kept
-- for ops_why, and each match that no guard stops becomes a queued reaction (or a shadow one). Outcome `skipped`: another
-- beat settled it before. Batches settle one after the other, in the order of their events.
create function public.ops_settle_events(p_policy_version integer, p_events jsonb)
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
  v_given uuid[];
  v_in_order boolean;
  v_ids uuid[];
  v_types text[];
  v_times timestamptz[];
  v_depths integer[];
  -- By event: where in p_events it stands, from 0.
  v_at integer[];
  -- By decision: which event it is about, what it says, and what holds it back.
  v_events integer[];
  v_decisions jsonb[];
  v_cooldowns text[];
  v_only_cooldowns boolean;
  v_stops text[];
  -- By reaction and by shadow of one: which event it answers.
  v_answered integer[];
  v_payloads jsonb[];
  v_shadowed integer[];
  v_shadow_payloads jsonb[];
  -- By event: how many reactions.
  v_queued integer[];
  v_event integer;
begin
  perform ops.require_array(p_events, 'p_events', 1000);
  perform pg_advisory_xact_lock(hashtextextended('ops settle', 0));
  v_now := ops.now();

  v_given := array(select (g.item ->> 'event_id')::uuid from jsonb_array_elements(p_events) with ordinality g(item, n) order by g.n);
  -- Found by their ids: the index of what is unprocessed would give all that waits, for each call.
  select array_agg(l.id), array_agg(l.type), array_agg(l.created_at), array_agg(l.depth)
    into v_ids, v_types, v_times, v_depths
  from (
    select e.id, e.type, e.created_at, e.depth from public.ops_agent_events e
    where e.id = any (v_given) and num_nulls(e.processed_at) = 1
    order by e.created_at, e.id
    for no key update of e) l;
  -- Mostly they were given in their order. Of a pair, the first counts.
  v_in_order := v_ids = v_given;
  v_at := array(
    select (case when v_in_order then e.at else array_position(v_given, e.id) end - 1)::integer
    from unnest(v_ids) with ordinality e(id, at) order by e.at);
  -- An event that no pattern decided about has one decision, null.
  select array_agg(e.at), array_agg(d.value),
      array_agg(case when d.value ->> 'decision' = 'matched' and jsonb_typeof(d.value -> 'cooldown') = 'object' then 'cooldown' end),
      bool_and((d.value ?| array['threshold', 'dedupe_key']) is not true)
    into v_events, v_decisions, v_cooldowns, v_only_cooldowns
  from unnest(v_at) with ordinality e(n, at)
    left join lateral jsonb_array_elements(case when jsonb_typeof(p_events -> e.n -> 'decisions') = 'array' then p_events -> e.n -> 'decisions' end) d(value) on true;
  v_stops := ops.hold_back(v_ids, v_times, v_depths, v_events, v_decisions, v_cooldowns, v_only_cooldowns);
  select array_agg(o.event) filter (where not o.shadow), array_agg(o.payload) filter (where not o.shadow),
      array_agg(o.event) filter (where o.shadow), array_agg(o.payload) filter (where o.shadow)
    into v_answered, v_payloads, v_shadowed, v_shadow_payloads
  from (
    select d.event, coalesce(d.value ->> 'mode' = 'shadow', false) as shadow,
      jsonb_build_object('event_type', v_types[d.event], 'pattern_id', d.value -> 'pattern_id',
          'proposal_source', coalesce(d.value ->> 'proposal_source', 'reaction'), 'proposal_template', d.value -> 'template')
        || case when d.value ->> 'dedupe_key' is null then '{}' else jsonb_build_object('dedupe_key', d.value -> 'dedupe_key') end as payload
    from unnest(v_events, v_decisions, v_stops) d(event, value, stop)
    where d.stop is null and d.value ->> 'decision' = 'matched') o;

  -- Nothing of this is there yet, unless an operator gave an event back to be settled again, or a pattern is named twice about one
  -- event. Then what is known is left out, and the verdict is a new one.
  for v_attempt in 1..2 loop
    begin
      if v_answered is not null then
        insert into public.ops_agent_reactions (id, event_id, payload, created_at, updated_at)
        select d.id, v_ids[d.event], d.payload, v_now, v_now
        from unnest(ops.new_ids(array_length(v_answered, 1)), v_answered, v_payloads) d(id, event, payload);
      end if;
      insert into ops.event_verdicts (event_id, policy_version, decisions, error, settled_at)
      select v_ids[v.event], p_policy_version, jsonb_strip_nulls(jsonb_build_array(variadic v.decisions)), p_events -> v_at[v.event] ->> 'error', v_now
      from (
        select d.event, coalesce(array_agg(case when d.stop is null then d.value - array['template', 'proposal_source']
            else d.value - array['template', 'proposal_source'] || jsonb_build_object('decision', d.stop) end order by d.number)
          filter (where d.value is not null), '{}') as decisions
        from unnest(v_events, v_decisions, v_stops) with ordinality d(event, value, stop, number) group by d.event order by d.event) v;
      exit;
    exception when unique_violation then
      if v_attempt = 2 then
        raise;
      end if;
      delete from ops.event_verdicts v where v.event_id = any (v_ids);
      select array_agg(n.event order by n.number), array_agg(n.payload order by n.number) into v_answered, v_payloads
      from (
        select a.event, a.payload, a.number, row_number() over (partition by a.event, a.payload ->> 'pattern_id' order by a.number) as turn
        from unnest(v_answered, v_payloads) with ordinality a(event, payload, number)) n
      where (n.turn = 1 or n.payload ->> 'pattern_id' is null)
        and not exists (select from public.ops_agent_reactions r where r.event_id = v_ids[n.event] and r.pattern_id = n.payload ->> 'pattern_id');
    end;
  end loop;
  if v_shadowed is not null then
    insert into ops.shadow_reactions (event_id, pattern_id, payload)
    select v_ids[d.event], d.payload ->> 'pattern_id', d.payload
    from unnest(v_shadowed, v_shadow_payloads) with ordinality d(event, payload, number) order by d.number
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
