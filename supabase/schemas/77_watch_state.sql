-- What a daily look at the loop asks beside the installation: canary, schedules, backups. Read only.

-- {"now", "canary": {"sent_at", "status", "returned_last_hour"} | null, "schedules": [{"id", "next_at"}],
-- "backup": {"reported_at", "since"} | null}: the last canary, the times that schedules wait for, and the last backup that was reported.
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
      select jsonb_build_object('sent_at', c.sent_at, 'status', c.status, 'returned_last_hour', (
          select count(*) from ops.canaries r where r.sent_at > v_now - interval '1 hour' and r.status in ('returned', 'slow')))
      from ops.canaries c order by c.sent_at desc limit 1),
    'schedules', (
      select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'next_at', nullif(s.next_at, 'infinity')) order by s.id), '[]')
      from ops.schedules s),
    'backup', (
      select jsonb_build_object('reported_at', r.reported_at, 'since', r.details ->> 'since') from ops.reports r where r.name = 'backup'));
end
$$;
