-- What clients ask of the gate: to propose, one or many, and what it would say.

-- Proposes one mission: the single entry for clients. A dedupe key that live work holds answers with that proposal.
-- Errors: OPS_004 with the JSON path of the template's problem, OPS_011 for the source or key.
create function public.ops_create_proposal_and_maybe_autoapprove(p_dedupe_key text, p_source text, p_template jsonb)
returns table (proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan
as $$
declare
  v_answer ops.gate_answer;
begin
  if p_dedupe_key is not null then
    perform ops.lock_keys(array[p_dedupe_key]);
  end if;
  v_answer := ops.pass_one(row(1, ops.new_id(), p_template, p_source, p_dedupe_key, null, null, null, null, null, null, 0, null, null));
  if v_answer.status = 'invalid' then
    perform ops.fail(v_answer.code, v_answer.reason, v_answer.verdict ->> 'path');
  end if;
  proposal_id := v_answer.proposal_id;
  status := v_answer.status;
  mission_id := v_answer.mission_id;
  reason := v_answer.reason;
  code := v_answer.code;
  verdict := v_answer.verdict;
  return next;
end
$$;

-- Proposes up to 1,000 missions: [{"template", "source", "dedupe_key"?, "dedupe_minutes"?, "idempotency_key"?, "proposed_by"?}].
-- `dedupe_minutes` keeps the key taken that long even when the work ends sooner; `idempotency_key` makes a retry answer as
-- the first call did. An item that is not valid is answered with status `invalid` and does not stop the others.
create function public.ops_create_proposals(p_proposals jsonb)
returns table (ordinal integer, proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan -- a plan for each batch would copy it
as $$
declare
  v_ids uuid[] := ops.new_ids(ops.require_array(p_proposals, 'p_proposals', 1000));
begin
  perform ops.lock_keys(array(select jsonb_array_elements_text(
    jsonb_path_query_array(p_proposals, '$[*].dedupe_key') || jsonb_path_query_array(p_proposals, '$[*].idempotency_key'))));
  return query
  select a.* from unnest(ops.pass_gate(array(
    select row(e.n, v_ids[e.n], e.item -> 'template', e.item ->> 'source', e.item ->> 'dedupe_key',
      -- JSON knows no NaN, so it can stand here for what is not a number.
      case when jsonb_typeof(e.item -> 'dedupe_minutes') in ('number', 'null') then e.item ->> 'dedupe_minutes'
        when e.item ? 'dedupe_minutes' then 'NaN' end::numeric,
      e.item ->> 'idempotency_key', e.item ->> 'proposed_by', null, null, null, 0, null, null)::ops.gate_item
    from jsonb_array_elements(p_proposals) with ordinality e(item, n) order by e.n))) a
  order by a.n;
end
$$;

-- What the gate would say to a template now. Changes nothing.
create function public.ops_gate_proposal(p_template jsonb)
returns table (ok boolean, reason text, code text, verdict jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wrong text[] := ops.template_fault(p_template);
  v_day date := ops.cap_day();
  v_units ops.cap_unit[];
begin
  if v_wrong is not null then
    return query select false, format('template: %s %s', v_wrong[1], v_wrong[2]), 'OPS_004', jsonb_build_object('path', v_wrong[1]);
    return;
  end if;
  v_units := ops.cap_units('api', null, p_template);
  return query select * from ops.foresee(p_template, v_day, v_units, ops.cap_verdict(v_day, v_units));
end
$$;

create function ops.foresee(p_template jsonb, p_day date, p_units ops.cap_unit[], p_verdict jsonb)
returns table (ok boolean, reason text, code text, verdict jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_obstacle text := ops.approval_obstacle(p_template, ops.gate_policies());
begin
  if p_verdict is not null then
    return query select false, ops.verdict_reason(p_verdict), p_verdict ->> 'code', p_verdict;
  elsif v_obstacle is not null then
    return query select false, 'waits for approval: ' || v_obstacle, 'pending_approval', ops.caps_counted(p_day, p_units);
  else
    return query select true, 'policy auto_approve would admit it now', 'auto_approved', ops.caps_counted(p_day, p_units);
  end if;
end
$$;

-- The same for a proposal that is there: a pending one is judged as if it came now, another answers its verdict; null answers
-- nothing. Errors: OPS_013 unknown proposal.
create function public.ops_gate_proposal(p_proposal_id uuid)
returns table (ok boolean, reason text, code text, verdict jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proposal public.ops_mission_proposals;
  v_day date := ops.cap_day();
  v_units ops.cap_unit[];
begin
  if p_proposal_id is null then
    return;
  end if;
  select * into v_proposal from public.ops_mission_proposals where id = p_proposal_id;
  if not found then
    perform ops.fail('OPS_013', format('there is no proposal %s', p_proposal_id), 'p_proposal_id');
  end if;
  if v_proposal.status <> 'pending' then
    return query select v_proposal.status in ('approved', 'auto_approved'), v_proposal.reason, v_proposal.code, v_proposal.verdict;
    return;
  end if;
  v_units := ops.cap_units(v_proposal.source, v_proposal.pattern_id, v_proposal.template);
  return query select * from ops.foresee(v_proposal.template, v_day, v_units,
    ops.cap_verdict(v_day, v_units, v_proposal.cap_day = v_day));
end
$$;
