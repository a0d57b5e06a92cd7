-- From event to reaction. Matching is done outside, purely; what it decided is settled here, in one call for a batch, so that any number of
-- overlapping heartbeats give the result of one. What holds a match back: 58_guards.sql.

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
