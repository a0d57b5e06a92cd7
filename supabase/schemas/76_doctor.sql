-- What people look at who watch the engine or wonder why it stands still: queues and workers at this moment, and what is wrong with
-- roles, rights and connections. Read only.

-- Queues by executor, and the workers that were seen within the last ten minutes. A worker is live when it was seen within two. Of each executor's
-- queue up to `counted_up_to` steps are counted, and of what is scheduled as many of those that are due first, all executors together.
create function public.ops_overview() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_now timestamptz := ops.now();
  v_most constant integer := 10000;
begin
  return (
    with workers as materialized (
      select w.id, w.name, w.version, w.executors, w.concurrency, w.registered_at, w.last_seen_at,
        w.last_seen_at > v_now - interval '2 minutes' as live
      from ops.workers w where w.last_seen_at > v_now - interval '10 minutes'
    ), queued as materialized (
      select h.executor, h.oldest, (
          select count(*) from (
            select from ops.queue s where s.status = 'queued' and s.ready and s.executor = h.executor limit v_most) s) as ready
      from (select q.executor, min(q.run_at) as oldest from ops.queue_heads() q group by q.executor) h
    ), scheduled as materialized (
      select s.executor, count(*) as later
      from (select q.executor from ops.queue q where q.status = 'queued' and not q.ready order by q.run_at limit v_most) s group by s.executor
    ), running as materialized (
      select s.executor, s.worker_id, count(*) as steps, count(*) filter (where s.lease_expires_at < v_now - interval '5 minutes') as expired
      from ops.running_steps s group by s.executor, s.worker_id
    ), executors as (
      select executor from queued union select executor from scheduled union select executor from running union select unnest(executors) from workers where live
    )
    select jsonb_build_object(
      'now', v_now,
      'counted_up_to', v_most,
      'executors', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'executor', e.executor,
          'queued', coalesce(q.ready, 0),
          'scheduled', coalesce(l.later, 0),
          'running', coalesce((select sum(r.steps) from running r where r.executor = e.executor), 0),
          'oldest_seconds', coalesce(greatest(round(extract(epoch from v_now - q.oldest)), 0), 0),
          'live_workers', (select count(*) from workers w where w.live and e.executor = any (w.executors)),
          'blocked', e.executor = any (ops.blocked_executors())) order by e.executor), '[]')
        from executors e left join queued q on q.executor = e.executor left join scheduled l on l.executor = e.executor
        where e.executor is not null),
      'workers', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'id', w.id, 'name', w.name, 'version', w.version, 'concurrency', w.concurrency, 'live', w.live,
          'running', coalesce((select sum(r.steps) from running r where r.worker_id = w.id), 0),
          'executors', w.executors, 'registered_at', w.registered_at, 'last_seen_at', w.last_seen_at)
          order by w.live desc, w.name, w.registered_at), '[]')
        from workers w),
      'expired_leases', coalesce((select sum(r.expired) from running r), 0)));
end
$$;

-- What a role must be able to call for its part of the loop to work.
create function ops.essential_rights(out role_name name, out function_name name) returns setof record
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select 'ops_worker'::name, unnest(array['ops_register_worker', 'ops_worker_heartbeat', 'ops_claim_steps', 'ops_handed_steps', 'ops_renew_steps', 'ops_complete_steps',
    'ops_fail_steps', 'ops_snooze_steps', 'ops_release_steps']::name[])
  union all
  select 'ops_operator'::name, unnest(array['ops_health', 'ops_read_policies', 'ops_list_proposals', 'ops_approve_proposal', 'ops_reject_proposal',
    'ops_cancel_mission', 'ops_retry_step', 'ops_emit_events']::name[])
  union all
  select 'ops_readonly'::name, unnest(array['ops_health', 'ops_read_policies', 'ops_trace', 'ops_why']::name[])
  union all
  select 'service_role'::name, p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname like 'ops\_%';
end
$$;

-- Facts about this installation, for `ops-loop doctor`, which judges them:
-- {"now", "login", "read_only", "connections": {"used", "most"}, "missing_roles", "missing_rights": ["role: object"], "open_rights": [same],
-- "unguarded_tables", "last_heartbeat": {"at", "ok", "error"}, "oldest_event_seconds"}
create function public.ops_doctor() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object(
    'now', ops.now(),
    'login', session_user,
    'read_only', pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean,
    'connections', jsonb_build_object(
      'used', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
      'most', current_setting('max_connections')::integer),
    'missing_roles', (
      select coalesce(jsonb_agg(r order by r), '[]') from unnest(array['service_role', 'ops_worker', 'ops_operator', 'ops_readonly']) r
      where not exists (select from pg_roles where rolname = r)),
    'missing_rights', (
      select coalesce(jsonb_agg(distinct e.role_name || ': ' || e.function_name), '[]')
      from ops.essential_rights() e join pg_roles r on r.rolname = e.role_name
      left join pg_proc p on p.pronamespace = 'public'::regnamespace and p.proname = e.function_name
      where p.oid is null or not has_function_privilege(r.oid, p.oid, 'execute')),
    'open_rights', (
      select coalesce(jsonb_agg(o.name order by o.name), '[]') from (
        select r.rolname || ': ' || p.proname as name
        from pg_proc p, pg_roles r
        where p.pronamespace = 'public'::regnamespace and p.proname like 'ops\_%' and r.rolname in ('anon', 'authenticated')
          and has_function_privilege(r.oid, p.oid, 'execute')
        union
        select r.rolname || ': ' || c.relname
        from pg_class c, pg_roles r
        where c.relnamespace = 'public'::regnamespace and c.relname like 'ops\_%' and c.relkind in ('r', 'v', 'm', 'p')
          and r.rolname in ('anon', 'authenticated') and has_table_privilege(r.oid, c.oid, 'select,insert,update,delete')) o),
    'unguarded_tables', (
      select coalesce(jsonb_agg(c.oid::regclass::text order by c.oid::regclass::text), '[]') from pg_class c
      where not c.relrowsecurity and c.relkind in ('r', 'p')
        and (c.relnamespace = 'ops'::regnamespace or c.relnamespace = 'public'::regnamespace and c.relname like 'ops\_%')),
    'last_heartbeat', (
      select jsonb_build_object('at', h.at, 'ok', h.ok, 'error', left(coalesce(h.report #>> '{errors,0,message}', h.report ->> 'errors'), 500)) from ops.heartbeats h order by h.at desc limit 1),
    'oldest_event_seconds', (
      select coalesce(greatest(round(extract(epoch from ops.now() - min(e.created_at))), 0), 0)
      from public.ops_agent_events e where e.processed_at is null));
end
$$;
