-- One proposal by itself, at the gate of 55_gate.sql: the way of a client that proposes as it goes, and the one that has to be quick.

-- One item through the gate by itself. What the functions for many do with sets is done with single values here, which costs a third;
-- they are asked for what is rare: rejections, missions of several steps.
create function ops.pass_one(p_item ops.gate_item) returns ops.gate_answer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_problem jsonb := ops.item_problem(p_item);
  v_digest text;
  v_known ops.gate_outcome[];
  v_policies jsonb;
  v_day date;
  v_units ops.cap_unit[];
  v_stop jsonb;
  v_counted text;
  v_verdict jsonb;
  v_obstacle text;
  v_usd numeric;
  v_now timestamptz;
  v_mission_id uuid;
  v_steps integer;
  v_step jsonb;
  v_kind text;
  v_run_at timestamptz;
  v_name text;
  v_step_id uuid;
  v_executor text;
  v_priority smallint;
begin
  if v_problem is not null then
    return row(null, 'invalid', null, v_problem ->> 'message', v_problem ->> 'code', jsonb_build_object('path', v_problem ->> 'path'))::ops.gate_answer;
  end if;
  if p_item.dedupe_key is not null or p_item.idempotency_key is not null then
    loop
      v_known := ops.known_answers(array[p_item]);
      if v_known <> '{}' then
        return row(v_known[1].proposal_id, v_known[1].status, v_known[1].mission_id, v_known[1].reason, v_known[1].code, v_known[1].verdict)::ops.gate_answer;
      end if;
      exit when ops.take_keys(array[p_item]);
    end loop;
  end if;
  v_policies := ops.gate_policies();
  v_obstacle := ops.approval_obstacle(p_item.template, v_policies);
  v_digest := encode(sha256(convert_to(p_item.template::text, 'UTF8')), 'hex'); -- ops.template_digest(), without the call
  v_units := ops.cap_units(p_item.source, p_item.pattern_id, p_item.template, coalesce(v_policies -> 'proposal_caps', '{}'));
  v_day := ops.cap_day(v_policies #>> '{proposal_caps,time_zone}');
  v_counted := ops.count_in_stripe(v_day, v_units);
  if v_counted is not null then
    v_verdict := format('{"day": "%s", "time_zone": %s, "counted": [%s]}', v_day,
      to_json(coalesce(v_policies #>> '{proposal_caps,time_zone}', 'UTC')), v_counted);
  else
    -- What has been committed leaves no room, or all stripes must be looked at.
    v_stop := ops.cap_verdict(v_day, v_units);
    if v_stop is null then
      perform ops.lock_caps(v_day);
      v_stop := ops.take_caps(v_day, v_units);
    end if;
    if v_stop is not null then
      p_item.digest := v_digest;
      perform ops.turn_away(array[p_item], array[v_stop], v_policies);
      return row(p_item.id, 'rejected', null, ops.verdict_reason(v_stop), v_stop ->> 'code', v_stop)::ops.gate_answer;
    end if;
    v_verdict := ops.caps_counted(v_day, v_units);
  end if;
  v_usd := case when v_units[1].scope = 'daily' then v_units[1].usd else v_units[2].usd end; -- an agent comes first
  v_now := ops.now();
  if v_obstacle is not null then
    insert into public.ops_mission_proposals (id, dedupe_key, source, status, template, reason, policy_snapshot, created_at, code, verdict, digest,
      idempotency_key, proposed_by, pattern_id, cap_day, reserved_usd, updated_at, expires_at)
    values (p_item.id, p_item.dedupe_key, p_item.source, 'pending', p_item.template, 'waits for approval: ' || v_obstacle, v_policies -> 'snapshot',
      v_now, 'pending_approval', v_verdict, v_digest, p_item.idempotency_key, coalesce(p_item.proposed_by, p_item.template ->> 'agent'),
      p_item.pattern_id, v_day, v_usd, v_now, v_now + coalesce((v_policies #> '{approvals,expires_minutes}')::numeric, 1440) * interval '1 minute');
    perform ops.tell_pending(array[p_item]);
    return row(p_item.id, 'pending', null, 'waits for approval: ' || v_obstacle, 'pending_approval', v_verdict)::ops.gate_answer;
  end if;
  v_steps := jsonb_array_length(p_item.template -> 'steps');
  v_step := p_item.template #> '{steps,0}';
  v_kind := v_step ->> 'kind';
  v_name := p_item.id::text;
  -- A mission of one step comes into being with its proposal. Ids are the proposal's with the last twelve digits in another order, so that
  -- each ends, as people call it, in digits of its own.
  if v_step ?| '{delay_seconds,run_at}' then
    v_run_at := greatest(v_now + coalesce((v_step -> 'delay_seconds')::integer, 0) * interval '1 second', (v_step ->> 'run_at')::timestamptz);
  else
    v_run_at := v_now;
  end if;
  v_mission_id := (left(v_name, 24) || right(v_name, 8) || substr(v_name, 25, 4))::uuid;
  with decision as (
    insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, at)
    values (p_item.id, 'auto_approved', v_digest, 'policy:auto_approve', ops.actor_context(), v_now)
  ), proposal as (
    insert into public.ops_mission_proposals (id, dedupe_key, source, status, template, reason, policy_snapshot, approved_at, created_at, code,
      verdict, digest, idempotency_key, proposed_by, pattern_id, cap_day, reserved_usd, decided_at, decided_by, updated_at)
    values (p_item.id, p_item.dedupe_key, p_item.source, 'auto_approved', p_item.template, 'admitted by policy auto_approve',
      v_policies -> 'snapshot', v_now, v_now, 'auto_approved', v_verdict, v_digest, p_item.idempotency_key,
      coalesce(p_item.proposed_by, p_item.template ->> 'agent'), p_item.pattern_id, v_day, v_usd, v_now, 'policy:auto_approve', v_now)
  ), mission as (
    insert into public.ops_missions (id, proposal_id, policy_snapshot, title, source, agent, dedupe_key, root_event_id, depth,
      steps_total, steps_open, created_at, updated_at)
    select v_mission_id, p_item.id, v_policies -> 'snapshot', p_item.template ->> 'title', p_item.source, p_item.template ->> 'agent',
      p_item.dedupe_key, coalesce(p_item.root_event_id, p_item.id), coalesce(p_item.depth, 0), 1, 1, v_now, v_now
    where v_steps = 1
  )
  insert into public.ops_mission_steps (id, mission_id, kind, params, status, executor, created_at, updated_at, key, position, agent,
    depends_on, uses_results, priority, run_at, delay_seconds, ready, timeout_seconds, declared_retries, cost_reserved_usd, revision, service)
  select (left(v_name, 24) || right(v_name, 4) || substr(v_name, 25, 8))::uuid, v_mission_id, v_kind, coalesce(v_step -> 'params', '{}'),
    'queued', coalesce(v_step ->> 'executor', split_part(v_kind, ':', 1)), v_now, v_now, coalesce(v_step ->> 'key', 'step-1'), 1,
    coalesce(v_step ->> 'agent', nullif(split_part(v_kind, ':', 2), ''), p_item.template ->> 'agent'), '{}',
    coalesce((v_step -> 'params')::text ~ '\{\{\s*steps\.', false),
    coalesce((v_step -> 'priority')::smallint, (p_item.template -> 'priority')::smallint, 0::smallint), v_run_at,
    coalesce((v_step -> 'delay_seconds')::integer, 0), v_run_at <= v_now, (v_step -> 'timeout_seconds')::integer,
    (v_step -> 'max_retries')::integer, coalesce((v_step -> 'cost_usd')::numeric, 0), 1, v_step ->> 'service'
  where v_steps = 1
  returning id, executor, priority, run_at into v_step_id, v_executor, v_priority, v_run_at;
  if v_steps = 1 then
    if exists (select from ops.sleepers where until > v_now) then
      perform ops.wake_for(v_step_id, v_executor, v_priority, v_run_at);
    end if;
  else
    p_item.shape := 1;
    v_mission_id := (ops.make_missions(array[p_item], array[row(1, p_item.template, null, null)::ops.gate_shape], v_policies -> 'snapshot'))[1];
  end if;
  return row(p_item.id, 'auto_approved', v_mission_id, 'admitted by policy auto_approve', 'auto_approved', v_verdict)::ops.gate_answer;
end
$$;
