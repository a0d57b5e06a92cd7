-- Missions: started from an admitted proposal, rolled up by a counter, ended once.

-- Turns admitted proposals into missions with their steps: those that have a decision for exactly their template, and no mission yet.
-- The proposals are locked.
create function ops.start_missions(p_proposals uuid[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_admitted public.ops_mission_proposals;
begin
  for v_admitted in
    select p.* from public.ops_mission_proposals p
    join ops.decisions d on d.proposal_id = p.id and d.decision in ('approved', 'auto_approved') and d.digest = ops.template_digest(p.template)
    where p.id = any (p_proposals) and not exists (select from public.ops_missions m where m.proposal_id = p.id)
    order by p.id
  loop
    perform ops.make_missions(
      array[row(1, v_admitted.id, v_admitted.template, v_admitted.source, v_admitted.dedupe_key, null, null, null, null, null,
        v_admitted.root_event_id, v_admitted.depth, 1, v_admitted.digest)::ops.gate_item],
      array[row(1, v_admitted.template, null, null)::ops.gate_shape], v_admitted.policy_snapshot);
  end loop;
end
$$;

-- The missions and steps of proposals that have been decided on. Params are each item's own, all else of a step is its shape's.
-- Ids of steps begin as their mission's and go on with their position, so that steps are claimed in the order of their proposals.
-- Returns the missions' ids, in the order of the proposals.
create function ops.make_missions(p_items ops.gate_item[], p_shapes ops.gate_shape[], p_snapshot jsonb) returns uuid[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_ids uuid[] := ops.new_ids(array_length(p_items, 1));
  v_middle text := right(gen_random_uuid()::text, 5);
  v_end integer := floor(random() * 983040);
begin
  with step as materialized (
    select h.shape, s.*, array['steps', (s."position" - 1)::text, 'params'] as path, to_hex(s."position" + 15) || v_middle as middle,
      greatest(v_now + coalesce((s.step -> 'delay_seconds')::integer, 0) * interval '1 second', (s.step ->> 'run_at')::timestamptz) as run_at,
      (case when s.depends_on = '{}' then 'queued' else 'waiting' end)::public.ops_step_status as status,
      coalesce((s.step -> 'delay_seconds')::integer, 0) as delay_seconds, (s.step -> 'timeout_seconds')::integer as timeout_seconds,
      (s.step -> 'max_retries')::integer as max_retries, coalesce((s.step -> 'cost_usd')::numeric, 0) as cost_usd, s.step ->> 'service' as service
    from (select distinct i.shape from unnest(p_items) i) i, unnest(p_shapes[i.shape:i.shape]) h, ops.template_steps(h.template) s
  ), item as materialized (
    select i.id, i.template, i.source, i.dedupe_key, i.root_event_id, i.depth, i.shape, i.mission_id, i.at,
      left(i.mission_id::text, 24) as head, jsonb_array_length(i.template -> 'steps') as steps
    from unnest(p_items, v_ids) with ordinality i(n, id, template, source, dedupe_key, dedupe_minutes, idempotency_key, proposed_by,
      reaction_id, pattern_id, root_event_id, depth, shape, digest, mission_id, at)
  ), mission as (
    insert into public.ops_missions (id, proposal_id, policy_snapshot, title, source, agent, dedupe_key, root_event_id, depth,
      steps_total, steps_open, created_at, updated_at)
    select i.mission_id, i.id, p_snapshot, i.template ->> 'title', i.source, i.template ->> 'agent', i.dedupe_key,
      coalesce(i.root_event_id, i.id), coalesce(i.depth, 0), i.steps, i.steps, v_now, v_now
    from item i
  )
  insert into public.ops_mission_steps (id, mission_id, kind, params, status, executor, created_at, updated_at, key, position, agent,
    depends_on, uses_results, priority, run_at, delay_seconds, ready, timeout_seconds, declared_retries, cost_reserved_usd, revision, service)
  select (i.head || s.middle || to_hex(65536 + (v_end + (i.at * 100 + s."position") * 40507) % 983040))::uuid, i.mission_id, s.kind, p.params,
    s.status, s.executor, v_now, v_now, s.key, s."position", s.agent, s.depends_on,
    strpos(p.params::text, '{{') > 0 and p.params::text ~ '\{\{\s*steps\.', s.priority, s.run_at, s.delay_seconds, s.run_at <= v_now,
    s.timeout_seconds, s.max_retries, s.cost_usd, 1, s.service
  from item i join step s on s.shape = i.shape
    cross join lateral (select coalesce(i.template #> s.path, '{}') as params offset 0) p;
  if cardinality(v_ids) = 1 then
    perform ops.wake_for_mission(v_ids[1]);
  else
    perform ops.wake_workers();
  end if;
  return v_ids;
end
$$;

-- Wakes somebody for a mission that has just been made: for its first step, if that is one, as for a step by itself.
create function ops.wake_for_mission(p_mission_id uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_steps ops.queue[];
begin
  if exists (select from ops.sleepers where until > ops.now()) then
    select array_agg(q) into v_steps
    from public.ops_mission_steps s join ops.queue q on q.step_id = s.id
    where s.mission_id = p_mission_id and q.status = 'queued' and q.ready;
    if cardinality(v_steps) = 1 then
      perform ops.wake_for(v_steps[1].step_id, v_steps[1].executor, v_steps[1].priority, v_steps[1].run_at);
    else
      perform ops.wake_workers();
    end if;
  end if;
end
$$;

-- The mission of one admitted proposal, made if it is not there yet.
create function ops.start_mission(p_proposal_id uuid) returns uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mission_id uuid;
begin
  select id into v_mission_id from public.ops_missions where proposal_id = p_proposal_id;
  if found then
    return v_mission_id;
  end if;
  perform from public.ops_mission_proposals where id = p_proposal_id for no key update;
  if not found then
    perform ops.fail('OPS_013', format('there is no proposal %s', p_proposal_id), 'p_proposal_id');
  end if;
  if exists (select from ops.archive a where a.parent_id = p_proposal_id and a.entity = 'mission') then
    perform ops.fail('OPS_009', format('proposal %s had its mission, which was deleted since', p_proposal_id), 'p_proposal_id',
      'an approval is used once: propose it again');
  end if;
  perform ops.start_missions(array[p_proposal_id]);
  select id into v_mission_id from public.ops_missions where proposal_id = p_proposal_id;
  if not found then
    perform ops.fail('OPS_009', format('proposal %s is not approved', p_proposal_id), 'p_proposal_id',
      'only ops_approve_proposal or policy auto_approve opens the way to a mission');
  end if;
  return v_mission_id;
end
$$;

-- The mission of an admitted proposal, made if it is not there yet. Errors: OPS_009 when it is not approved, or its mission was deleted;
-- OPS_013 unknown.
create function public.ops_create_mission_from_proposal(p_proposal_id uuid) returns uuid
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select ops.start_mission(p_proposal_id) $$;

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

create function ops.locked_mission(p_mission_id uuid) returns public.ops_missions
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mission public.ops_missions;
begin
  select * into v_mission from public.ops_missions where id = p_mission_id for no key update;
  if not found then
    perform ops.fail('OPS_013', format('there is no mission %s', p_mission_id), 'p_mission_id');
  end if;
  return v_mission;
end
$$;

-- Stops a mission: steps that have not started are cancelled, those in flight are told to stop. Doing it again changes nothing.
-- Errors: OPS_013 unknown mission.
create function public.ops_cancel_mission(p_mission_id uuid, p_actor text, p_reason text default null)
returns table (mission_id uuid, status text, cancelled_steps integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_mission public.ops_missions := ops.locked_mission(p_mission_id);
  v_cancelled integer := 0;
begin
  if v_mission.completed_at is null then
    v_cancelled := ops.end_missions(array[p_mission_id], 'cancelled', p_actor, coalesce(p_reason, 'cancelled by ' || p_actor), 'mission_cancelled');
  end if;
  return query select m.id, m.status::text, v_cancelled from public.ops_missions m where m.id = p_mission_id;
end
$$;

-- Stops one step and all that depend on it. One that has ended already stays as it is, and so does the rest.
-- Errors: OPS_013 unknown step.
create function public.ops_cancel_step(p_step_id uuid, p_actor text, p_reason text default null)
returns table (step_id uuid, status text, mission_status text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_mission_id uuid := ops.mission_of_step(p_step_id);
  v_steps uuid[];
begin
  perform ops.locked_mission(v_mission_id);
  if exists (select from public.ops_mission_steps s where s.id = p_step_id and s.status in ('waiting', 'queued', 'running')) then
    select array_agg(d.id order by d.id) into v_steps from ops.step_and_dependents(p_step_id) d;
    perform ops.cancel_steps(v_steps, coalesce(p_reason, 'cancelled by ' || p_actor));
    perform ops.resync_mission(v_mission_id);
  end if;
  return query
  select s.id, s.status::text, m.status::text
  from public.ops_mission_steps s join public.ops_missions m on m.id = s.mission_id where s.id = p_step_id;
end
$$;

create function ops.mission_of_step(p_step_id uuid) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mission_id uuid;
begin
  select mission_id into v_mission_id from public.ops_mission_steps where id = p_step_id;
  if not found then
    perform ops.fail('OPS_013', format('there is no step %s', p_step_id), 'p_step_id');
  end if;
  return v_mission_id;
end
$$;

create function ops.step_and_dependents(p_step_id uuid) returns table (id uuid)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive affected as (
    select s.id, s.key, s.mission_id from public.ops_mission_steps s where s.id = p_step_id
    union
    select d.id, d.key, d.mission_id
    from affected a join public.ops_mission_steps d on d.mission_id = a.mission_id and a.key = any (d.depends_on)
  )
  select id from affected
$$;

-- Keys of a mission's steps that cannot be reached any more: dead ones, those that somebody cancelled, and all that depend on them.
create function ops.unreachable_keys(p_mission_id uuid) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (with recursive lost as (
    select s.key from public.ops_mission_steps s
    where s.mission_id = p_mission_id
      and (s.status = 'failed' or (s.status = 'cancelled' and s.end_reason is distinct from 'mission_failed'))
    union
    select d.key from lost l join public.ops_mission_steps d on d.mission_id = p_mission_id and l.key = any (d.depends_on)
  )
  select coalesce(array_agg(key), '{}') from lost);
end
$$;

-- Puts back what a mission's end had cancelled, but for what cannot be reached: queued where nothing is waited for, waiting
-- otherwise. The mission is locked.
create function ops.revive_steps(p_mission_id uuid) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_unreachable text[] := ops.unreachable_keys(p_mission_id);
  v_steps uuid[];
begin
  with revived as (
    update public.ops_mission_steps s
    set status = 'waiting', end_reason = null, completed_at = null, reserved_at = null, revision = s.revision + 1, updated_at = v_now,
      run_at = greatest(s.run_at, v_now)
    where s.mission_id = p_mission_id and s.status = 'cancelled' and s.end_reason = 'mission_failed'
      and s.key <> all (v_unreachable)
    returning s.id
  )
  select array_agg(id) into v_steps from revived;
  perform ops.queue_again(v_steps);
  perform ops.resync_mission(p_mission_id);
  perform ops.release_waiting(array[p_mission_id]);
  perform ops.wake_workers();
  return coalesce(cardinality(v_steps), 0);
end
$$;

-- Gives a dead step its attempts back and reopens its mission with the steps that were cancelled because of it, in one
-- transaction. Errors: OPS_013 unknown; OPS_014 when the step is not a dead letter, depends on another that is dead, or newer
-- work holds the dedupe key.
create function public.ops_retry_step(p_step_id uuid, p_actor text)
returns table (step_id uuid, status text, mission_id uuid, mission_status text, reopened_steps integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_mission_id uuid := ops.mission_of_step(p_step_id);
  v_now timestamptz := ops.now();
  v_reopened integer;
begin
  perform ops.locked_mission(v_mission_id);
  update public.ops_mission_steps s
  set status = 'queued', failure_count = 0, end_reason = null, completed_at = null, reserved_at = null, run_at = v_now, ready = true,
    revision = s.revision + 1, updated_at = v_now
  where s.id = p_step_id and s.status = 'failed';
  if not found then
    perform ops.fail('OPS_014', format('step %s is not a dead letter', p_step_id), 'status', 'only failed steps can be retried');
  end if;
  perform ops.join_order(p_step_id);
  v_reopened := ops.revive_steps(v_mission_id);
  return query
  select s.id, s.status::text, m.id, m.status::text, v_reopened
  from public.ops_mission_steps s join public.ops_missions m on m.id = s.mission_id where s.id = p_step_id;
end
$$;

-- Retries dead letters, oldest first, all kinds or one, at most p_limit. Those whose key newer work holds are passed over.
create function public.ops_retry_dead_steps(p_kind text default null, p_limit integer default 100, p_actor text default null)
returns table (step_id uuid, mission_id uuid)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_steps uuid[];
  v_missions uuid[];
begin
  select array_agg(d.id order by d.mission_id, d.id), array_agg(d.mission_id order by d.mission_id, d.id) into v_steps, v_missions
  from (
    select s.id, s.mission_id from ops.queue q join public.ops_mission_steps s on s.id = q.step_id
    where q.status = 'failed' and (p_kind is null or s.kind = p_kind)
    order by q.ended_at, s.id limit least(p_limit, 1000)) d;
  -- Each of them takes its key and counts its money, so what comes before those is locked for all of them.
  perform ops.lock_keys(array(select m.dedupe_key from public.ops_missions m where m.id = any (v_missions)));
  perform from public.ops_missions m where m.id = any (v_missions) order by m.id for no key update;
  for v_at in 1 .. coalesce(cardinality(v_steps), 0) loop
    begin
      perform public.ops_retry_step(v_steps[v_at], coalesce(p_actor, ops.actor()));
    exception when sqlstate 'OP014' then
      continue;
    end;
    step_id := v_steps[v_at];
    mission_id := v_missions[v_at];
    return next;
  end loop;
end
$$;
