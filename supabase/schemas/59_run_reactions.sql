-- From reaction to proposal: reactions pass the gate in batches. One that cannot become a proposal fails by itself and stops no other.

-- What became of a reaction; status `invalid` when it could not become a proposal.
create type ops.reaction_answer as (reaction_id uuid, proposal_id uuid, status text, mission_id uuid, code text, reason text);

-- Takes up to p_limit queued reactions, oldest first, through the gate. A reaction that cannot become a proposal is marked
-- failed with its error and does not stop the others. Nothing happens while reactions are paused.
create function public.ops_run_reactions(p_limit integer)
returns table (reaction_id uuid, status text, proposal_id uuid, proposal_status text, mission_id uuid, code text, reason text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan -- a plan for each batch would copy it
as $$
declare
  v_reactions public.ops_agent_reactions[];
  v_ids uuid[];
  v_answers ops.reaction_answer[];
begin
  if ops.paused('reactions') then
    return;
  end if;
  select array_agg(t.r order by (t.r).created_at, (t.r).id) into v_reactions
  from (select q as r from public.ops_agent_reactions q where q.status = 'queued'
        order by q.created_at, q.id limit least(p_limit, 1000) for no key update skip locked) t;
  if v_reactions is null then
    return;
  end if;
  perform ops.lock_keys(array(select r.payload ->> 'dedupe_key' from unnest(v_reactions) r));
  v_ids := ops.new_ids(array_length(v_reactions, 1));

  v_answers := ops.answer_reactions(array(
    select row(r.n, v_ids[r.n], r.payload -> 'proposal_template', r.payload ->> 'proposal_source', r.payload ->> 'dedupe_key', null, null,
      null, r.id, r.pattern_id, coalesce(e.root_event_id, e.id), e.depth, null, null)::ops.gate_item
    from unnest(v_reactions) with ordinality r(id, event_id, status, payload, pattern_id, created_at, updated_at, n)
    join public.ops_agent_events e on e.id = r.event_id order by r.n));

  update public.ops_agent_reactions r
  set status = case a.status when 'invalid' then 'failed' else 'done' end,
    payload = case when r.payload -> 'error' is null then r.payload else r.payload - 'error' end || case a.status
      when 'invalid' then jsonb_build_object('error', jsonb_build_object('code', a.code, 'message', a.reason))
      -- As text: half of what jsonb_build_object takes, and nothing to strip.
      else ('{"result": {' || substr(concat(', "code": ' || to_json(a.code), ', "reason": ' || to_json(a.reason), ', "status": ' || to_json(a.status),
        ', "mission_id": "' || a.mission_id || '"', ', "proposal_id": "' || a.proposal_id || '"'), 3) || '}}')::jsonb end
  from unnest(v_answers) a where r.id = a.reaction_id;

  return query
  select a.reaction_id, case a.status when 'invalid' then 'failed' else 'done' end, a.proposal_id, nullif(a.status, 'invalid'), a.mission_id,
    a.code, a.reason
  from unnest(v_answers) a;
end
$$;

-- Reactions at the gate. What nobody foresaw is looked for in halves, until the one that it belongs to has failed by itself.
create function ops.answer_reactions(p_items ops.gate_item[]) returns ops.reaction_answer[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_half integer := array_length(p_items, 1) / 2;
begin
  return array(select row(i.reaction_id, a.proposal_id, a.status, a.mission_id, a.code, a.reason)::ops.reaction_answer
    from unnest(ops.pass_gate(p_items)) a join unnest(p_items) i on i.n = a.n order by a.n);
exception
  when query_canceled or admin_shutdown or lock_not_available or deadlock_detected or serialization_failure then
    raise;
  when others then
    if v_half = 0 then
      return array[row(p_items[1].reaction_id, null, 'invalid', null, sqlstate, sqlerrm)::ops.reaction_answer];
    end if;
    return ops.answer_reactions(p_items[:v_half]) || ops.answer_reactions(p_items[v_half + 1:]);
end
$$;
