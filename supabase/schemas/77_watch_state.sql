-- What a daily look at the loop asks beside the installation: canary, checks, alerts, services, channels, schedules, backups. Read only; it
-- is what `ops-loop verify`, `ops-loop status` and /metrics tell of the watch.

-- {"now",
--  "canary": {"sent_at", "status", "returned_last_hour", "legs": {name: milliseconds}} | null: the last one, and the last one's legs that came back,
--  "checks": {"ran_at", "failing"}: the last round, and how many checks broke or were cut off when they last ran,
--  "violations": [{"check_name", "severity", "count"}]: those that are open, the canary's lines aside,
--  "alerts": {"P0": count, …}: those that are open and not silenced,
--  "services": [{"name", "state", "healthy"}],
--  "channels": [{"name", "failures"}]: failures in a row of the channels that policy lists,
--  "notices_waiting": notices that have not left yet,
--  "schedules": [{"id", "next_at"}]: the times that schedules wait for,
--  "backup": {"reported_at", "since"} | null: the last that was reported}
create function public.ops_watch_state() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  return jsonb_build_object(
    'now', v_now,
    'canary', (
      select jsonb_build_object('sent_at', c.sent_at, 'status', c.status,
        'returned_last_hour', (
          select count(*) from ops.canaries r where r.sent_at > v_now - interval '1 hour' and r.status in ('returned', 'slow')),
        'legs', coalesce((
          select r.legs from ops.canaries r
          where r.sent_at > v_now - interval '1 hour' and r.status in ('returned', 'slow') order by r.sent_at desc limit 1), '{}'))
      from ops.canaries c order by c.sent_at desc limit 1),
    'checks', (
      select jsonb_build_object('ran_at', max(r.ran_at), 'failing', count(*) filter (where r.outcome in ('failed', 'timed_out')))
      from ops.check_runs r),
    'violations', (
      select coalesce(jsonb_agg(to_jsonb(v) order by v.check_name, v.severity), '[]')
      from (select o.check_name, o.severity, count(*) as count from ops.invariant_violations o
            where not o.resolved and o.check_name <> 'synthetic_canary' group by 1, 2) v),
    'alerts', (
      select coalesce(jsonb_object_agg(a.priority, a.count), '{}')
      from (select ops.priority(o.severity) as priority, count(*) as count from ops.alerts o
            where o.status = 'open' and not ops.silenced(o.rule, o.subject) group by 1) a),
    'services', (
      select coalesce(jsonb_agg(jsonb_build_object('name', l.name, 'state', coalesce(s.state, 'closed'), 'healthy', s.healthy) order by l.name), '[]')
      from ops.listed_services() l left join ops.services s on s.name = l.name),
    'channels', (
      select coalesce(jsonb_agg(jsonb_build_object('name', p.name, 'failures', coalesce(c.failures, 0)) order by p.name), '[]')
      from jsonb_object_keys(coalesce(ops.policy('alerts') -> 'channels', '{}')) p(name) left join ops.channels c on c.name = p.name),
    'notices_waiting', (select count(*) from (select from ops.alert_notices n where n.status = 'pending' limit 10000) w),
    'schedules', (
      select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'next_at', nullif(s.next_at, 'infinity')) order by s.id), '[]')
      from ops.schedules s),
    'backup', (
      select jsonb_build_object('reported_at', r.reported_at, 'since', r.details ->> 'since') from ops.reports r where r.name = 'backup'));
end
$$;

-- Schedules in force, and when each comes next: null until a heartbeat has worked it out, and when it never does.
create view public.ops_schedules with (security_invoker = true) as
  select id, definition ->> 'cron' as cron, definition ->> 'time_zone' as time_zone, definition #>> '{event,type}' as event_type,
    nullif(next_at, 'infinity') as next_at, settled_until
  from ops.schedules;
