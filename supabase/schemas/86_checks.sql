-- Checks beside the invariants (85_invariants.sql): who is logged in, what row level security covers, what is stuck or has fallen silent.

-- What is checked beside the invariants: how the loop is run. The clock stands in a sub-select: read once, it can steer an index scan.
insert into ops.checks (name, severity, detects, query) values
('runtime_identity', 'critical', 'Workers or control planes that are logged in under another role than expected, or one with more rights', $q$
  with expected as (
    select case x.key when 'worker' then 'worker' else 'control plane' end as part, array(select jsonb_array_elements_text(x.value)) as roles
    from jsonb_each(coalesce(ops.policy('invariants') -> 'expected_roles', '{}')
      || case when ops.policy('invariants') #> '{expected_roles,worker}' is null then '{"worker": ["ops_worker"]}'::jsonb else '{}' end
      || case when ops.policy('invariants') #> '{expected_roles,control_plane}' is null then '{"control_plane": ["service_role"]}'::jsonb else '{}' end) x
  ), seen as (
    select 'worker' as part, w.name, w.role from ops.workers w where w.last_seen_at > (select ops.now()) - interval '1 hour'
    union
    select 'control plane', 'heartbeat', b.role from ops.watch b where b.part = 'round'
  )
  select s.part || ' ' || s.name as id, s.part, s.role, format('the %s "%s" is logged in as %s, expected is %s', s.part, s.name, s.role,
    array_to_string(e.roles, ' or ')) as message
  from seen s join expected e on e.part = s.part left join pg_roles r on r.rolname = s.role
  where s.role <> all (e.roles) and (r.oid is null or r.rolsuper
    or not exists (select from unnest(e.roles) x join pg_roles y on y.rolname = x where pg_has_role(r.oid, y.oid, 'member'))
    or pg_has_role(r.oid, (select c.relowner from pg_class c where c.oid = 'public.ops_policy'::regclass), 'member')
    or (s.part = 'worker' and 'service_role' <> all (e.roles) and has_table_privilege(r.oid, 'public.ops_policy', 'delete')))
$q$),
('rls_disabled', 'high', 'Tables of schema public without row level security', $q$
  select c.oid::regclass as id, format('row level security is off for %s', c.oid::regclass) as message
  from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
$q$),
('rls_no_policies', 'high', 'Tables of schema public with row level security and no policy: nobody but their owner reads them', $q$
  select c.oid::regclass as id, format('row level security is on for %s, and it has no policy', c.oid::regclass) as message
  from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relrowsecurity
    and not exists (select from pg_policy p where p.polrelid = c.oid)
$q$),
('monitor_blind_spots', 'warning', 'Tables that checks may read, but whose rows row level security hides from them', $q$
  select c.oid::regclass as id, format('checks see no row of %s: create policy ops_monitor_reads on %s for select to ops_monitor using (true)',
    c.oid::regclass, c.oid::regclass) as message
  from pg_class c join pg_roles r on r.rolname = 'ops_monitor'
  where c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) and c.relkind in ('r', 'p') and c.relrowsecurity
    and not r.rolsuper and not r.rolbypassrls and has_table_privilege(r.oid, c.oid, 'select')
    and not exists (
      select from pg_policy p
      where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*') and (0::oid = any (p.polroles) or exists (
        select from unnest(p.polroles) x where x <> 0 and pg_has_role(r.oid, x, 'usage'))))
$q$),
('stuck_reactions', 'warning', 'Reactions that have been queued or in processing for an hour', $q$
  select r.id, format('%s since %s', r.status, r.updated_at) as message
  from public.ops_agent_reactions r where r.status = 'processing' and r.updated_at < (select ops.now()) - interval '1 hour'
  union all
  (select r.id, format('queued since %s', r.created_at)
   from public.ops_agent_reactions r
   where r.status = 'queued' and r.created_at < (select ops.now()) - interval '1 hour' and not ops.paused('reactions')
   order by r.created_at, r.id limit 101)
$q$),
('stuck_webhooks', 'warning', 'Webhooks and other events that nobody has processed for an hour', $q$
  select e.id, format('%s waits since %s', e.type, e.created_at) as message
  from public.ops_agent_events e
  where e.processed_at is null and e.created_at < (select ops.now()) - interval '1 hour' and not ops.paused('reactions')
  order by e.created_at, e.id limit 101
$q$),
('running_past_recovery', 'high', 'Steps that still run ten minutes after their lease was over: nobody recovers them', $q$
  select s.id, format('%s has run without a lease since %s', s.kind, s.lease_expires_at) as message
  from ops.running_steps s
  where s.lease_expires_at < (select ops.now()) - interval '10 minutes'
  order by s.lease_expires_at limit 101
$q$),
('mission_open_without_steps', 'high', 'Missions that are open though all of their steps have ended', $q$
  select m.id, format('%s since %s, and no step is open', m.status, m.updated_at) as message
  from (
    select l.id, l.status, l.updated_at from (select * from public.ops_missions order by id desc limit 1000) l where l.completed_at is null
    union
    -- Attempts that were claimed last: the end of a mission follows the end of one of its steps.
    select l.id, l.status, l.updated_at
    from (select distinct s.mission_id from (select r.step_id from public.ops_action_runs r order by r.id desc limit 1000) r,
        lateral (select t.mission_id from public.ops_mission_steps t where t.id = r.step_id offset 0) s) s,
      lateral (select t.* from public.ops_missions t where t.id = s.mission_id and t.completed_at is null offset 0) l) m
  where not exists (select from public.ops_mission_steps s where s.mission_id = m.id and s.status in ('waiting', 'queued', 'running'))
$q$),
('unclaimable_steps', 'warning', 'Queued steps whose executor no live worker has offered for ten minutes', $q$
  select x.name as id, format('no live worker offers executor "%s"; a step has been due since %s', x.name, d.run_at) as message
  from unnest(ops.claimable_executors()) x(name), lateral (
    select min(s.run_at) as run_at
    from (select run_at from ops.queue where status = 'queued' and ready and executor = x.name order by priority, run_at, step_id limit 100) s) d
  where d.run_at < (select ops.now()) - interval '10 minutes' and not ops.paused('claims') and x.name <> all (ops.blocked_executors())
    and not exists (select from ops.workers w where x.name = any (w.executors) and w.last_seen_at > (select ops.now()) - interval '10 minutes')
$q$),
('heartbeat_silence', 'high', 'More than fifteen minutes between the heartbeat that runs this check and the one before', $q$
  select 'heartbeat' as id, format('the last heartbeat was recorded at %s', b.at) as message
  from (select at from ops.heartbeats order by at desc limit 1) b where b.at < (select ops.now()) - interval '15 minutes'
$q$),
('worker_silence', 'high', 'Workers that fell silent with steps in hand', $q$
  select w.id, format('worker "%s" was last seen at %s and has %s steps in hand', w.name, w.last_seen_at, count(*)) as message
  from (select id, worker_id from ops.running_steps order by lease_expires_at limit 1000) s
  join ops.workers w on w.id = s.worker_id
  where w.last_seen_at < (select ops.now()) - interval '5 minutes' group by w.id, w.name, w.last_seen_at
$q$),
('pattern_quarantined', 'high', 'Patterns of the reaction matrix that are out of service', $q$
  select x.key as id, format('pattern %s is out of service: %s', x.key, x.value) as message
  from ops.reports r, jsonb_each_text(r.details) x where r.name = 'quarantined_patterns'
$q$);
