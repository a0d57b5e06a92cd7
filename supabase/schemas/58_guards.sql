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
