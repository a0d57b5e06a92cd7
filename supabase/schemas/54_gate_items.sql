-- What comes to the gate and what it answers. Items are judged by their shape: where they come from, and all of their template but its words.

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

-- Which versions of the policies decided.
create function ops.policy_snapshot() returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return ops.gate_policies() -> 'snapshot';
end
$$;
