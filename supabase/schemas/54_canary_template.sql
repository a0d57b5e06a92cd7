-- What a canary runs: known here so that the gate can tell the engine's own mission from one that borrows its name.

create function ops.canary_template() returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return '{"title": "Synthetic canary", "risk_level": "low", "steps": [{"kind": "noop:canary", "max_retries": 1, "timeout_seconds": 60}]}';
end
$$;

-- True for the engine's own canary. Errors: OPS_011 for anything else that calls itself one.
create function ops.is_canary(p_source text, p_pattern_id text, p_template jsonb) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_source is distinct from 'canary' then
    return false;
  end if;
  if p_pattern_id is distinct from 'ops:canary' or p_template <> ops.canary_template() then
    perform ops.fail('OPS_011', 'source "canary" belongs to the engine''s own canary', 'source', 'choose another source');
  end if;
  return true;
end
$$;
