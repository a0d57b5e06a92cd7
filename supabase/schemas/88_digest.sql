-- The digest: a notice once a day, at the hour and through the channels that policy `alerts` names.

-- What the last day was like, for people who read one mail a day.
create function ops.digest() returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_since timestamptz := ops.now() - interval '1 day';
begin
  return jsonb_build_object('since', v_since, 'at', ops.now(),
    'open_alerts', (select coalesce(jsonb_agg(jsonb_build_object('priority', ops.priority(a.severity), 'rule', a.rule, 'subject', a.subject,
        'summary', a.summary, 'opened_at', a.opened_at) order by ops.severity_rank(a.severity) desc, a.opened_at), '[]')
      from (select * from ops.alerts where status = 'open' order by opened_at limit 50) a),
    'alerts_opened', (select count(*) from ops.alerts where opened_at > v_since),
    'alerts_resolved', (select count(*) from ops.alerts where resolved_at > v_since and opened_at > v_since - interval '7 days'),
    'open_violations', (select count(*) from ops.invariant_violations where not resolved),
    'canaries_returned', (select count(*) from ops.canaries where sent_at > v_since and status in ('returned', 'slow')),
    'canaries_missing', (select count(*) from ops.canaries where sent_at > v_since and status = 'missing'),
    'dead_letters', (select count(*) from (select from ops.queue where status = 'failed' and ended_at > v_since limit 10000) d),
    'pending_approvals', (select count(*) from (select from public.ops_mission_proposals where status = 'pending' limit 10000) p),
    'heartbeats', (select count(*) from ops.heartbeats where at > v_since),
    'failed_heartbeats', (select count(*) from ops.heartbeats where at > v_since and not ok));
end
$$;

-- Puts the day's digest into the outbox, once for each day of the digest's time zone, when its hour has come.
create function ops.send_digest(p_digest jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_local timestamp := ops.now() at time zone coalesce(p_digest ->> 'time_zone', 'UTC');
  v_day text := v_local::date::text;
begin
  if p_digest is null or extract(hour from v_local) < coalesce((p_digest ->> 'hour')::integer, 8) then
    return;
  end if;
  insert into ops.watch as w (part, ran_at, role, details) values ('digest', ops.now(), ops.caller(), jsonb_build_object('day', v_day))
  on conflict (part) do update set ran_at = excluded.ran_at, details = excluded.details where coalesce(w.details ->> 'day', '') < v_day;
  if found then
    insert into ops.alert_notices (number, transition, channel, message)
    select 0, 'digest', c, ops.digest() || '{"transition": "digest", "severity": "info"}' from jsonb_array_elements_text(p_digest -> 'channels') c
    where coalesce(ops.policy('alerts') -> 'channels', '{}') ? c;
  end if;
end
$$;
