-- Missions are rolled up by a counter of their open steps, and end once, when none is open. What a step was waited for is queued, what can no
-- longer run is cancelled.

-- Takes finished steps off their missions' counters and ends the missions that have none left. The missions are locked; p_missions
-- names one for each step. Answers the statuses of missions that have not succeeded, by id, and those that go on.
create function ops.roll_up(p_missions uuid[], out statuses jsonb, out going uuid[])
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_ended uuid[];
begin
  with finished as (
    select mission_id, count(*)::integer as n from unnest(p_missions) mission_id group by mission_id
  ), rolled as (
    update public.ops_missions m
    set steps_open = m.steps_open - f.n,
      status = case when m.steps_open > f.n then 'running'
        when m.steps_failed > 0 then 'failed' when m.steps_cancelled > 0 then 'cancelled' else 'succeeded' end::public.ops_mission_status,
      started_at = coalesce(m.started_at, v_now),
      completed_at = case when m.steps_open = f.n then v_now end,
      updated_at = v_now
    from finished f where m.id = f.mission_id
    returning m.id, m.status, m.steps_open
  )
  select jsonb_object_agg(id, status) filter (where status <> 'succeeded'), array_agg(id) filter (where steps_open = 0), array_agg(id) filter (where steps_open > 0)
  into statuses, v_ended, going from rolled;
  if v_ended is not null then
    perform ops.finish_missions(v_ended);
  end if;
end
$$;

-- What follows the end of missions, once for each end: the event, the dedupe key set free, money settled.
-- Whoever calls holds the missions' locks and has just made them terminal.
create function ops.finish_missions(p_missions uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_ids uuid[] := ops.new_ids(array_length(p_missions, 1));
  v_keys text[];
  v_priced uuid[];
begin
  with ended as materialized (
    select n.event_id, 'mission:' || m.status as type,
      -- Most missions have nothing to leave out.
      case when m.status = 'succeeded' and m.title is not null and m.source is not null and m.agent is null and m.end_reason is null
        then (select to_jsonb(d) from (select o.steps, m.title, m.source, m.status, m.id as mission_id, m.proposal_id) d)
        else (select jsonb_strip_nulls(to_jsonb(d)) from (
          select o.steps, m.title, m.source, m.agent, m.status, m.id as mission_id, m.proposal_id, m.end_reason as reason,
            (select min(s.key) from public.ops_mission_steps s where s.mission_id = m.id and s.status = 'failed') as failed_step,
            (select min(s.last_error) from public.ops_mission_steps s where s.mission_id = m.id and s.status = 'failed') as error) d)
      end as data,
      m.id, m.round, m.root_event_id, m.depth + 1 as depth, m.dedupe_key, o.priced
    from unnest(p_missions, v_ids) n(id, event_id) join public.ops_missions m on m.id = n.id,
      lateral (
        select jsonb_object_agg(s.key, s.status) as steps, bool_or(s.cost_reserved_usd <> 0 or s.cost_usd is not null) as priced
        from public.ops_mission_steps s where s.mission_id = m.id having count(*) > 0) o
  ), told as (
    insert into public.ops_agent_events (id, type, data, mission_id, round, root_event_id, depth, created_at)
    select e.event_id, e.type, e.data, e.id, e.round, e.root_event_id, e.depth, v_now from ended e
  )
  select array_agg(e.dedupe_key) filter (where e.dedupe_key is not null), array_agg(e.id) filter (where e.priced)
  into v_keys, v_priced from ended e;

  if v_keys is not null then
    perform ops.lock_held_keys(v_keys);
    -- A key with a window stays held until that closes.
    update ops.live_keys k set live = false
    from public.ops_missions m
    where m.id = any (p_missions) and k.dedupe_key = m.dedupe_key and k.proposal_id = m.proposal_id;
    delete from ops.live_keys k
    where k.dedupe_key = any (v_keys) and not k.live and coalesce(k.held_until, '-infinity') <= ops.now();
  end if;
  if v_priced is not null then
    perform ops.settle_costs(v_priced);
  end if;
end
$$;

-- Replaces what missions had reserved: by what they cost when they have ended, where a step that never started costs nothing and one that
-- reported no cost costs what it had declared; by what they may cost when they are open again.
create function ops.settle_costs(p_missions uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_day date;
  v_usd numeric;
begin
  for v_day, v_usd in
    with cost as (
      select p.id, p.cap_day, p.reserved_usd,
        (select coalesce(sum(case when s.status < 'succeeded' then greatest(s.cost_usd, s.cost_reserved_usd)
           when s.attempt = 0 then 0 else coalesce(s.cost_usd, s.cost_reserved_usd) end), 0)
         from public.ops_mission_steps s where s.mission_id = m.id) as usd
      from public.ops_missions m join public.ops_mission_proposals p on p.id = m.proposal_id
      where m.id = any (p_missions)
    ), changed as (
      update public.ops_mission_proposals p set reserved_usd = c.usd
      from cost c where p.id = c.id and c.usd <> c.reserved_usd
      returning c.cap_day, c.usd - c.reserved_usd as usd
    )
    select cap_day, sum(usd) from changed where cap_day is not null group by cap_day order by cap_day
  loop
    perform ops.settle_usd(v_day, v_usd);
  end loop;
end
$$;

-- Queues the waiting steps whose dependencies have all succeeded. The missions are locked. Returns how many.
create function ops.release_waiting(p_missions uuid[]) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_steps uuid[];
begin
  with released as (
    update public.ops_mission_steps w
    set status = 'queued', revision = w.revision + 1, updated_at = v_now,
      run_at = greatest(w.run_at, v_now + w.delay_seconds * interval '1 second'),
      ready = greatest(w.run_at, v_now + w.delay_seconds * interval '1 second') <= v_now
    from ops.queue q
    where q.mission_id = any (p_missions) and q.status = 'waiting' and w.id = q.step_id and w.status = 'waiting'
      and not exists (
        select from public.ops_mission_steps d
        where d.mission_id = w.mission_id and d.key = any (w.depends_on) and d.status <> 'succeeded')
    returning w.id
  )
  select array_agg(id) into v_steps from released;
  perform ops.queue_again(v_steps);
  return coalesce(cardinality(v_steps), 0);
end
$$;

-- Cancels steps that are not terminal. Attempts in flight end here: their token is void, and what they still send is kept
-- as evidence. The missions are locked; their counters are the caller's.
create function ops.cancel_steps(p_steps uuid[], p_reason text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  -- Locked first, in a statement of its own: a claim that is under way is then seen as the attempt it has become.
  perform from public.ops_mission_steps where id = any (p_steps) order by id for no key update;
  insert into public.ops_action_runs (id, step_id, executor, status, started_at, completed_at, error, attempt, worker_id)
  select s.lease_token, s.id, s.executor, 'cancelled', s.reserved_at, v_now, p_reason, s.attempt, s.worker_id
  from public.ops_mission_steps s where s.id = any (p_steps) and s.status = 'running';
  update public.ops_mission_steps s
  set status = 'cancelled', end_reason = p_reason, lease_token = null, lease_expires_at = null, completed_at = v_now,
    updated_at = v_now, revision = s.revision + 1
  where s.id = any (p_steps) and s.status in ('waiting', 'queued', 'running');
  perform ops.queue_again(p_steps);
end
$$;

-- Ends missions before their time: everything not terminal is cancelled. The missions are locked and not terminal.
create function ops.end_missions(p_missions uuid[], p_status public.ops_mission_status, p_actor text, p_reason text, p_step_reason text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_steps uuid[];
begin
  select array_agg(id order by id) into v_steps from public.ops_mission_steps
  where mission_id = any (p_missions) and status in ('waiting', 'queued', 'running');
  perform ops.cancel_steps(v_steps, p_step_reason);
  update public.ops_missions m
  set status = p_status, steps_open = 0, completed_at = v_now, updated_at = v_now, ended_by = p_actor, end_reason = p_reason,
    steps_cancelled = c.cancelled, steps_failed = c.failed
  from (select s.mission_id, count(*) filter (where s.status = 'cancelled') as cancelled, count(*) filter (where s.status = 'failed') as failed
        from public.ops_mission_steps s where s.mission_id = any (p_missions) group by s.mission_id) c
  where m.id = c.mission_id;
  perform ops.finish_missions(p_missions);
  return coalesce(array_length(v_steps, 1), 0);
end
$$;

-- Makes a mission agree with its steps, whatever happened to them. The mission is locked. An ended mission stays as it
-- ended unless a step is open again, or its steps (if they are all still there) say that it cannot have ended so.
create function ops.resync_mission(p_mission_id uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_was public.ops_missions;
  v_is public.ops_missions;
begin
  select * into v_was from public.ops_missions where id = p_mission_id for no key update;
  -- A first claim that is under way is waited for: it has found the mission locked and leaves it to us to start it.
  perform from public.ops_mission_steps where mission_id = p_mission_id and status = 'queued' order by id for no key update;
  update public.ops_missions m
  set steps_total = greatest(c.total, m.steps_total), steps_open = c.open,
    steps_failed = c.failed, steps_cancelled = c.cancelled,
    status = case when c.open > 0 then case when c.started then 'running' else 'approved' end
      when c.failed > 0 then 'failed' when c.cancelled > 0 then 'cancelled' else 'succeeded' end::public.ops_mission_status,
    completed_at = case when c.open = 0 then v_now end,
    started_at = case when c.started then coalesce(m.started_at, v_now) else m.started_at end,
    round = m.round + case when m.completed_at is not null then 1 else 0 end,
    ended_by = null, end_reason = null, updated_at = v_now
  from (select count(*) as total, count(*) filter (where status in ('waiting', 'queued', 'running')) as open,
          count(*) filter (where status = 'failed') as failed, count(*) filter (where status = 'cancelled') as cancelled,
          coalesce(bool_or(attempt > 0), false) as started
        from (select s.status::text, s.attempt from public.ops_mission_steps s where s.mission_id = p_mission_id
              union all
              -- Steps that ended and were deleted count as they ended.
              select a.status, (a.data ->> 'attempt')::integer from ops.archive a
              where a.parent_id = p_mission_id and a.entity = 'step') of_mission) c
  where m.id = p_mission_id and (
    m.completed_at is null or c.open > 0
    or (m.status = 'succeeded' and c.failed + c.cancelled > 0)
    or (m.status = 'failed' and c.failed = 0 and c.total >= m.steps_total)
    or (m.status = 'cancelled' and c.failed + c.cancelled = 0 and c.total >= m.steps_total))
  returning m.* into v_is;
  if not found then
    return;
  end if;
  if v_was.completed_at is not null and v_is.completed_at is null then
    insert into ops.reopenings (mission_id, round, reopened_by) values (p_mission_id, v_is.round, ops.actor()) on conflict do nothing;
  end if;
  if v_is.completed_at is not null then
    perform ops.finish_missions(array[p_mission_id]);
  elsif v_was.completed_at is not null then
    if v_is.dedupe_key is not null and ops.take_key(v_is.dedupe_key, v_is.proposal_id, null) <> v_is.proposal_id then
      perform ops.fail('OPS_014', format('dedupe key "%s" belongs to newer work', v_is.dedupe_key), 'dedupe_key',
        'let that finish, or cancel it, then retry');
    end if;
    perform ops.settle_costs(array[p_mission_id]);
  end if;
end
$$;

-- Rolls a mission up again: idempotent, and a repair after edits that went round the triggers.
create function public.ops_maybe_finalize_mission(p_mission_id uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.ops_missions where id = p_mission_id for no key update;
  if found then
    perform ops.queue_again(array(select s.id from public.ops_mission_steps s where s.mission_id = p_mission_id));
    perform ops.resync_mission(p_mission_id);
    if ops.release_waiting(array[p_mission_id]) > 0 then
      perform ops.wake_workers();
    end if;
  end if;
end
$$;
