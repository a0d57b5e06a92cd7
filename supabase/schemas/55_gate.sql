-- The gate: the one place where a proposal is admitted, held for approval or rejected.
--
-- validate → dedupe → loop guard → caps → auto-approve or pending. Each verdict is a row with a code, a reason in words
-- and the numbers compared. A rejection uses up nothing. A held proposal keeps its place under the caps until it is
-- rejected or expires; approving it on a later day takes a place of that day.
--
-- Many proposals pass as they would one by one, in their order, but in few statements: as long as all of them fit, or none of
-- them does, their order makes no difference. A batch of which neither is true, or whose items share a key, is cut in two.
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

-- The values of the policies that decide at the gate, by key, and under `snapshot` the versions of all that bear on a mission.
create function ops.gate_policies() returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_bitmapscan = off
as $$
begin
  return (select coalesce(jsonb_object_agg(key, value) filter (where key in ('auto_approve', 'proposal_caps', 'control', 'approvals')), '{}')
      || jsonb_build_object('snapshot', coalesce(jsonb_object_agg(key, version), '{}'))
    from public.ops_policy where key in ('auto_approve', 'proposal_caps', 'worker_policy', 'control', 'approvals', 'agent_roles'));
end
$$;

-- Why policy `auto_approve` does not let the template run without a person, or null when it does: it is enabled, the risk is not
-- above `max_risk_level` and every step kind is listed (no list allows all; `kind:agent` lists one agent's steps of a kind). A
-- step that names an executor or agent of its own needs that listed too: what it calls itself opens no door. A missing or
-- disabled policy denies; a template without a risk level counts as medium.
create function ops.auto_approve_obstacle(p_template jsonb, p_policy jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowed jsonb := p_policy -> 'allowed_step_kinds';
  v_step jsonb;
  v_agent text;
  v_name text;
begin
  if p_policy is null then
    return 'there is no policy auto_approve';
  elsif not coalesce((p_policy -> 'enabled')::boolean, false) then
    return 'policy auto_approve is not enabled';
  elsif jsonb_typeof(p_template -> 'steps') is distinct from 'array' then
    return 'the template has no steps';
  elsif p_policy ? 'max_risk_level'
    and coalesce(ops.risk_rank(p_template ->> 'risk_level'), 99) > ops.risk_rank(p_policy ->> 'max_risk_level')
  then
    return format('risk "%s" is above "%s", the highest that policy auto_approve admits',
      coalesce(p_template ->> 'risk_level', 'medium'), p_policy ->> 'max_risk_level');
  elsif v_allowed is null then
    return null;
  end if;
  for v_at in 0 .. jsonb_array_length(p_template -> 'steps') - 1 loop
    v_step := p_template -> 'steps' -> v_at;
    v_agent := coalesce(v_step ->> 'agent', nullif(split_part(v_step ->> 'kind', ':', 2), ''), p_template ->> 'agent');
    foreach v_name in array array_remove(array[split_part(v_step ->> 'kind', ':', 1), v_step ->> 'executor'], null) loop
      if not v_allowed ?| array[v_name, v_name || ':' || coalesce(v_agent, '')] then
        return format('step kind "%s" is not among those that policy auto_approve admits', concat_ws(':', v_name, v_agent));
      end if;
    end loop;
  end loop;
  return null;
end
$$;

-- Why a person must decide on the template at this moment, or null.
create function ops.approval_obstacle(p_template jsonb, p_policies jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when coalesce((p_policies #> '{control,pause,approvals}')::boolean, false) then 'approvals are paused by the control switch'
    else ops.auto_approve_obstacle(p_template, p_policies -> 'auto_approve') end;
end
$$;

-- The same for all proposals of a shape. The engine's own canary runs whatever the policy admits.
create function ops.shape_obstacle(p_source text, p_template jsonb, p_policies jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return ops.approval_obstacle(p_template, case when p_source = 'canary' then p_policies || '{"auto_approve": {"enabled": true}}' else p_policies end);
end
$$;

-- True when policy `auto_approve` lets the template run without a person.
create function public.ops_is_auto_approvable(p_template jsonb) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return ops.auto_approve_obstacle(p_template, ops.policy('auto_approve')) is null;
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
  return ops.gate_policies() -> 'snapshot';
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
  if array_remove(p_keys, null) = '{}' then
    return;
  end if;
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

-- What comes to the gate. `n` numbers the items of a batch; `id` is the proposal's, should it become one. Shape and digest are
-- found out at the gate.
create type ops.gate_item as (
  n integer, id uuid, template jsonb, source text, dedupe_key text, dedupe_minutes numeric, idempotency_key text, proposed_by text,
  reaction_id uuid, pattern_id text, root_event_id uuid, depth integer, shape integer, digest text);

-- What items have in common: where they come from, and all of their templates but titles, descriptions and params. What they take
-- and why a person must decide follow from it, so they are worked out once for all items of a shape.
create type ops.gate_shape as (shape integer, template jsonb, obstacle text, units ops.cap_unit[]);

-- What an item is answered: its own proposal or another.
create type ops.gate_outcome as (n integer, proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb);

-- What is wrong with an item, as {"code", "path", "message"}, or null.
create function ops.item_problem(p_item ops.gate_item) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wrong text[];
begin
  if p_item.dedupe_minutes = 'NaN' then
    return '{"code": "OPS_011", "path": "dedupe_minutes", "message": "dedupe_minutes must be a number"}';
  end if;
  -- Most templates have just these fields, and then this says that they are valid, at a part of what it costs to read them. One path
  -- instead of as many expressions: each of those would be set up anew for every call.
  if (case when p_item.template @@ '$.type() == "object" && $.title.type() == "string" && $.title != ""
      && (!exists($.risk_level) || $.risk_level.type() == "string"
        && ($.risk_level == "low" || $.risk_level == "medium" || $.risk_level == "high" || $.risk_level == "critical"))
      && $.steps.type() == "array" && $.steps.size() == 1 && $.steps[0].type() == "object"
      && $.steps[0].kind.type() == "string" && $.steps[0].kind like_regex "^[A-Za-z0-9_.-]+$"
      && (!exists($.steps[0].params) || $.steps[0].params.type() == "object")'
    then p_item.template - '{title,risk_level,steps}'::text[] = '{}' and (p_item.template #> '{steps,0}') - '{kind,params}'::text[] = '{}'
      and length(p_item.template ->> 'title') <= 200 and length(p_item.template #>> '{steps,0,kind}') <= 100
      and strpos(p_item.template::text, '{{') = 0 end) is not true
  then
    v_wrong := ops.template_fault(p_item.template);
  end if;
  if v_wrong is not null then
    return jsonb_build_object('code', 'OPS_004', 'path', v_wrong[1],
      'message', format('template: %s %s', coalesce(nullif(v_wrong[1], ''), 'it'), v_wrong[2]));
  end if;
  if p_item.source ~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$' and p_item.source <> 'canary'
    and num_nonnulls(p_item.dedupe_key, p_item.dedupe_minutes, p_item.idempotency_key, p_item.proposed_by) = 0
  then
    return null; -- most items come with nothing else
  end if;
  v_wrong := case
    when p_item.source is null or p_item.source !~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$'
      then array['source', 'source must be 1 to 100 letters, digits, "_", ".", ":" or "-"']
    when p_item.source = 'canary' and not ops.is_canary(p_item.pattern_id, p_item.template)
      then array['source', 'source "canary" belongs to the engine''s own canary; choose another']
    when length(p_item.dedupe_key) not between 1 and 500 then array['dedupe_key', 'dedupe_key must have 1 to 500 characters']
    when p_item.dedupe_minutes not between 0 and 525600
      then array['dedupe_minutes', 'dedupe_minutes must be between 0 and 525600, a year']
    when length(p_item.idempotency_key) not between 1 and 500 then array['idempotency_key', 'idempotency_key must have 1 to 500 characters']
    when length(p_item.proposed_by) not between 1 and 200 then array['proposed_by', 'proposed_by must have 1 to 200 characters']
  end;
  if v_wrong is not null then
    return jsonb_build_object('code', 'OPS_011', 'path', v_wrong[1], 'message', v_wrong[2]);
  end if;
  return null;
end
$$;

-- What is left of a template without its title, description and its steps' params.
create function ops.template_core(p_template jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_core jsonb := p_template;
begin
  if jsonb_typeof(p_template) = 'object' then
    v_core := p_template - array['title', 'description'];
    if jsonb_typeof(p_template -> 'steps') = 'array' then
      for v_at in 0 .. least(jsonb_array_length(p_template -> 'steps'), 100) - 1 loop
        continue when jsonb_typeof(p_template -> 'steps' -> v_at) = 'array'; -- has no field that could be taken away
        v_core := v_core #- array['steps', v_at::text, 'params'];
      end loop;
    end if;
  end if;
  return v_core;
end
$$;

-- Items through the gate, in their order. Whoever calls has locked their keys (ops.lock_keys). What is not valid is answered with
-- status `invalid`, code and reason, and where in `verdict`.
create function ops.pass_gate(p_items ops.gate_item[]) returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policies jsonb;
  v_items ops.gate_item[];
  v_shapes ops.gate_shape[];
  v_problems jsonb[];
begin
  if array_length(p_items, 1) = 1 and p_items[1].reaction_id is null then
    return array(select row(p_items[1].n, a.proposal_id, a.status, a.mission_id, a.reason, a.code, a.verdict)::ops.gate_outcome
      from ops.pass_one(p_items[1]) a);
  end if;
  v_policies := ops.gate_policies();
  -- What is plainly valid, in a shape that is valid, has no problem; anything else is read as a whole.
  with item as materialized (
    select i.*, t.body,
      case when t.is_one_step then (i.template - array['title', 'description']) #- array['steps', '0', 'params']
        else ops.template_core(i.template) end as core,
      jsonb_typeof(i.template -> 'title') = 'string' and t.title_length between 1 and 200
        and (i.template -> 'description' is null
          or (jsonb_typeof(i.template -> 'description') = 'string' and length(i.template ->> 'description') <= 4000))
        and case when t.is_one_step then coalesce(jsonb_typeof(i.template #> array['steps', '0', 'params']) = 'object', true)
          else not jsonb_path_exists(i.template, '$.steps[*].params.type() ? (@ != "object")') end
        and (position('\x7b7b'::bytea in t.body) = 0 or i.template::text !~ '\{\{\s*steps\.') -- two braces
        and (num_nonnulls(i.dedupe_key, i.dedupe_minutes, i.idempotency_key, i.proposed_by) = 0
          or coalesce(length(i.dedupe_key) between 1 and 500, true) and coalesce(i.dedupe_minutes between 0 and 525600, true)
            and coalesce(length(i.idempotency_key) between 1 and 500, true) and coalesce(length(i.proposed_by) between 1 and 200, true)) as is_plain
    from unnest(p_items) i cross join lateral (
      select convert_to(i.template::text, 'UTF8') as body, length(i.template ->> 'title') as title_length,
        jsonb_typeof(i.template) = 'object' and jsonb_typeof(i.template -> 'steps') = 'array' and jsonb_array_length(i.template -> 'steps') = 1
          and jsonb_typeof(i.template #> array['steps', '0']) = 'object' as is_one_step
      offset 0) t
  ), found as materialized (
    select row_number() over ()::integer as shape, g.*
    from (select i.source, i.pattern_id, i.core, array_agg(i.n) as members from item i group by i.source, i.pattern_id, i.core) g
  ), shape as materialized (
    select f.*, j.is_valid, j.obstacle
    -- Patterns often want the same, and are then judged together.
    from (
      select v.shapes, v.is_valid, case when v.is_valid then ops.shape_obstacle(v.source, v.core, v_policies) end as obstacle
      from (
        select f.source, f.core, array_agg(f.shape) as shapes, ops.item_problem(row(1, null,
          case when jsonb_typeof(f.core) = 'object' then f.core || '{"title": "x"}' else f.core end,
          f.source, null, null, null, null, null, min(f.pattern_id), null, 0, null, null)) is null as is_valid
        from found f group by f.source, f.core, f.pattern_id = 'ops:canary' offset 0) v offset 0) j
      cross join unnest(j.shapes) u(shape) join found f on f.shape = u.shape
  ), shaped as materialized (
    select i.n, i.is_plain and m.is_valid as is_plain, row(i.n, i.id, i.template, i.source, i.dedupe_key, i.dedupe_minutes, i.idempotency_key,
      i.proposed_by, i.reaction_id, i.pattern_id, i.root_event_id, i.depth, m.shape, encode(sha256(i.body), 'hex'))::ops.gate_item as item
    from item i join (select s.shape, s.is_valid, u.n from shape s, unnest(s.members) u(n)) m on m.n = i.n
  )
  select i.items, i.problems, s.shapes into v_items, v_problems, v_shapes
  from (select array_agg(s.item order by s.n) as items, array_agg(case when s.is_plain then null else ops.item_problem(s.item) end order by s.n) as problems
      from shaped s) i,
    (select array_agg(row(s.shape, s.core, s.obstacle, case when s.is_valid then ops.cap_units(s.source, s.pattern_id, s.core,
        coalesce(v_policies -> 'proposal_caps', '{}')) end)::ops.gate_shape order by s.shape) as shapes from shape s) s;

  if array_remove(v_problems, null) = '{}' then
    return ops.decide(v_items, v_shapes, v_policies);
  end if;
  return array(
      select row(i.n, null, 'invalid', null, i.problem ->> 'message', i.problem ->> 'code', jsonb_build_object('path', i.problem ->> 'path'))::ops.gate_outcome
      from unnest(v_items, v_problems) i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by, reaction_id,
        pattern_id, root_event_id, depth, shape, digest, problem) where i.problem is not null)
    || ops.decide(array(select v_items[at] from generate_subscripts(v_items, 1) at where v_problems[at] is null order by at), v_shapes, v_policies);
end
$$;

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

-- What becomes of items that are valid. p_in_parts: they are part of a batch, and count with the whole day locked: another part may have
-- to, and nobody asks for the day while holding a stripe.
create function ops.decide(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_policies jsonb, p_in_parts boolean default false)
returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known ops.gate_outcome[] := '{}';
  v_items ops.gate_item[] := p_items;
  v_has_keys boolean := (
    select bool_or(num_nonnulls(i.dedupe_key, i.idempotency_key, i.reaction_id) > 0) from unnest(p_items) i);
  v_day date;
  v_totals ops.cap_unit[];
  v_stops jsonb[];
begin
  if v_has_keys then
    v_known := ops.known_answers(p_items);
    if v_known <> '{}' then
      v_items := array(select i from unnest(p_items) i where i.n not in (select k.n from unnest(v_known) k));
    end if;
  end if;
  if coalesce(array_length(v_items, 1), 0) = 0 then
    return v_known;
  elsif v_has_keys and ops.share_keys(v_items) then
    return v_known || ops.decide_in_halves(v_items, p_shapes, p_policies);
  elsif v_has_keys and not ops.take_keys(v_items) then
    -- Work that was reopened took a key a moment ago.
    return v_known || ops.decide(v_items, p_shapes, p_policies, p_in_parts);
  end if;

  if v_has_keys and exists (select from unnest(v_items) i where i.source = 'canary') then
    return v_known
      || ops.admit(array(select i from unnest(v_items) i where i.source = 'canary'), p_shapes, '{}', null, p_policies)
      || ops.decide(array(select i from unnest(v_items) i where i.source <> 'canary'), p_shapes, p_policies, true);
  end if;
  v_day := ops.cap_day(p_policies #>> '{proposal_caps,time_zone}');
  v_totals := array(select row(u.scope, u.name, sum(u.units * i.items), sum(u.usd * i.items), max(u.max_units), max(u.max_usd))::ops.cap_unit
    from (select i.shape, count(*) as items from unnest(v_items) i group by i.shape) i, unnest((p_shapes[i.shape]).units) u
    group by u.scope, u.name);

  -- A batch comes from reactions or from clients.
  if not p_in_parts and v_items[1].reaction_id is null and ops.count_in_stripe(v_day, v_totals) is not null then
    return v_known || ops.admit(v_items, p_shapes, v_totals, v_day, p_policies);
  end if;
  perform ops.lock_caps(v_day);
  if ops.all_fit(v_items, v_totals, v_day, p_policies) then
    perform ops.count_caps(v_day, v_totals);
    return v_known || ops.admit(v_items, p_shapes, v_totals, v_day, p_policies);
  end if;
  v_stops := array(select ops.what_stops(i, (p_shapes[i.shape]).units, v_day, p_policies) from unnest(v_items) i);
  if array_position(v_stops, null) is not null then
    return v_known || ops.decide_in_halves(v_items, p_shapes, p_policies);
  end if;
  return v_known || ops.turn_away(v_items, v_stops, p_policies);
end
$$;

create function ops.decide_in_halves(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_policies jsonb) returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_half integer := array_length(p_items, 1) / 2;
begin
  return ops.decide(p_items[:v_half], p_shapes, p_policies, true) || ops.decide(p_items[v_half + 1:], p_shapes, p_policies, true);
end
$$;

-- The same question asked again gets the same answer, and a dedupe key that is held answers with the proposal that holds it.
create function ops.known_answers(p_items ops.gate_item[]) returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_known ops.gate_outcome[];
begin
  v_known := array(
    select row(k.n, k.id, p.status::text, m.id, coalesce(k.reason, p.reason), coalesce(k.code, p.code), p.verdict)::ops.gate_outcome
    from (
      select i.n, coalesce(same.id, again.id, k.proposal_id) as id,
        case when same.id is null and again.id is null then 'duplicate' end as code,
        case when same.id is null and again.id is null then format('dedupe key "%s" is held by this proposal', i.dedupe_key) end as reason
      from unnest(p_items) i
      left join public.ops_mission_proposals same on same.idempotency_key = i.idempotency_key
      left join public.ops_mission_proposals again on again.reaction_id = i.reaction_id
      left join ops.live_keys k on k.dedupe_key = i.dedupe_key and k.proposal_id <> i.id and (k.live or k.held_until > v_now)
      where same.id is not null or again.id is not null or k.proposal_id is not null) k
    left join public.ops_mission_proposals p on p.id = k.id
    left join public.ops_missions m on m.proposal_id = k.id);
  if not exists (select from unnest(v_known) k where k.status is null) then
    return v_known;
  end if;
  -- The window of a key may be longer than finished work stays. What has a key then was admitted, even if the archive has forgotten it.
  return array(
    select row(k.n, k.proposal_id, coalesce(k.status, a.status, 'approved'), coalesce(k.mission_id, m.id), k.reason, k.code,
      coalesce(k.verdict, a.data -> 'verdict', '{}'))::ops.gate_outcome
    from unnest(v_known) k
    left join ops.archive a on k.status is null and a.id = k.proposal_id and a.entity = 'proposal'
    left join ops.archive m on k.status is null and m.parent_id = k.proposal_id and m.entity = 'mission');
end
$$;

-- True when the answer to one item could be the proposal of another.
create function ops.share_keys(p_items ops.gate_item[]) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_length(p_items, 1) > 1 and (
    select count(i.dedupe_key) > count(distinct i.dedupe_key) or count(i.idempotency_key) > count(distinct i.idempotency_key)
      or count(i.reaction_id) > count(distinct i.reaction_id)
    from unnest(p_items) i);
end
$$;

-- Takes the dedupe keys of items that do not share any. False when one of them is held.
create function ops.take_keys(p_items ops.gate_item[]) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_wanted integer := (select count(i.dedupe_key) from unnest(p_items) i);
  v_taken integer;
begin
  if v_wanted = 0 then
    return true;
  end if;
  insert into ops.live_keys as k (dedupe_key, proposal_id, live, held_until)
  select i.dedupe_key, i.id, true, v_now + i.dedupe_minutes * interval '1 minute'
  from unnest(p_items) i where i.dedupe_key is not null order by i.dedupe_key
  on conflict (dedupe_key) do update set proposal_id = excluded.proposal_id, live = true, held_until = excluded.held_until
  where k.proposal_id = excluded.proposal_id or (not k.live and coalesce(k.held_until, '-infinity') <= v_now);
  get diagnostics v_taken = row_count;
  return v_taken = v_wanted;
end
$$;

-- True when there is room for all of the items together: under the loop guard and under every cap. The day is locked, and
-- the root events are from here on.
create function ops.all_fit(p_items ops.gate_item[], p_totals ops.cap_unit[], p_day date, p_policies jsonb) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_max_depth integer := coalesce((p_policies #> '{control,max_depth}')::integer, 8);
  v_max integer := coalesce((p_policies #> '{control,max_missions_per_root_event}')::integer, 50);
begin
  if exists (select from unnest(p_items) i where i.root_event_id is not null) then
    perform from ops.root_missions r where r.root_event_id = any (array(select i.root_event_id from unnest(p_items) i))
    order by r.root_event_id for no key update;
    if exists (select from unnest(p_items) i where i.root_event_id is not null and i.depth >= v_max_depth)
      or exists (
        select from unnest(p_items) i left join ops.root_missions r on r.root_event_id = i.root_event_id
        where i.root_event_id is not null group by i.root_event_id, r.missions having count(*) + coalesce(r.missions, 0) > v_max)
    then
      return false;
    end if;
  end if;
  return not exists (
    select from unnest(p_totals) t
    cross join lateral (select coalesce(sum(s.used), 0) as used, coalesce(sum(s.used_usd), 0.000000) as used_usd from ops.cap_stripes s
      where s.day = p_day and s.scope = t.scope and s.name = t.name) c
    where c.used + t.units > t.max_units or (t.usd > 0 and c.used_usd + t.usd > t.max_usd));
end
$$;

-- What stops an item if it came alone, as a verdict, or null.
create function ops.what_stops(p_item ops.gate_item, p_units ops.cap_unit[], p_day date, p_policies jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_max_depth integer := coalesce((p_policies #> '{control,max_depth}')::integer, 8);
  v_max integer := coalesce((p_policies #> '{control,max_missions_per_root_event}')::integer, 50);
begin
  if p_item.root_event_id is not null then
    if p_item.depth >= v_max_depth then
      return jsonb_build_object('code', 'depth', 'depth', p_item.depth, 'limit', v_max_depth);
    elsif v_max <= coalesce((select r.missions from ops.root_missions r where r.root_event_id = p_item.root_event_id), 0) then
      return jsonb_build_object('code', 'missions_per_root_event', 'used', v_max, 'limit', v_max);
    end if;
  end if;
  return ops.cap_verdict(p_day, p_units);
end
$$;

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

-- What shapes of a batch count in one counter that has a limit, and what a verdict says around the numbers. `used` and `used_usd`: before
-- the batch; `usd`: null where nothing of the batch costs money; `by_all`: all of its shapes count just this.
create type ops.verdict_unit as (
  counter integer, units integer, usd numeric, used integer, used_usd numeric, before text, after text, end_usd text, shapes integer[], by_all boolean);

create function ops.verdict_units(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_totals ops.cap_unit[], p_day date)
returns ops.verdict_unit[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    with shape as materialized (select distinct i.shape from unnest(p_items) i)
    select row(dense_rank() over (order by u.scope, u.name), u.units, case when u.max_usd is not null and t.usd > 0 then u.usd end, c.used, c.used_usd,
      -- Keys in the order in which jsonb keeps them, shorter ones first.
      concat('{', '"name": ' || to_json(nullif(u.name, '')) || ', ', '"used": '),
      concat(', "limit": ' || u.max_units, ', "scope": "' || u.scope || '"', case when u.max_usd is null then '}'
        when t.usd > 0 then ', "used_usd": ' else format(', "used_usd": %s, "limit_usd": %s}', c.used_usd, u.max_usd) end),
      format(', "limit_usd": %s}', u.max_usd), u.shapes, cardinality(u.shapes) = (select count(*) from shape))::ops.verdict_unit
    from (select u.scope, u.name, u.units, u.usd, u.max_units, u.max_usd, array_agg(s.shape) as shapes
        from shape s, unnest((p_shapes[s.shape]).units) u where u.max_units is not null or u.max_usd is not null
        group by u.scope, u.name, u.units, u.usd, u.max_units, u.max_usd) u
      left join unnest(p_totals) t on t.scope = u.scope and t.name = u.name
      cross join lateral (select (coalesce(sum(s.used), 0) - coalesce(t.units, 0))::integer as used,
          coalesce(sum(s.used_usd), 0.000000) - coalesce(t.usd, 0) as used_usd
        from ops.cap_stripes s where s.day = p_day and s.scope = u.scope and s.name = u.name) c
    order by u.scope, u.name);
end
$$;

-- The verdicts of items that have been counted, p_totals in all: beside the limits in force stands what the counters say when an item is
-- counted and those after it are not. Written as text, for hundreds of them go through here in one call.
create function ops.verdicts(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_totals ops.cap_unit[], p_day date, p_policies jsonb)
returns jsonb[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_head text := format('{"day": %s, "counted": [', coalesce(to_json(p_day)::text, 'null'));
  v_tail text := format('], "time_zone": %s}', to_json(coalesce(p_policies #>> '{proposal_caps,time_zone}', 'UTC')));
  v_counters ops.verdict_unit[] := ops.verdict_units(p_items, p_shapes, p_totals, p_day);
  v_unit ops.verdict_unit;
  v_even boolean := cardinality(v_counters) <= 4;
  v_texts text[] := array[v_head];
  v_used integer[] := '{}';
  v_units integer[] := '{}';
  v_at integer := 0;
begin
  foreach v_unit in array v_counters loop
    v_even := v_even and v_unit.by_all and v_unit.usd is null;
    exit when not v_even;
    v_at := v_at + 1;
    v_texts[v_at] := v_texts[v_at] || v_unit.before;
    v_texts[v_at + 1] := v_unit.after || case when v_at < cardinality(v_counters) then ', ' else '' end;
    v_used[v_at] := v_unit.used;
    v_units[v_at] := v_unit.units;
  end loop;
  if not v_even then
    return ops.uneven_verdicts(p_items, v_counters, v_head, v_tail);
  end if;
  -- All items count the same in the same few counters, as those of most batches do: their numbers follow from their places.
  v_texts[v_at + 1] := v_texts[v_at + 1] || v_tail;
  return array(
    select concat(v_texts[1], v_used[1] + at * v_units[1], v_texts[2], v_used[2] + at * v_units[2], v_texts[3], v_used[3] + at * v_units[3],
      v_texts[4], v_used[4] + at * v_units[4], v_texts[5])::jsonb
    from generate_series(1, array_length(p_items, 1)) at);
end
$$;

-- The same where items count differently, or cost money: counted one by one.
create function ops.uneven_verdicts(p_items ops.gate_item[], p_counters ops.verdict_unit[], p_head text, p_tail text) returns jsonb[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_verdicts jsonb[] := '{}';
  v_text text;
  v_unit record;
  v_shape integer;
  v_no integer := 0;
  v_at integer := 0;
  v_count integer;
  v_sum numeric;
  -- By shape: its first and last unit.
  v_first integer[] := '{}';
  v_last integer[] := '{}';
  -- By unit: which counter it counts in, how much, and the text around the numbers.
  v_counter integer[] := '{}';
  v_units integer[] := '{}';
  v_usd numeric[] := '{}';
  v_before text[] := '{}';
  v_after text[] := '{}';
  v_end_usd text[] := '{}';
  -- By counter.
  v_used integer[] := '{}';
  v_used_usd numeric[] := '{}';
begin
  for v_unit in
    select s.shape, row_number() over (partition by s.shape order by c.counter) = 1 as is_first, c.*
    from unnest(p_counters) c, unnest(c.shapes) s(shape) order by s.shape, c.counter
  loop
    v_at := v_at + 1;
    if v_unit.is_first then
      v_first[v_unit.shape] := v_at;
    end if;
    v_last[v_unit.shape] := v_at;
    v_counter[v_at] := v_unit.counter;
    v_units[v_at] := v_unit.units;
    v_used[v_unit.counter] := v_unit.used;
    v_before[v_at] := case when v_unit.is_first then v_unit.before else ', ' || v_unit.before end;
    v_after[v_at] := v_unit.after;
    if v_unit.usd is not null then
      v_usd[v_at] := v_unit.usd;
      v_end_usd[v_at] := v_unit.end_usd;
      v_used_usd[v_unit.counter] := v_unit.used_usd;
    end if;
  end loop;

  -- An array is changed in its place only where the new value does not come from the array itself.
  foreach v_shape in array array(select i.shape from unnest(p_items) i) loop
    v_text := p_head;
    for v_at in coalesce(v_first[v_shape], 0) .. coalesce(v_last[v_shape], -1) loop
      v_count := v_used[v_counter[v_at]] + v_units[v_at];
      v_used[v_counter[v_at]] := v_count;
      v_text := v_text || v_before[v_at] || v_count || v_after[v_at];
      if v_usd[v_at] is not null then
        v_sum := v_used_usd[v_counter[v_at]] + v_usd[v_at];
        v_used_usd[v_counter[v_at]] := v_sum;
        v_text := v_text || v_sum || v_end_usd[v_at];
      end if;
    end loop;
    v_no := v_no + 1;
    v_verdicts[v_no] := (v_text || p_tail)::jsonb;
  end loop;
  return v_verdicts;
end
$$;

-- Counts missions against their root events. Two gates on both sides of midnight hold different counters; if they met at a new
-- root event, one of them starts again.
create function ops.count_roots(p_items ops.gate_item[], p_policies jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_max integer := coalesce((p_policies #> '{control,max_missions_per_root_event}')::integer, 50);
  v_wanted integer := (select count(distinct i.root_event_id) from unnest(p_items) i);
  v_counted integer;
begin
  if v_wanted = 0 then
    return;
  end if;
  insert into ops.root_missions as r (root_event_id, missions)
  select i.root_event_id, count(*) from unnest(p_items) i where i.root_event_id is not null group by i.root_event_id order by i.root_event_id
  on conflict (root_event_id) do update set missions = r.missions + excluded.missions where r.missions + excluded.missions <= v_max;
  get diagnostics v_counted = row_count;
  if v_counted < v_wanted then
    raise exception using errcode = 'serialization_failure', message = 'two gates met at one root event', hint = 'try again';
  end if;
end
$$;
