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
