-- Auto-approval: what may run without a person, by policy `auto_approve`. It says why not, so that whoever must decide knows what to look at.

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
