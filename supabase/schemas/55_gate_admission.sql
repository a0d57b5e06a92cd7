-- Behind the gate: proposals are stored as what they became, at work, held for a person or rejected.

-- Stores items that are rejected, and sets their keys free.
create function ops.turn_away(p_items ops.gate_item[], p_verdicts jsonb[], p_policies jsonb) returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_snapshot jsonb := p_policies -> 'snapshot';
  v_reasons text[] := array(select ops.verdict_reason(verdict) from unnest(p_verdicts) verdict);
begin
  insert into public.ops_mission_proposals (
    id, dedupe_key, source, status, template, reason, policy_snapshot, created_at, code, verdict, digest, idempotency_key, proposed_by,
    pattern_id, reaction_id, root_event_id, depth, decided_at, decided_by, updated_at)
  select i.id, i.dedupe_key, i.source, 'rejected', i.template, i.reason, v_snapshot, v_now, i.verdict ->> 'code', i.verdict, i.digest,
    i.idempotency_key, coalesce(i.proposed_by, i.template ->> 'agent'), i.pattern_id, i.reaction_id, i.root_event_id, coalesce(i.depth, 0),
    v_now, 'gate', v_now
  from unnest(p_items, p_verdicts, v_reasons) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
    reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict, reason);
  delete from ops.live_keys k using unnest(p_items) i where k.dedupe_key = i.dedupe_key and k.proposal_id = i.id;
  return array(select row(i.n, i.id, 'rejected', null, i.reason, i.verdict ->> 'code', i.verdict)::ops.gate_outcome
    from unnest(p_items, p_verdicts, v_reasons) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict, reason));
end
$$;

-- Admits items that have been counted: at work at once, or held for a person. The engine's own canaries, which
-- no cap and no rule holds, come by themselves, without a day.
create function ops.admit(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_totals ops.cap_unit[], p_day date, p_policies jsonb)
returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_snapshot jsonb := p_policies -> 'snapshot';
  v_actor jsonb := ops.actor_context();
  v_code text := case when p_day is null then 'canary' else 'auto_approved' end;
  v_reason text := case when p_day is null then 'the engine''s own canary' else 'admitted by policy auto_approve' end;
  v_verdicts jsonb[] := ops.verdicts(p_items, p_shapes, p_totals, p_day, p_policies);
  v_usd numeric[] := array(select coalesce((select sum(u.usd) from unnest(s.units) u), 0) from unnest(p_shapes) s order by s.shape);
  v_at_work ops.gate_item[] := p_items;
  v_missions uuid[];
  v_held ops.gate_outcome[] := '{}';
begin
  if p_items[1].reaction_id is not null and p_day is not null then -- a batch comes from reactions or from clients
    perform ops.count_roots(p_items, p_policies);
  end if;
  if exists (select from unnest(p_shapes) s where s.obstacle is not null) then
    v_held := ops.hold(p_items, p_shapes, v_verdicts, v_usd, p_day, p_policies);
    v_verdicts := array(select i.verdict from unnest(p_items, v_verdicts) i(n, id, template, source, dedupe_key, dedupe_minutes,
      idempotency_key, proposed_by, reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict)
      where (p_shapes[i.shape]).obstacle is null);
    v_at_work := array(select i from unnest(p_items) i where (p_shapes[i.shape]).obstacle is null);
    if v_at_work = '{}' then
      return v_held;
    end if;
  end if;

  with proposal as (
    insert into public.ops_mission_proposals (
      id, dedupe_key, source, status, template, reason, policy_snapshot, approved_at, created_at, code, verdict, digest,
      idempotency_key, proposed_by, pattern_id, reaction_id, root_event_id, depth, cap_day, reserved_usd,
      decided_at, decided_by, updated_at)
    select i.id, i.dedupe_key, i.source, 'auto_approved', i.template, v_reason, v_snapshot, v_now, v_now, v_code, i.verdict, i.digest,
      i.idempotency_key, coalesce(i.proposed_by, i.template ->> 'agent'), i.pattern_id, i.reaction_id, i.root_event_id, coalesce(i.depth, 0),
      p_day, v_usd[i.shape], v_now, 'policy:auto_approve', v_now
    from unnest(v_at_work, v_verdicts) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict)
    returning id, digest
  )
  insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, at)
  select p.id, 'auto_approved', p.digest, 'policy:auto_approve', v_actor, v_now from proposal p;
  v_missions := ops.make_missions(v_at_work, p_shapes, v_snapshot);
  return array(select row(i.n, i.id, 'auto_approved', i.mission_id, v_reason, v_code, i.verdict)::ops.gate_outcome
    from unnest(v_at_work, v_verdicts, v_missions) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict, mission_id)) || v_held;
end
$$;

-- Stores those of the items that a person must decide on, and tells people of them.
create function ops.hold(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_verdicts jsonb[], p_usd numeric[], p_day date, p_policies jsonb)
returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_expires timestamptz := v_now + coalesce((p_policies #> '{approvals,expires_minutes}')::numeric, 1440) * interval '1 minute';
  v_snapshot jsonb := p_policies -> 'snapshot';
begin
  insert into public.ops_mission_proposals (
    id, dedupe_key, source, status, template, reason, policy_snapshot, created_at, code, verdict, digest,
    idempotency_key, proposed_by, pattern_id, reaction_id, root_event_id, depth, cap_day, reserved_usd, expires_at, updated_at)
  select i.id, i.dedupe_key, i.source, 'pending', i.template, 'waits for approval: ' || (p_shapes[i.shape]).obstacle, v_snapshot, v_now,
    'pending_approval', i.verdict, i.digest, i.idempotency_key, coalesce(i.proposed_by, i.template ->> 'agent'), i.pattern_id,
    i.reaction_id, i.root_event_id, coalesce(i.depth, 0), p_day, p_usd[i.shape], v_expires, v_now
  from unnest(p_items, p_verdicts) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
    reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict)
  where (p_shapes[i.shape]).obstacle is not null;
  perform ops.tell_pending(array(select i from unnest(p_items) i where (p_shapes[i.shape]).obstacle is not null));
  return array(select row(i.n, i.id, 'pending', null, 'waits for approval: ' || (p_shapes[i.shape]).obstacle, 'pending_approval', i.verdict)::ops.gate_outcome
    from unnest(p_items, p_verdicts) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, verdict)
    where (p_shapes[i.shape]).obstacle is not null);
end
$$;

-- The events that tell people what waits for them.
create function ops.tell_pending(p_items ops.gate_item[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into public.ops_agent_events (type, data, proposal_id, root_event_id, depth)
  select 'proposal:pending', jsonb_build_object('proposal_id', i.id, 'title', i.template ->> 'title', 'source', i.source,
    'risk_level', coalesce(i.template ->> 'risk_level', 'medium')), i.id, coalesce(i.root_event_id, i.id), coalesce(i.depth, 0) + 1
  from unnest(p_items) i order by i.n;
end
$$;
