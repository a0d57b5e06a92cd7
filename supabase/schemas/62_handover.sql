-- Handover: whoever makes a step claims it for a worker that sleeps, so that it begins with the commit.

-- Wakes somebody for a step that has just become claimable; asked only where somebody sleeps. A sleeper that takes its executor is handed a step: claimed
-- here, in the transaction that made the step, and told to the worker alone, it starts as soon as that has committed. Each sleeper is handed one, and
-- the next when it has lain down again. Whoever has not been seen for 15 seconds is handed none, and what was not begun within a minute goes back
-- and costs no failure (ops.take_back).
create function ops.wake_for(p_step_id uuid, p_executor text, p_priority smallint, p_run_at timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_sleeper record;
  v_step_id uuid;
  v_told text;
begin
  -- In other isolation levels a row that somebody changed meanwhile would be an error, and that the proposer's.
  if current_setting('transaction_isolation') = 'read committed' then
    select s.worker_id, s.channel, s.lease_seconds into v_sleeper
    from ops.sleepers s join ops.workers w on w.id = s.worker_id
    where s.until > v_now and p_executor = any (s.takes) and w.last_seen_at > v_now - interval '15 seconds'
    order by w.last_seen_at desc limit 1 for update of s skip locked;
    if found then
      -- Not what stands before it: the locks of other missions are none of this transaction's business, which may be a long one.
      select c.step_id, to_json(c)::text into v_step_id, v_told
      from public.ops_claim_steps(v_sleeper.worker_id, array[p_executor], 1, v_sleeper.lease_seconds,
        p_past => jsonb_build_object(p_executor, jsonb_build_object('priority', p_priority, 'run_at', p_run_at)), p_handed => true) c;
      if found then
        delete from ops.sleepers where worker_id = v_sleeper.worker_id;
        -- Postgres takes less than 8,000 bytes.
        perform pg_notify(v_sleeper.channel, case when octet_length(v_told) < 8000 then v_told else '' end);
      end if;
    end if;
  end if;
  -- One that became claimable in the same microsecond may have been handed over instead.
  if v_step_id is distinct from p_step_id then
    perform ops.wake_workers();
  end if;
end
$$;

-- Steps that were handed to a worker while it slept and that it has not prolonged yet, as a claim gives them; `lease_seconds` is what is left.
create function public.ops_handed_steps(p_worker_id uuid)
returns table (step_id uuid, token uuid, mission_id uuid, key text, kind text, executor text, agent text, params jsonb, inputs jsonb,
  attempt integer, failure_count integer, max_retries integer, timeout_seconds integer, lease_expires_at timestamptz,
  lease_seconds integer, mission_title text, depth integer, priority smallint, run_at timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
begin
  return query
  select s.id, s.lease_token, s.mission_id, s.key, s.kind, s.executor, s.agent, s.params,
    case when s.uses_results then (
      select coalesce(jsonb_object_agg(d.key, d.result), '{}') from public.ops_mission_steps d
      where d.mission_id = s.mission_id and d.status = 'succeeded') end,
    s.attempt, s.failure_count, s.max_retries, s.timeout_seconds, s.lease_expires_at,
    floor(extract(epoch from s.lease_expires_at - v_now))::integer, m.title, m.depth, s.priority, s.run_at
  from ops.claims c
    join public.ops_mission_steps s on s.id = c.steps[1] and s.status = 'running' and s.worker_id = p_worker_id and s.lease_expires_at = c.handed_until
    join public.ops_missions m on m.id = s.mission_id
  where c.handed_to = p_worker_id and c.handed_until >= v_now + interval '1 second';
end
$$;
