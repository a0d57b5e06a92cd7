-- The monitor: checks run every few minutes inside the heartbeat, and what violates them is kept until it no longer does.
--
-- Each check is a query that runs as ops_monitor, which may only read, in a transaction that only reads, under a statement timeout.
-- Whatever a check does besides answering is undone. One that breaks or is cut off is reported as such and stops no other.
--
-- The timeout comes from outside, because a running statement cannot shorten its own: over Postgres the caller sets
-- policy `invariants`.timeout_ms, PostgREST takes the function's statement_timeout. The caller runs the checks in as few calls as
-- it takes: a call ends with the first check that is cut off, and one that was cut off because others had used up the call's time
-- is left for the next call.

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

-- Runs a query as ops_monitor and answers its first rows. This function alone belongs to that role, and nothing but the monitor
-- may call it.
create function ops.query_as_monitor(p_query text, p_limit integer) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
  v_rows jsonb;
begin
  -- Operators write their tables' names as they do everywhere else.
  perform set_config('search_path', 'pg_catalog, public, pg_temp', true);
  execute format(E'select coalesce(jsonb_agg(to_jsonb(r)), ''[]'') from (select * from (%s\n) q limit %s) r', rtrim(p_query, E'; \t\r\n'), p_limit)
    into v_rows;
  return v_rows;
end
$$;

-- Only the owner of a schema, or who may create in it, can own a function there; it need not stay so.
revoke all on function ops.query_as_monitor(text, integer) from public;
grant usage, create on schema ops to ops_monitor;
alter function ops.query_as_monitor(text, integer) owner to ops_monitor;
revoke create on schema ops from ops_monitor;

-- Every check in force: those that are shipped and not skipped, then the operator's.
create function ops.all_checks()
returns table (name text, severity text, detects text, query text, scoped boolean, wide boolean, shipped boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_policy jsonb := coalesce(ops.policy('invariants'), '{}');
begin
  return query
  select c.name, c.severity, c.detects, c.query, c.scoped, c.wide, true from ops.checks c
  where not coalesce(v_policy -> 'skip', '[]') ? c.name
  union all
  select x.value ->> 'name', x.value ->> 'severity', coalesce(x.value ->> 'description', ''), x.value ->> 'sql', false, false, false
  from jsonb_array_elements(coalesce(v_policy -> 'checks', '[]')) x
  where not exists (select from ops.checks c where c.name = x.value ->> 'name') and not coalesce(v_policy -> 'skip', '[]') ? (x.value ->> 'name');
end
$$;

-- Opens a violation, or counts that it is still there.
create function ops.open_violation(p_check text, p_subject text, p_severity text, p_message text, p_details jsonb default '{}') returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.invariant_violations as v (check_name, subject, severity, message, details)
  values (p_check, left(p_subject, 500), p_severity, left(p_message, 2000),
    case when octet_length(p_details::text) > 8000 then '{}' else p_details end)
  on conflict (check_name, subject) where not resolved do update
  set occurrences = v.occurrences + 1, last_seen_at = ops.now(), severity = excluded.severity, message = excluded.message, details = excluded.details;
end
$$;

-- Resolves the violations of a check, except those of the subjects that are still there.
create function ops.resolve_violations(p_check text, p_except text[] default '{}') returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update ops.invariant_violations v set resolved = true, resolved_at = ops.now()
  where v.check_name = p_check and not v.resolved and v.subject <> all (p_except);
end
$$;

-- Keeps what a check answered. Rows with an `id` are violations of their own; rows without are one together. Of more rows than
-- p_limit nobody knows which are gone, so nothing is resolved then.
create function ops.record_violations(p_name text, p_severity text, p_detects text, p_rows jsonb, p_limit integer) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer := jsonb_array_length(p_rows);
  v_row record;
  v_subjects text[] := '{}';
begin
  for v_row in
    select coalesce(r.value ->> 'id', '') as subject, count(*) as n, (array_agg(r.value order by r.ordinality))[1] as first
    from jsonb_array_elements(p_rows) with ordinality r where r.ordinality <= p_limit group by 1 order by min(r.ordinality)
  loop
    v_subjects := v_subjects || left(v_row.subject, 500);
    perform ops.open_violation(p_name, v_row.subject, p_severity,
      case when v_row.subject = '' and v_count > 1 then format('%s rows%s, the first: ', v_row.n, case when v_count > p_limit then ' or more' else '' end) else '' end
        || coalesce(v_row.first ->> 'message', nullif(p_detects, '') || ': ' || (v_row.first)::text, (v_row.first)::text),
      v_row.first);
  end loop;
  if v_count <= p_limit then
    perform ops.resolve_violations(p_name, v_subjects);
  end if;
  return v_count;
end
$$;

-- Runs the named checks (null: all of a round) until one is cut off, and keeps their violations. Answers one row for each check
-- that was judged: clean, violated, failed or timed_out. Those that are missing were not judged: call again with their names.
-- p_everything looks at all rows instead of the latest, and also runs the wide checks.
create function public.ops_run_checks(p_names text[] default null, p_everything boolean default false)
returns table (name text, severity text, outcome text, violations integer, duration_ms numeric, error text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set statement_timeout = '5s'
as $$
#variable_conflict use_column
declare
  c_most constant integer := 100;
  v_allowed numeric := coalesce((ops.policy('invariants') ->> 'timeout_ms')::numeric, 2000);
  v_check record;
  v_rows jsonb;
  v_began timestamptz;
  v_first boolean := true;
begin
  for v_check in
    select c.* from ops.all_checks() c
    where (p_names is null or c.name = any (p_names)) and (not c.wide or p_everything or c.name = any (p_names))
    order by array_position(p_names, c.name), c.shipped desc, c.name
  loop
    v_began := clock_timestamp();
    v_rows := null;
    error := null;
    begin
      perform set_config('transaction_read_only', 'on', true);
      if v_check.shipped then
        -- By index, from the few rows that are looked at: statistics that are old, or too new, would have it read the whole tables.
        perform set_config(o, case when p_everything then 'on' else 'off' end, true)
        from unnest(array['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) o;
        perform set_config('random_page_cost', '1.1', true);
      end if;
      v_rows := ops.query_as_monitor(case when v_check.scoped then ops.scope(p_everything) else '' end || v_check.query, c_most + 1);
      raise exception using errcode = 'OP000'; -- undoes whatever else the check did
    exception
      when sqlstate 'OP000' then
        outcome := case when v_rows = '[]' then 'clean' else 'violated' end;
      when query_canceled then
        if not v_first and extract(epoch from clock_timestamp() - v_began) * 1000 < v_allowed then
          return;
        end if;
        outcome := 'timed_out';
        error := format('cut off after %s ms, allowed are %s', round(extract(epoch from clock_timestamp() - v_began) * 1000), v_allowed);
      when others then
        outcome := 'failed';
        error := format('%s (%s)', sqlerrm, sqlstate);
    end;
    name := v_check.name;
    severity := v_check.severity;
    duration_ms := round(extract(epoch from clock_timestamp() - v_began) * 1000, 1);
    violations := ops.keep_check(v_check.name, v_check.severity, v_check.detects, outcome, v_rows, c_most, duration_ms, v_allowed, error);
    return next;
    if outcome = 'timed_out' then
      return;
    end if;
    v_first := false;
  end loop;
end
$$;

-- What one run of a check leaves behind. Returns how many rows violated it. A check that failed, was cut off or took longer than it
-- may is a violation of its own: what it would have found is not known, so its violations stay as they are.
create function ops.keep_check(
  p_name text, p_severity text, p_detects text, p_outcome text, p_rows jsonb, p_most integer, p_duration_ms numeric, p_allowed numeric, p_error text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer := 0;
begin
  if p_rows is not null and p_outcome in ('clean', 'violated') then
    v_count := ops.record_violations(p_name, p_severity, p_detects, p_rows, p_most);
    update ops.invariant_violations set resolved = true, resolved_at = ops.now() where check_name = 'check_failed' and subject = p_name and not resolved;
  else
    perform ops.open_violation('check_failed', p_name, 'high', format('check %s: %s', p_name, p_error));
  end if;
  if p_outcome = 'timed_out' or p_duration_ms > p_allowed then
    perform ops.open_violation('check_slow', p_name, 'warning', format('check %s took %s ms, allowed are %s', p_name, p_duration_ms, p_allowed));
  elsif p_outcome <> 'failed' then
    update ops.invariant_violations set resolved = true, resolved_at = ops.now() where check_name = 'check_slow' and subject = p_name and not resolved;
  end if;
  insert into ops.check_runs as r (name, outcome, ran_at, duration_ms, violations, error)
  values (p_name, p_outcome, ops.now(), p_duration_ms, v_count, p_error)
  on conflict (name) do update set outcome = excluded.outcome, ran_at = excluded.ran_at, duration_ms = excluded.duration_ms,
    violations = excluded.violations, error = excluded.error, runs = r.runs + 1;
  return v_count;
end
$$;

-- Who calls, as the database knows them.
create function ops.caller() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(nullif(current_setting('role', true), 'none'), session_user::text);
end
$$;

-- True for one caller in each span of p_minutes, however many ask: spans begin at full multiples, so that a heartbeat that comes
-- a second early or late makes no difference.
create function ops.take_turn(p_part text, p_minutes numeric) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  insert into ops.watch as w (part, ran_at, role) values (p_part, v_now, ops.caller())
  on conflict (part) do update set ran_at = v_now, role = ops.caller()
  where floor(extract(epoch from w.ran_at) / 60 / p_minutes) < floor(extract(epoch from v_now) / 60 / p_minutes);
  return found;
end
$$;

-- Begins a round of checks when one is due, for one of any number of overlapping heartbeats. Answers {"due", "checks": [name],
-- "timeout_ms"}.
create function public.ops_begin_checks() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('invariants'), '{}');
begin
  if not coalesce((v_policy ->> 'enabled')::boolean, true) or not ops.take_turn('round', coalesce((v_policy ->> 'every_minutes')::numeric, 5)) then
    return jsonb_build_object('due', false, 'checks', '[]'::jsonb, 'timeout_ms', 0);
  end if;
  -- What is no longer checked is no longer violated.
  update ops.invariant_violations v set resolved = true, resolved_at = ops.now()
  where not v.resolved and v.check_name not in ('canary_missing', 'canary_slow')
    and not exists (select from ops.all_checks() c
                    where c.name = case when v.check_name in ('check_failed', 'check_slow') then v.subject else v.check_name end);
  perform ops.prune_watch();
  return jsonb_build_object('due', true, 'timeout_ms', coalesce((v_policy ->> 'timeout_ms')::integer, 2000),
    -- Those that were cut off the last time come last, so that they keep nobody waiting.
    'checks', (select coalesce(jsonb_agg(c.name order by coalesce(r.outcome, '') = 'timed_out', c.shipped desc, c.name), '[]')
               from ops.all_checks() c left join ops.check_runs r on r.name = c.name where not c.wide));
end
$$;

-- Every check with how it last went.
create function public.ops_list_checks() returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('name', c.name, 'severity', c.severity, 'detects', c.detects, 'shipped', c.shipped, 'wide', c.wide,
    'outcome', r.outcome, 'ran_at', r.ran_at, 'duration_ms', r.duration_ms, 'error', r.error, 'runs', coalesce(r.runs, 0),
    'open', (select count(*) from ops.invariant_violations v where v.check_name = c.name and not v.resolved))
  from ops.all_checks() c left join ops.check_runs r on r.name = c.name
  order by c.shipped desc, c.name
$$;

-- Violations, newest first, at most 200; p_filter {"check_name"?, "resolved"?}, p_after is the last id of the page before.
create function public.ops_list_violations(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(v) from ops.invariant_violations v
  where (p_after is null or v.id < p_after)
    and (not p_filter ? 'check_name' or v.check_name = p_filter ->> 'check_name')
    and (not p_filter ? 'resolved' or v.resolved = (p_filter ->> 'resolved')::boolean)
  order by v.id desc limit least(p_limit, 200)
$$;

-- Adds a check of the operator's to policy `invariants`, or puts another definition in its place: what a SQL file with checks calls.
-- The name of a shipped check is refused with OPS_011, and so is what the policy's schema refuses.
create function public.ops_define_check(p_name text, p_severity text, p_description text, p_sql text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb;
begin
  if exists (select from ops.checks where name = p_name) then
    perform ops.fail('OPS_011', format('"%s" is the name of a shipped check', p_name), 'p_name', 'choose another name');
  end if;
  insert into public.ops_policy (key, value) values ('invariants', '{}') on conflict (key) do nothing;
  select value into v_policy from public.ops_policy where key = 'invariants' for update;
  update public.ops_policy p
  set value = v_policy || jsonb_build_object('checks', coalesce((
      select jsonb_agg(x.value order by x.ordinality) from jsonb_array_elements(coalesce(v_policy -> 'checks', '[]')) with ordinality x
      where x.value ->> 'name' <> p_name), '[]')
    || jsonb_build_object('name', p_name, 'severity', p_severity, 'description', p_description, 'sql', p_sql))
  where p.key = 'invariants';
end
$$;

-- Violations as operators query them, canaries among them as what proves the loop alive.
create view public.invariant_violations with (security_invoker = true) as
  select id, check_name, severity, message, created_at, resolved, subject, details, occurrences, last_seen_at, resolved_at
  from ops.invariant_violations;

-- How each check went when it last ran.
create view public.ops_check_runs with (security_invoker = true) as
  select name, outcome, ran_at, duration_ms, violations, error, runs from ops.check_runs;
