-- The monitor: checks run every few minutes inside the heartbeat, and what violates them is kept until it no longer does.
--
-- Each check is a query that runs as ops_monitor, which may only read, in a transaction that only reads, under a statement timeout.
-- Whatever a check does besides answering is undone. One that breaks or is cut off is reported as such and stops no other.
--
-- The timeout comes from outside, because a running statement cannot shorten its own: over Postgres the caller sets
-- policy `invariants`.timeout_ms, PostgREST takes the function's statement_timeout. The caller runs the checks in as few calls as
-- it takes: a call ends with the first check that is cut off, and one that was cut off because others had used up the call's time
-- is left for the next call.

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

-- Who calls, as the database knows them.
create function ops.caller() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(nullif(current_setting('role', true), 'none'), session_user::text);
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
