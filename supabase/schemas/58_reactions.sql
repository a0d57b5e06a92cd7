-- From event to reaction to proposal. Matching is done outside, purely; what it decided is settled here, in one call for
-- a batch, so that any number of overlapping heartbeats give the result of one.

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

-- What becomes of one match: null when it fires, otherwise the guard that stops it. Moves the guards' state.
-- Times are the event's own, so that a backlog settles as it would have settled live.
create function ops.hold_back(p_event public.ops_agent_events, p_decision jsonb, p_max_depth integer) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pattern text := p_decision ->> 'pattern_id';
  v_shadow boolean := p_decision ->> 'mode' = 'shadow';
  v_key text;
  v_since timestamptz;
  v_hits integer;
begin
  if p_event.depth >= p_max_depth then
    return 'depth';
  end if;

  if jsonb_typeof(p_decision -> 'threshold') = 'object' then
    v_key := coalesce(p_decision #>> '{threshold,key}', '');
    v_since := p_event.created_at - (p_decision #>> '{threshold,within_minutes}')::numeric * interval '1 minute';
    insert into ops.threshold_hits (pattern_id, key, shadow, at, event_id)
    values (v_pattern, v_key, v_shadow, p_event.created_at, p_event.id) on conflict do nothing;
    delete from ops.threshold_hits h where h.pattern_id = v_pattern and h.key = v_key and h.shadow = v_shadow and h.at <= v_since;
    select count(*) into v_hits from ops.threshold_hits h
    where h.pattern_id = v_pattern and h.key = v_key and h.shadow = v_shadow and h.at <= p_event.created_at;
    if v_hits < (p_decision #>> '{threshold,count}')::integer then
      return 'threshold';
    end if;
  end if;

  -- Read only here; the clock starts when nothing else holds the match back.
  if jsonb_typeof(p_decision -> 'cooldown') = 'object' and exists (
    select from ops.cooldowns c
    where c.pattern_id = v_pattern and c.key = coalesce(p_decision #>> '{cooldown,key}', '') and c.shadow = v_shadow
      and p_event.created_at < c.fired_at + (p_decision #>> '{cooldown,minutes}')::numeric * interval '1 minute')
  then
    return 'cooldown';
  end if;

  if p_decision ->> 'dedupe_key' is not null and not v_shadow and (
    exists (select from ops.live_keys k
            where k.dedupe_key = p_decision ->> 'dedupe_key' and (k.live or k.held_until > ops.now()))
    or exists (select from public.ops_agent_reactions r
               where r.status = 'queued' and r.payload ->> 'dedupe_key' = p_decision ->> 'dedupe_key'))
  then
    return 'dedupe';
  end if;

  if jsonb_typeof(p_decision -> 'cooldown') = 'object' then
    insert into ops.cooldowns as c (pattern_id, key, shadow, fired_at, event_id)
    values (v_pattern, coalesce(p_decision #>> '{cooldown,key}', ''), v_shadow, p_event.created_at, p_event.id)
    on conflict (pattern_id, key, shadow) do update set fired_at = excluded.fired_at, event_id = excluded.event_id;
  end if;
  if jsonb_typeof(p_decision -> 'threshold') = 'object' then
    delete from ops.threshold_hits h where h.pattern_id = v_pattern and h.key = v_key and h.shadow = v_shadow;
  end if;
  return null;
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
as $$
#variable_conflict use_column
declare
  v_max_depth integer := coalesce((ops.policy('control') ->> 'max_depth')::integer, 8);
  v_row record;
  v_event public.ops_agent_events;
  v_item jsonb;
  v_decision jsonb;
  v_decisions jsonb;
  v_held text;
  v_done uuid[] := '{}';
begin
  perform ops.require_array(p_events, 'p_events', 1000);
  perform pg_advisory_xact_lock(hashtextextended('ops settle', 0));

  for v_row in
    select e as event, i as item
    from jsonb_array_elements(p_events) i
    join public.ops_agent_events e on e.id = (i ->> 'event_id')::uuid
    where e.processed_at is null
    order by e.created_at, e.id
    for no key update of e
  loop
    v_event := v_row.event;
    v_item := v_row.item;
    continue when v_event.id = any (v_done);
    v_done := v_done || v_event.id;
    v_decisions := '[]';
    queued := 0;
    for v_decision in select jsonb_array_elements(coalesce(v_item -> 'decisions', '[]')) loop
      if v_decision ->> 'decision' = 'matched' then
        v_held := ops.hold_back(v_event, v_decision, v_max_depth);
        if v_held is not null then
          v_decision := v_decision || jsonb_build_object('decision', v_held);
        elsif v_decision ->> 'mode' = 'shadow' then
          insert into ops.shadow_reactions (event_id, pattern_id, payload)
          values (v_event.id, v_decision ->> 'pattern_id', ops.reaction_payload(v_event.type, v_decision)) on conflict do nothing;
        else
          insert into public.ops_agent_reactions (event_id, payload)
          values (v_event.id, ops.reaction_payload(v_event.type, v_decision)) on conflict do nothing;
          if found then
            queued := queued + 1;
          end if;
        end if;
      end if;
      v_decisions := v_decisions || jsonb_strip_nulls(jsonb_build_object('pattern_id', v_decision -> 'pattern_id',
        'decision', v_decision -> 'decision', 'mode', v_decision -> 'mode', 'detail', v_decision -> 'detail',
        'cooldown', v_decision -> 'cooldown', 'threshold', v_decision -> 'threshold', 'dedupe_key', v_decision -> 'dedupe_key'));
    end loop;
    insert into ops.event_verdicts (event_id, policy_version, decisions, error)
    values (v_event.id, p_policy_version, v_decisions, v_item ->> 'error')
    on conflict (event_id) do update set policy_version = excluded.policy_version, decisions = excluded.decisions,
      error = excluded.error, settled_at = ops.now();
    event_id := v_event.id;
    outcome := 'settled';
    return next;
  end loop;
  update public.ops_agent_events set processed_at = ops.now() where id = any (v_done);

  return query
  select distinct (i ->> 'event_id')::uuid, 'skipped', 0 from jsonb_array_elements(p_events) i
  where (i ->> 'event_id')::uuid <> all (v_done);
end
$$;

create function ops.reaction_payload(p_event_type text, p_decision jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_strip_nulls(jsonb_build_object(
    'pattern_id', p_decision -> 'pattern_id', 'event_type', p_event_type,
    'proposal_source', coalesce(p_decision ->> 'proposal_source', 'reaction'), 'dedupe_key', p_decision -> 'dedupe_key'))
    || jsonb_build_object('proposal_template', p_decision -> 'template');
end
$$;

-- Takes up to p_limit queued reactions, oldest first, through the gate. A reaction that cannot become a proposal is marked
-- failed with its error and does not stop the others. Nothing happens while reactions are paused.
create function public.ops_run_reactions(p_limit integer)
returns table (reaction_id uuid, status text, proposal_id uuid, proposal_status text, mission_id uuid, code text, reason text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_reactions public.ops_agent_reactions[];
  v_reaction public.ops_agent_reactions;
  v_event public.ops_agent_events;
  v_answer ops.gate_answer;
begin
  if ops.paused('reactions') then
    return;
  end if;
  select array_agg(t.r order by (t.r).created_at, (t.r).id) into v_reactions
  from (select q as r from public.ops_agent_reactions q where q.status = 'queued'
        order by q.created_at, q.id limit least(p_limit, 1000) for no key update skip locked) t;
  perform ops.lock_keys(array(select r.payload ->> 'dedupe_key' from unnest(v_reactions) r));

  foreach v_reaction in array coalesce(v_reactions, '{}') loop
    select * into v_event from public.ops_agent_events e where e.id = v_reaction.event_id;
    begin
      v_answer := ops.pass_gate(v_reaction.payload -> 'proposal_template', v_reaction.payload ->> 'proposal_source',
        v_reaction.payload ->> 'dedupe_key', null, null, null, v_reaction.id, v_reaction.pattern_id,
        coalesce(v_event.root_event_id, v_event.id), v_event.depth);
      status := 'done';
      proposal_id := v_answer.proposal_id; proposal_status := v_answer.status; mission_id := v_answer.mission_id;
      code := v_answer.code; reason := v_answer.reason;
      update public.ops_agent_reactions r
      set status = 'done', payload = r.payload || jsonb_build_object('result', jsonb_strip_nulls(to_jsonb(v_answer) - 'verdict'))
      where r.id = v_reaction.id;
    exception
      when query_canceled or admin_shutdown or lock_not_available or deadlock_detected or serialization_failure then
        raise;
      when others then
        status := 'failed';
        proposal_id := null; proposal_status := null; mission_id := null;
        code := case when sqlstate like 'OP0%' then 'OPS_' || right(sqlstate, 3) else sqlstate end;
        reason := sqlerrm;
        update public.ops_agent_reactions r
        set status = 'failed', payload = r.payload || jsonb_build_object('error', jsonb_build_object('code', code, 'message', reason))
        where r.id = v_reaction.id;
    end;
    reaction_id := v_reaction.id;
    return next;
  end loop;
end
$$;
