-- Attempts that fail: tried again after a backoff, or dead letters that take their mission down.

-- Seconds to wait after the n-th failure: full jitter under an exponential ceiling, bounded for any n.
create function ops.backoff_seconds(p_failures integer) returns double precision
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  return random() * least(
    coalesce((ops.policy('worker_policy') ->> 'backoff_max_seconds')::double precision, 900),
    coalesce((ops.policy('worker_policy') ->> 'backoff_base_seconds')::double precision, 5) * power(2, least(greatest(p_failures, 1), 30) - 1));
end
$$;

-- Ends attempts as failures: back to the queue after a backoff, or dead when attempts are used up or the error is permanent;
-- a death ends the mission. The missions of steps that may die are locked. Answers the steps whose token held, and how many died.
-- Planned once: with the statistics of full tables, planning would take longer than the work.
create function ops.fail_attempts(p_failures jsonb, out steps uuid[], out tokens uuid[], out died integer)
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := ops.now();
  v_dead uuid[];
  v_missions uuid[];
begin
  with given as materialized (
    select g.step_id, g.token, g.error, g.permanent, g.retry_after_seconds, g.meta, ops.reported_usd(g.cost_usd) as cost_usd
    from jsonb_to_recordset(p_failures)
      as g(step_id uuid, token uuid, error text, permanent boolean, retry_after_seconds numeric, meta jsonb, cost_usd numeric)
  ), judged as materialized (
    select g.*, s.executor, s.reserved_at, s.attempt, s.worker_id,
      coalesce(g.permanent, false) or s.failure_count + 1 >= coalesce(s.max_retries, 3) as dies,
      v_now + least(coalesce(g.retry_after_seconds, ops.backoff_seconds(s.failure_count + 1)), 604800) * interval '1 second' as run_at
    from given g join public.ops_mission_steps s on s.id = g.step_id and s.lease_token = g.token
  ), ended as (
    update public.ops_mission_steps s
    set status = case when j.dies then 'failed' else 'queued' end::public.ops_step_status,
      failure_count = s.failure_count + 1, last_error = left(coalesce(j.error, 'failed without a message'), 8000),
      cost_usd = coalesce(s.cost_usd + j.cost_usd, s.cost_usd, j.cost_usd),
      lease_token = null, lease_expires_at = null, completed_at = case when j.dies then v_now end,
      end_reason = case when j.dies then case when coalesce(j.permanent, false) then 'permanent' else 'attempts_used_up' end end,
      run_at = case when j.dies then s.run_at else j.run_at end, ready = case when j.dies then s.ready else j.run_at <= v_now end,
      updated_at = v_now, revision = s.revision + 1
    from judged j where s.id = j.step_id and s.lease_token = j.token
    returning s.id, s.mission_id, j.dies, j.token
  ), recorded as (
    insert into public.ops_action_runs (id, step_id, executor, status, started_at, completed_at, meta, error, attempt, worker_id, cost_usd)
    select j.token, j.step_id, j.executor, 'failed', j.reserved_at, v_now, coalesce(nullif(j.meta, 'null'), '{}'),
      left(coalesce(j.error, 'failed without a message'), 8000), j.attempt, j.worker_id, j.cost_usd
    from judged j join ended e on e.id = j.step_id
  )
  select array_agg(id), array_agg(token), array_agg(id) filter (where dies), count(*) filter (where dies),
    array_agg(distinct mission_id) filter (where dies)
  into steps, tokens, v_dead, died, v_missions from ended;
  perform ops.queue_again(steps);

  if v_dead is not null then
    insert into public.ops_agent_events (type, data, mission_id, run_id, root_event_id, depth)
    select 'step:' || s.kind || ':failed',
      jsonb_strip_nulls(jsonb_build_object('step_id', s.id, 'mission_id', m.id, 'title', m.title, 'source', m.source, 'key', s.key, 'kind', s.kind,
        'executor', s.executor, 'agent', s.agent, 'attempts', s.attempt, 'error', s.last_error, 'reason', s.end_reason)),
      m.id, (select r.id from public.ops_action_runs r where r.step_id = s.id and r.attempt = s.attempt), m.root_event_id, m.depth + 1
    from public.ops_mission_steps s join public.ops_missions m on m.id = s.mission_id
    where s.id = any (v_dead) order by s.id;
    perform ops.end_missions(array(select id from public.ops_missions where id = any (v_missions) and completed_at is null),
      'failed', 'engine', 'a step failed', 'mission_failed');
  end if;
end
$$;

-- Records failure: [{"step_id", "token", "error", "permanent"?, "retry_after_seconds"?, "meta"?, "cost_usd"?, "events"?}].
-- Answers the step's new status: queued (again at run_at) or failed (dead letter).
create function public.ops_fail_steps(p_failures jsonb)
returns table (step_id uuid, outcome text, step_status text, run_at timestamptz, mission_id uuid, mission_status text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_items jsonb;
  v_steps uuid[];
  v_tokens uuid[];
begin
  perform ops.require_array(p_failures, 'p_failures', 1000);
  v_items := ops.first_items(p_failures);
  perform ops.lock_missions_of(v_items);
  select f.steps, f.tokens into v_steps, v_tokens from ops.fail_attempts(v_items) f;
  if v_steps is not null then
    perform ops.emit_of_runs(v_items, v_tokens);
  end if;
  if coalesce(array_length(v_steps, 1), 0) < jsonb_array_length(v_items) then
    perform ops.keep_late(v_items, 'failed', v_tokens);
  end if;
  return query
  select g.step_id, case when g.step_id = any (v_steps) then 'ok' else 'lost' end, s.status::text,
    case when s.status = 'queued' then s.run_at end, m.id, m.status::text
  from (select distinct (i ->> 'step_id')::uuid as step_id from jsonb_array_elements(p_failures) i) g
  left join public.ops_mission_steps s on s.id = g.step_id
  left join public.ops_missions m on m.id = s.mission_id;
end
$$;
