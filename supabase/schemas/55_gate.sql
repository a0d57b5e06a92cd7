-- The gate: the one place where a proposal is admitted, held for approval or rejected.
--
-- validate → dedupe → loop guard → caps → auto-approve or pending. Each verdict is a row with a code, a reason in words
-- and the numbers compared. A rejection uses up nothing. A held proposal keeps its place under the caps until it is
-- rejected or expires; approving it on a later day takes a place of that day.
--
-- Codes: auto_approved, pending_approval, duplicate, depth, missions_per_root_event, cap_daily, cap_source, cap_agent,
-- cap_step_kind, cap_pattern, budget, canary (the engine's own, which no cap and no rule holds); later approved, rejected, expired.

create function ops.risk_rank(p_level text) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_position(array['low', 'medium', 'high', 'critical'], coalesce(p_level, 'medium'));
end
$$;

-- Why policy `auto_approve` does not let the template run without a person, or null when it does: it is enabled, the risk is not
-- above `max_risk_level` and every step kind is listed (no list allows all; `kind:agent` lists one agent's steps of a kind). A
-- step that names an executor or agent of its own needs that listed too: what it calls itself opens no door. A missing or
-- disabled policy denies; a template without a risk level counts as medium.
create function ops.auto_approve_obstacle(p_template jsonb) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := ops.policy('auto_approve');
  v_kind text;
begin
  if v_policy is null then
    return 'there is no policy auto_approve';
  elsif not coalesce((v_policy ->> 'enabled')::boolean, false) then
    return 'policy auto_approve is not enabled';
  elsif jsonb_typeof(p_template -> 'steps') is distinct from 'array' then
    return 'the template has no steps';
  elsif v_policy ? 'max_risk_level'
    and coalesce(ops.risk_rank(p_template ->> 'risk_level'), 99) > ops.risk_rank(v_policy ->> 'max_risk_level')
  then
    return format('risk "%s" is above "%s", the highest that policy auto_approve admits',
      coalesce(p_template ->> 'risk_level', 'medium'), v_policy ->> 'max_risk_level');
  end if;
  if v_policy ? 'allowed_step_kinds' then
    select concat_ws(':', n.name, s.agent) into v_kind
    from ops.template_steps(p_template) s, unnest(array[split_part(s.kind, ':', 1), s.executor]) n(name)
    where not (v_policy -> 'allowed_step_kinds') ?| array[n.name, n.name || ':' || coalesce(s.agent, '')]
    order by s."position" limit 1;
  end if;
  return 'step kind "' || v_kind || '" is not among those that policy auto_approve admits';
end
$$;

-- Why a person must decide on the template at this moment, or null.
create function ops.approval_obstacle(p_template jsonb) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when ops.paused('approvals') then 'approvals are paused by the control switch' else ops.auto_approve_obstacle(p_template) end;
end
$$;

-- True when policy `auto_approve` lets the template run without a person.
create function public.ops_is_auto_approvable(p_template jsonb) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return ops.auto_approve_obstacle(p_template) is null;
end
$$;

-- The day that caps count in, by the policy's time zone.
create function ops.cap_day() returns date
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  return (ops.now() at time zone coalesce(ops.policy('proposal_caps') ->> 'time_zone', 'UTC'))::date;
end
$$;

-- What a template's steps say they will cost, in the counters' own precision.
create function ops.declared_usd(p_template jsonb) returns numeric
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select round(coalesce(sum((s ->> 'cost_usd')::numeric), 0), 6) from jsonb_array_elements(p_template -> 'steps') s);
end
$$;

-- What a proposal takes from one counter, beside the limit in force (null: none).
create type ops.cap_unit as (scope text, name text, units integer, usd numeric, max_units integer, max_usd numeric);

-- All that a proposal takes. A step counts under its kind and, where it names another, under its executor; agents of a kind
-- count together.
create function ops.cap_units(p_source text, p_pattern_id text, p_template jsonb) returns ops.cap_unit[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_caps jsonb := coalesce(ops.policy('proposal_caps'), '{}');
  v_agent text := p_template ->> 'agent';
  v_kinds ops.cap_unit[];
  v_units ops.cap_unit[] := '{}';
  v_usd numeric;
begin
  select array_agg(row('step_kind', k.kind, k.n, 0, (v_caps #>> array['per_step_kind', k.kind])::integer, null)::ops.cap_unit order by k.kind)
    into v_kinds
  from (select n.kind, count(*) as n
        from jsonb_array_elements(p_template -> 'steps') s,
          lateral (select split_part(s ->> 'kind', ':', 1) as kind union select s ->> 'executor') n
        where n.kind is not null group by n.kind) k;
  v_usd := ops.declared_usd(p_template);
  if v_agent is not null then
    v_units := v_units || row('agent', v_agent, 1, 0, (v_caps #>> array['per_agent', v_agent])::integer, null)::ops.cap_unit;
  end if;
  v_units := v_units || row('daily', '', 1, v_usd, (v_caps ->> 'daily_limit')::integer, (v_caps ->> 'daily_budget_usd')::numeric)::ops.cap_unit;
  if p_pattern_id is not null then
    v_units := v_units || row('pattern', p_pattern_id, 1, 0, (v_caps #>> array['per_pattern', p_pattern_id])::integer, null)::ops.cap_unit;
  end if;
  v_units := v_units || row('source', p_source, 1, 0,
    coalesce(v_caps #>> array['per_source', p_source], v_caps #>> array['per_source_limits', p_source])::integer, null)::ops.cap_unit;
  return v_units || v_kinds;
end
$$;

-- The first cap that has no room for p_units, as a verdict; null when there is room under all of them. Reads only.
-- p_held: the units are counted already, so the question is whether the count still fits.
create function ops.cap_verdict(p_day date, p_units ops.cap_unit[], p_held boolean default false) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_unit record;
  v_over_units boolean;
  v_over_usd boolean;
begin
  for v_unit in
    select u.*, coalesce(c.used, 0) as used, coalesce(c.used_usd, 0) as used_usd
    from unnest(p_units) with ordinality u
    left join ops.cap_counters c on c.day = p_day and c.scope = u.scope and c.name = u.name
    where u.max_units is not null or u.max_usd is not null
    order by u.ordinality
  loop
    v_over_units := v_unit.used + (case when p_held then 0 else v_unit.units end) > v_unit.max_units;
    v_over_usd := v_unit.usd > 0 and v_unit.used_usd + (case when p_held then 0 else v_unit.usd end) > v_unit.max_usd;
    if v_over_units or v_over_usd then
      return jsonb_strip_nulls(jsonb_build_object(
        'code', case when v_over_units then 'cap_' || v_unit.scope else 'budget' end,
        'name', nullif(v_unit.name, ''),
        'used', case when v_over_units then v_unit.used else v_unit.used_usd end,
        'wanted', case when v_over_units then v_unit.units else v_unit.usd end,
        'limit', case when v_over_units then v_unit.max_units else v_unit.max_usd end,
        'day', p_day,
        'time_zone', coalesce(ops.policy('proposal_caps') ->> 'time_zone', 'UTC')));
    end if;
  end loop;
  return null;
end
$$;

create function ops.verdict_reason(p_verdict jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case p_verdict ->> 'code'
    when 'depth' then format('loop guard: %s missions deep, at most %s are allowed', p_verdict ->> 'depth', p_verdict ->> 'limit')
    when 'missions_per_root_event' then format('loop guard: the chain of one event has started %s missions, at most %s are allowed',
      p_verdict ->> 'used', p_verdict ->> 'limit')
    when 'budget' then format('daily budget: $%s of $%s used on %s (%s), this needs $%s',
      p_verdict ->> 'used', p_verdict ->> 'limit', p_verdict ->> 'day', p_verdict ->> 'time_zone', p_verdict ->> 'wanted')
    else format('%s: %s of %s used on %s (%s), this needs %s',
      case when p_verdict ->> 'code' = 'cap_daily' then 'daily limit'
        else format('limit for %s "%s"', replace(substr(p_verdict ->> 'code', 5), '_', ' '), p_verdict ->> 'name') end,
      p_verdict ->> 'used', p_verdict ->> 'limit', p_verdict ->> 'day', p_verdict ->> 'time_zone', p_verdict ->> 'wanted')
  end;
end
$$;

-- What was counted, beside the limits in force: the numbers of a verdict that found room.
create function ops.caps_counted(p_day date, p_units ops.cap_unit[]) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object(
    'day', p_day,
    'time_zone', coalesce(ops.policy('proposal_caps') ->> 'time_zone', 'UTC'),
    'counted', (
      select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
          'scope', u.scope, 'name', nullif(u.name, ''), 'used', coalesce(c.used, 0), 'limit', u.max_units,
          'used_usd', case when u.max_usd is not null then coalesce(c.used_usd, 0) end, 'limit_usd', u.max_usd)) order by u.ordinality), '[]')
      from unnest(p_units) with ordinality u
      left join ops.cap_counters c on c.day = p_day and c.scope = u.scope and c.name = u.name
      where u.max_units is not null or u.max_usd is not null));
end
$$;

-- Locks what a proposal counts in, and makes what is missing, so caps hold however many gates stand open at once. The day's
-- own counter comes first: every proposal takes it, so whoever holds it meets nobody at the others, and only then makes them.
create function ops.lock_caps(p_day date, p_units ops.cap_unit[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_locked integer;
  v_day_is_locked boolean;
begin
  loop
    select count(*), coalesce(bool_or(l.scope = 'daily'), false) into v_locked, v_day_is_locked from (
      select c.scope from ops.cap_counters c
      join unnest(p_units) u on c.day = p_day and c.scope = u.scope and c.name = u.name
      order by c.scope <> 'daily', c.scope, c.name
      for no key update of c) l;
    exit when v_locked = array_length(p_units, 1);
    insert into ops.cap_counters (day, scope, name)
    select p_day, u.scope, u.name from unnest(p_units) u where v_day_is_locked or u.scope = 'daily'
    on conflict do nothing;
  end loop;
end
$$;

-- Takes a place under every cap, or none; returns the verdict of the cap that has no room, or null. The counters are locked.
create function ops.take_caps(p_day date, p_units ops.cap_unit[]) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_verdict jsonb := ops.cap_verdict(p_day, p_units);
begin
  if v_verdict is null then
    perform ops.move_caps(p_day, p_units, 1);
  end if;
  return v_verdict;
end
$$;

-- Adds (+1) or gives back (-1) what a proposal takes. The counters are locked.
create function ops.move_caps(p_day date, p_units ops.cap_unit[], p_sign integer) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update ops.cap_counters c
  set used = c.used + p_sign * u.units, used_usd = c.used_usd + p_sign * u.usd
  from unnest(p_units) u
  where c.day = p_day and c.scope = u.scope and c.name = u.name;
end
$$;

-- Counts a mission against its root event, or answers the verdict that forbids it. The day's counter is locked.
create function ops.take_root(p_root_event_id uuid, p_depth integer) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_control jsonb := coalesce(ops.policy('control'), '{}');
  v_max_depth integer := coalesce((v_control ->> 'max_depth')::integer, 8);
  v_max integer := coalesce((v_control ->> 'max_missions_per_root_event')::integer, 50);
  v_used integer;
begin
  if p_root_event_id is null then
    return null;
  end if;
  if p_depth >= v_max_depth then
    return jsonb_build_object('code', 'depth', 'depth', p_depth, 'limit', v_max_depth);
  end if;
  insert into ops.root_missions as r (root_event_id, missions) values (p_root_event_id, 1)
  on conflict (root_event_id) do update set missions = r.missions + 1 where r.missions < v_max
  returning missions into v_used;
  if v_used is null then
    return jsonb_build_object('code', 'missions_per_root_event', 'used', v_max, 'limit', v_max);
  end if;
  return null;
end
$$;

-- Takes a dedupe key for a proposal. Returns the proposal that holds it, or null when it was free or its own.
create function ops.take_key(p_key text, p_proposal_id uuid, p_held_until timestamptz) returns uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder uuid;
begin
  insert into ops.live_keys as k (dedupe_key, proposal_id, live, held_until) values (p_key, p_proposal_id, true, p_held_until)
  on conflict (dedupe_key) do update set proposal_id = excluded.proposal_id, live = true,
    held_until = case when k.proposal_id = excluded.proposal_id then k.held_until else excluded.held_until end
  where k.proposal_id = excluded.proposal_id or (not k.live and coalesce(k.held_until, '-infinity') <= ops.now())
  returning proposal_id into v_holder;
  if v_holder is not null then
    return null;
  end if;
  select proposal_id into v_holder from ops.live_keys where dedupe_key = p_key;
  return v_holder;
end
$$;

-- Which versions of the policies decided.
create function ops.policy_snapshot() returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(jsonb_object_agg(key, version), '{}') from public.ops_policy
  where key in ('auto_approve', 'proposal_caps', 'worker_policy', 'control', 'approvals', 'agent_roles'));
end
$$;

-- A proposal as the entry functions answer it.
create type ops.gate_answer as (proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb);

create function ops.gate_answer_of(p_proposal_id uuid, p_code text default null, p_reason text default null) returns ops.gate_answer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer ops.gate_answer;
begin
  select p.id, p.status::text, m.id, coalesce(p_reason, p.reason), coalesce(p_code, p.code), p.verdict into v_answer
  from public.ops_mission_proposals p left join public.ops_missions m on m.proposal_id = p.id
  where p.id = p_proposal_id;
  return v_answer;
end
$$;

-- One proposal through the gate. Whoever calls has locked its keys (ops.lock_keys).
create function ops.pass_gate(
  p_template jsonb, p_source text, p_dedupe_key text, p_dedupe_minutes numeric, p_idempotency_key text, p_proposed_by text,
  p_reaction_id uuid default null, p_pattern_id text default null, p_root_event_id uuid default null, p_depth integer default 0)
returns ops.gate_answer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid := ops.new_id();
  v_now timestamptz := ops.now();
  v_day date := ops.cap_day();
  v_path text;
  v_problem text;
  v_holder uuid;
  v_units ops.cap_unit[];
  v_verdict jsonb;
  v_obstacle text;
  v_auto boolean;
  v_canary boolean;
begin
  select t.path, t.problem into v_path, v_problem from ops.template_problem(p_template) t;
  if v_problem is not null then
    perform ops.fail('OPS_004', format('template: %s %s', coalesce(nullif(v_path, ''), 'it'), v_problem), v_path);
  end if;
  if p_source is null or p_source !~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$' then
    perform ops.fail('OPS_011', 'source must be 1 to 100 letters, digits, "_", ".", ":" or "-"', 'source');
  end if;
  v_canary := ops.is_canary(p_source, p_pattern_id, p_template);
  if length(p_dedupe_key) not between 1 and 500 then
    perform ops.fail('OPS_011', 'dedupe_key must have 1 to 500 characters', 'dedupe_key');
  elsif p_dedupe_minutes not between 0 and 525600 then
    perform ops.fail('OPS_011', 'dedupe_minutes must be between 0 and 525600, a year', 'dedupe_minutes');
  elsif length(p_idempotency_key) not between 1 and 500 then
    perform ops.fail('OPS_011', 'idempotency_key must have 1 to 500 characters', 'idempotency_key');
  elsif length(p_proposed_by) not between 1 and 200 then
    perform ops.fail('OPS_011', 'proposed_by must have 1 to 200 characters', 'proposed_by');
  end if;

  -- The same question asked again gets the same answer.
  select id into v_holder from public.ops_mission_proposals
  where idempotency_key = p_idempotency_key or reaction_id = p_reaction_id;
  if found then
    return ops.gate_answer_of(v_holder);
  end if;

  if p_dedupe_key is not null then
    v_holder := ops.take_key(p_dedupe_key, v_id, v_now + p_dedupe_minutes * interval '1 minute');
    if v_holder is not null then
      return ops.gate_answer_of(v_holder, 'duplicate', format('dedupe key "%s" is held by this proposal', p_dedupe_key));
    end if;
  end if;

  if v_canary then
    v_day := null;
  else
    v_units := ops.cap_units(p_source, p_pattern_id, p_template);
    perform ops.lock_caps(v_day, v_units);
    v_verdict := ops.take_root(p_root_event_id, p_depth);
    if v_verdict is null then
      v_verdict := ops.take_caps(v_day, v_units);
      if v_verdict is not null and p_root_event_id is not null then
        update ops.root_missions set missions = missions - 1 where root_event_id = p_root_event_id;
      end if;
    end if;
  end if;

  if v_verdict is not null then
    delete from ops.live_keys where dedupe_key = p_dedupe_key and proposal_id = v_id;
  else
    v_obstacle := case when v_canary and not ops.paused('approvals') then null else ops.approval_obstacle(p_template) end;
    v_auto := v_obstacle is null;
  end if;

  insert into public.ops_mission_proposals (
    id, dedupe_key, source, status, template, reason, policy_snapshot, approved_at, created_at, code, verdict, digest,
    idempotency_key, proposed_by, pattern_id, reaction_id, root_event_id, depth, cap_day, reserved_usd, expires_at,
    decided_at, decided_by, updated_at)
  values (
    v_id, p_dedupe_key, p_source,
    (case when v_verdict is not null then 'rejected' when v_auto then 'auto_approved' else 'pending' end)::public.ops_proposal_status,
    p_template,
    case when v_verdict is not null then ops.verdict_reason(v_verdict)
      when v_auto and v_canary then 'the engine''s own canary' when v_auto then 'admitted by policy auto_approve' else 'waits for approval: ' || v_obstacle end,
    ops.policy_snapshot(), case when v_auto then v_now end, v_now,
    case when v_verdict is not null then v_verdict ->> 'code' when v_auto and v_canary then 'canary' when v_auto then 'auto_approved'
      else 'pending_approval' end,
    coalesce(v_verdict, ops.caps_counted(v_day, v_units)), ops.template_digest(p_template),
    p_idempotency_key, coalesce(p_proposed_by, p_template ->> 'agent'), p_pattern_id, p_reaction_id, p_root_event_id, p_depth,
    case when v_verdict is null then v_day end,
    case when v_verdict is null then ops.declared_usd(p_template) else 0 end,
    case when v_verdict is null and not v_auto
      then v_now + coalesce((ops.policy('approvals') ->> 'expires_minutes')::numeric, 1440) * interval '1 minute' end,
    case when v_verdict is not null or v_auto then v_now end,
    case when v_verdict is not null then 'gate' when v_auto then 'policy:auto_approve' end, v_now);

  if v_auto then
    insert into ops.decisions (proposal_id, decision, digest, actor, actor_context)
    values (v_id, 'auto_approved', ops.template_digest(p_template), 'policy:auto_approve', ops.actor_context());
    perform ops.start_mission(v_id);
  elsif v_verdict is null then
    perform ops.emit_own('proposal:pending', jsonb_build_object('proposal_id', v_id, 'title', p_template ->> 'title',
      'source', p_source, 'risk_level', coalesce(p_template ->> 'risk_level', 'medium')), v_id, p_root_event_id, p_depth + 1);
  end if;
  return ops.gate_answer_of(v_id);
end
$$;

-- An event of the engine itself about a proposal.
create function ops.emit_own(p_type text, p_data jsonb, p_proposal_id uuid, p_root_event_id uuid, p_depth integer) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into public.ops_agent_events (type, data, proposal_id, root_event_id, depth)
  values (p_type, p_data, p_proposal_id, p_root_event_id, p_depth);
end
$$;

-- Locks keys in one order before anything else is locked, so that gates with several keys cannot deadlock.
create function ops.lock_keys(p_keys text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(h) from (
    select distinct hashtextextended('ops:' || k, 0) as h from unnest(p_keys) k where k is not null order by 1) l;
  perform ops.lock_held_keys(p_keys);
end
$$;

-- Locks those dedupe keys that are held, against the ends of the work that holds them.
create function ops.lock_held_keys(p_keys text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from ops.live_keys where dedupe_key = any (p_keys) order by dedupe_key for update;
end
$$;

-- Proposes one mission: the single entry for clients. A dedupe key that live work holds answers with that proposal.
-- Errors: OPS_004 with the JSON path of the template's problem, OPS_011 for the source or key.
create function public.ops_create_proposal_and_maybe_autoapprove(p_dedupe_key text, p_source text, p_template jsonb)
returns table (proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
begin
  perform ops.lock_keys(array[p_dedupe_key]);
  return query select a.* from ops.pass_gate(p_template, p_source, p_dedupe_key, null, null, null) a;
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
as $$
#variable_conflict use_column
declare
  v_item record;
  v_answer ops.gate_answer;
  v_detail text;
begin
  perform ops.require_array(p_proposals, 'p_proposals', 1000);
  perform ops.lock_keys(array(
    select unnest(array[i ->> 'dedupe_key', i ->> 'idempotency_key']) from jsonb_array_elements(p_proposals) i));
  for v_item in select e.value as item, e.ordinality::integer as n from jsonb_array_elements(p_proposals) with ordinality e loop
    begin
      if jsonb_typeof(v_item.item -> 'dedupe_minutes') not in ('number', 'null') then
        perform ops.fail('OPS_011', 'dedupe_minutes must be a number', 'dedupe_minutes');
      end if;
      v_answer := ops.pass_gate(v_item.item -> 'template', v_item.item ->> 'source', v_item.item ->> 'dedupe_key',
        (v_item.item ->> 'dedupe_minutes')::numeric, v_item.item ->> 'idempotency_key', v_item.item ->> 'proposed_by');
    exception
      when sqlstate 'OP004' or sqlstate 'OP011' then
        get stacked diagnostics v_detail = pg_exception_detail;
        v_answer := row(null, 'invalid', null, sqlerrm, 'OPS_' || right(sqlstate, 3), v_detail);
    end;
    ordinal := v_item.n;
    proposal_id := v_answer.proposal_id; status := v_answer.status; mission_id := v_answer.mission_id;
    reason := v_answer.reason; code := v_answer.code; verdict := v_answer.verdict;
    return next;
  end loop;
end
$$;

-- What the gate would say to a template now. Changes nothing.
create function public.ops_gate_proposal(p_template jsonb)
returns table (ok boolean, reason text, code text, verdict jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_problem record;
  v_day date := ops.cap_day();
  v_units ops.cap_unit[];
begin
  select t.path, t.problem into v_problem from ops.template_problem(p_template) t;
  if v_problem.problem is not null then
    return query select false, format('template: %s %s', v_problem.path, v_problem.problem), 'OPS_004',
      jsonb_build_object('path', v_problem.path);
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
  v_obstacle text := ops.approval_obstacle(p_template);
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

-- Today's counters beside the limits in force, also limits that nothing has used yet.
create function public.ops_cap_usage()
returns table (day date, scope text, name text, used integer, max_units integer, used_usd numeric, max_usd numeric)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with today as (select ops.cap_day() as day),
  caps as (select coalesce(ops.policy('proposal_caps'), '{}') as p),
  limits as (
    select 'daily' as scope, '' as name, (p ->> 'daily_limit')::integer as max_units, (p ->> 'daily_budget_usd')::numeric as max_usd from caps
    union all
    select l.scope, e.key, e.value::integer, null
    from caps, (values ('source', 'per_source'), ('source', 'per_source_limits'), ('agent', 'per_agent'), ('step_kind', 'per_step_kind'),
      ('pattern', 'per_pattern')) l(scope, field), jsonb_each_text(coalesce(p -> l.field, '{}')) e
  ),
  counted as (select c.* from ops.cap_counters c, today where c.day = today.day)
  select today.day, coalesce(c.scope, l.scope), coalesce(c.name, l.name), coalesce(c.used, 0), l.max_units, coalesce(c.used_usd, 0), l.max_usd
  from today, counted c full join limits l on l.scope = c.scope and l.name = c.name
  order by 2, 3
$$;
