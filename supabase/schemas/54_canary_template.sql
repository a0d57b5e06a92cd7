-- What a canary runs: known here so that the gate can tell the engine's own mission from one that borrows its name.

create function ops.canary_template() returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return '{"title": "Synthetic canary", "risk_level": "low", "steps": [{"kind": "noop:canary", "max_retries": 1, "timeout_seconds": 60}]}';
end
$$;

-- True for the engine's own canary; anything else that calls its source so is refused.
create function ops.is_canary(p_pattern_id text, p_template jsonb) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(p_pattern_id = 'ops:canary' and p_template = ops.canary_template(), false);
end
$$;
