-- A silent heartbeat, seen by somebody else: rules and checks run inside the heartbeat and fall silent with it, so workers look after it.
--
-- Each worker asks when it starts and once a minute. While no heartbeat has come for longer than rule `heartbeat_silence_minutes` allows, the
-- alert opens, gets worse and repeats as any other, and workers tell of it through those channels whose variables they have themselves.
-- What they cannot tell waits for the heartbeat, which also resolves the alert when it is back.

-- Null while heartbeats come, before the first, and without the rule. Otherwise {"silent_minutes", "channels": {name: as policy describes it}}.
create function public.ops_watch_heartbeat() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_rule constant text := 'heartbeat_silence_minutes';
  v_policy jsonb := coalesce(ops.policy('alerts'), '{}');
  v_warning numeric := v_policy #>> array['rules', c_rule, 'warning'];
  v_critical numeric := v_policy #>> array['rules', c_rule, 'critical'];
  v_silence record;
  v_critically boolean;
begin
  select m.value, m.summary into v_silence from ops.measure(c_rule) m;
  v_critically := ops.breaks(c_rule, v_silence.value, v_critical);
  if not (v_critically or ops.breaks(c_rule, v_silence.value, v_warning)) or not coalesce((v_policy ->> 'enabled')::boolean, true) or ops.on_hold() then
    return null;
  end if;
  if ops.take_turn('silence', 1) then
    perform ops.raise_alert(c_rule, '', case when v_critically then 'critical' else 'warning' end, v_silence.value,
      case when v_critically then v_critical else v_warning end, v_silence.summary);
  end if;
  return jsonb_build_object('silent_minutes', v_silence.value, 'channels', coalesce(v_policy -> 'channels', '{}'));
end
$$;

-- Takes the notices about a silent heartbeat that are due for these channels; no others, so that nobody but the control plane can keep an
-- alert from being told.
create function public.ops_claim_silence_notices(p_channels text[], p_lease_seconds integer default 120)
returns table (id uuid, token uuid, channel text, config jsonb, message jsonb, attempt integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select * from ops.take_notices(20, p_lease_seconds, p_channels, 'heartbeat_silence_minutes');
end
$$;
