-- Claims: a worker takes steps until a deadline. Each claim gives a token, which proves that the lease is still its own.

-- All that a claim has to know before it looks for steps, read in one statement: a claim of one step costs little more than its
-- fixed parts. Of each setting the first that is given counts: policy worker_policy, then the worker's environment, then the default.
create function ops.claim_terms(p_worker_id uuid,
  out lease_seconds integer, out default_retries integer,
  -- Nothing is handed out: claims are paused; this is a restored copy that nobody has released.
  out paused boolean, out held boolean,
  -- Nobody has settled where the work is at home; the worker has not been seen for a while; scheduled steps have come due.
  out homeless boolean, out unseen boolean, out due boolean,
  out blocked text[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
begin
  select coalesce((p.worker_policy ->> 'lease_minutes')::numeric, (w.settings ->> 'lease_minutes')::numeric, 5) * 60,
    coalesce((p.worker_policy ->> 'max_retries')::numeric, (w.settings ->> 'max_retries')::numeric, 3),
    coalesce((p.control #>> '{pause,claims}')::boolean, false),
    coalesce(h.identity <> ops.identity(), false), h.identity is null,
    coalesce(w.last_seen_at < v_now - interval '10 seconds', false),
    exists (select from ops.queue q where q.status = 'queued' and not q.ready and q.run_at <= v_now),
    case when coalesce(p.control #> '{pause,executors}', '[]') = '[]' and coalesce(p.worker_policy -> 'blocked_executors', '[]') = '[]'
      then '{}' else ops.blocked_executors() end
  into lease_seconds, default_retries, paused, held, homeless, unseen, due, blocked
  -- `offset 0` keeps each policy read once.
  from (select (select value from public.ops_policy where key = 'control') as control,
          (select value from public.ops_policy where key = 'worker_policy') as worker_policy offset 0) p
  left join ops.workers w on w.id = p_worker_id
  left join (select identity from ops.homes order by id desc limit 1) h on true;
end
$$;

-- Executors that have something claimable; hops from one to the next in the claim's index.
create function ops.claimable_executors() returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (with recursive hop as (
    (select q.executor from ops.queue q where q.status = 'queued' and q.ready order by q.executor limit 1)
    union all
    select (select q.executor from ops.queue q
            where q.status = 'queued' and q.ready and q.executor > h.executor order by q.executor limit 1)
    from hop h where h.executor is not null
  )
  select coalesce(array_agg(executor) filter (where executor is not null), '{}') from hop);
end
$$;

-- Executors that the control switch or worker_policy keeps from being claimed.
create function ops.blocked_executors() returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select jsonb_array_elements_text(coalesce(ops.policy('control') #> '{pause,executors}', '[]'))
    union
    select jsonb_array_elements_text(coalesce(ops.policy('worker_policy') -> 'blocked_executors', '[]')));
end
$$;

-- Steps whose time has come join the claimable ones, the longest due first, at most 500.
create function ops.ready_due_steps() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_now timestamptz := ops.now();
  v_steps uuid[];
begin
  with due as materialized (
    -- Each step is looked up from its row in the queue: a join could begin with the steps, and read all that there are. Rows come in the
    -- order of their index, so that no more are locked than taken; a sort would lock all that are due.
    select d.id from ops.queue q, lateral (
      select s.id from public.ops_mission_steps s
      where s.id = q.step_id and s.status = 'queued' and not s.ready and s.run_at <= v_now
      for no key update skip locked) d
    where q.status = 'queued' and not q.ready and q.run_at <= v_now
    order by q.run_at limit 500
  ), come as (
    update public.ops_mission_steps s set ready = true, revision = s.revision + 1 from due where s.id = due.id returning s.id
  )
  select array_agg(id) into v_steps from come;
  perform ops.queue_again(v_steps);
end
$$;

-- Claims up to p_limit (1..1000) steps of the named executors for a registered worker. Each claim gives a fresh token and a
-- deadline by the database's clock, and counts as an attempt. `p_lease_seconds` overrides policy and environment. `p_room`
-- {executor: n} takes no more than n steps of that executor, so that a busy one leaves room for the others.
-- `inputs` holds the results of the mission's finished steps, by key, where params ask for them.
--
-- `p_past` {executor: {"priority", "run_at", "step_id"}}, the last step that the worker was given, begins behind it. What was
-- claimed since the last vacuum lies at the head of the index, and a long transaction of anybody's keeps it there; who drains
-- thousands need not read over it each time. What came to stand before the last step meanwhile is not seen, nor what a claim had
-- taken that was rolled back, so a worker leaves this out about once a second and whenever it gets less than it asked for.
--
-- `p_handed`: somebody else claims for a worker that sleeps (ops.wake_for).
create function public.ops_claim_steps(p_worker_id uuid, p_executors text[], p_limit integer, p_lease_seconds integer default null,
  p_room jsonb default null, p_past jsonb default null, p_handed boolean default false)
returns table (step_id uuid, token uuid, mission_id uuid, key text, kind text, executor text, agent text, params jsonb, inputs jsonb,
  attempt integer, failure_count integer, max_retries integer, timeout_seconds integer, lease_expires_at timestamptz,
  lease_seconds integer, mission_title text, depth integer, priority smallint, run_at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
set random_page_cost = 1.1
set enable_nestloop = on
set enable_tidscan = on
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_terms record := ops.claim_terms(p_worker_id);
  v_lease integer := coalesce(p_lease_seconds, v_terms.lease_seconds);
  v_now timestamptz;
  v_steps uuid[];
  v_missions uuid[];
  -- The rows of the steps, which stay where they are as long as they are locked, and those of the queue.
  v_places tid[];
  v_queued tid[];
  v_tokens uuid[];
  v_leased integer;
begin
  if (p_limit between 1 and 1000) is not true then
    perform ops.fail('OPS_011', 'p_limit must be between 1 and 1000', 'p_limit');
  end if;
  if v_lease not between 1 and 86400 then
    perform ops.fail('OPS_011', 'a lease lasts 1 second to 24 hours', 'p_lease_seconds');
  end if;
  if p_executors is null then
    perform ops.fail('OPS_011', 'name the executors', 'p_executors');
  end if;
  if jsonb_path_exists(p_room, 'strict $.* ? (@.type() != "number" || @ < 0 || @ > 1000)') then
    perform ops.fail('OPS_011', 'p_room holds whole numbers from 0 to 1000, by executor', 'p_room');
  end if;
  if v_terms.unseen and not p_handed then
    update ops.workers set last_seen_at = ops.now() where id = p_worker_id;
  end if;
  if v_terms.paused then
    return;
  end if;
  if v_terms.homeless then
    perform ops.settle_home();
  end if;
  if v_terms.held then
    return;
  end if;
  if v_terms.due then
    perform ops.ready_due_steps();
  end if;
  v_now := ops.now();

  -- The most urgent of each executor, then of all: the lower priority number, then the longest due. They are locked.
  select array_agg(c.id), array_agg(c.mission_id), array_agg(c.place), array_agg(c.queued) into v_steps, v_missions, v_places, v_queued
  from (
    select c.*
    from unnest(p_executors) with ordinality e(executor, n),
      lateral (
        select s.id, s.mission_id, q.priority, q.run_at, s.ctid as place, q.ctid as queued
        from ops.queue q join public.ops_mission_steps s on s.id = q.step_id
        where q.status = 'queued' and q.ready and q.executor = e.executor and q.run_at <= v_now
          -- Being taken by somebody else, or was by a claim that was rolled back: the step need not be looked up to see that.
          and (p_past is null or q.xmax = '0')
          and (q.priority, q.run_at, q.step_id) > (
            coalesce((p_past #>> array[e.executor, 'priority'])::integer, -32768),
            coalesce((p_past #>> array[e.executor, 'run_at'])::timestamptz, '-infinity'),
            coalesce((p_past #>> array[e.executor, 'step_id'])::uuid, '00000000-0000-0000-0000-000000000000'))
          -- Judged again once the step is locked: the queue's row is as old as this statement.
          and s.status = 'queued' and s.ready and s.run_at <= v_now
        order by q.priority, q.run_at, q.step_id
        limit least(p_limit, (p_room ->> e.executor)::integer)
        for no key update of s skip locked) c
    -- Each executor once, whatever the worker says.
    where e.executor <> all (v_terms.blocked) and e.n = array_position(p_executors, e.executor)
    order by c.priority, c.run_at, c.id limit p_limit) c;
  if v_steps is null then
    return;
  end if;

  v_tokens := ops.new_ids(cardinality(v_steps));
  -- A statement of its own: it sees the results that made these steps claimable.
  return query
  with dequeued as (
    delete from ops.queue q using unnest(v_queued, v_steps) t(place, step_id) where q.ctid = t.place and q.step_id = t.step_id returning q.step_id
  ), rewritten as (
    -- A row that was rewritten meanwhile stands elsewhere.
    delete from ops.queue q where q.step_id = any (case when (select count(*) from dequeued) < cardinality(v_steps) then v_steps end)
  ), started as (
    -- A mission starts with its first claim. One that is locked is being started, or ended, by somebody else.
    update public.ops_missions m set status = 'running', started_at = coalesce(m.started_at, v_now), updated_at = v_now
    from (select f.ctid as place from public.ops_missions f
          where f.id = any (v_missions) and f.status = 'approved'
          for no key update skip locked) first
    where m.ctid = first.place
  ), noted as (
    insert into ops.claims (id, steps, claimed_at, look_at, handed_to, handed_until)
    values (v_tokens[1], v_steps, v_now, v_now + least(v_lease, 1) * interval '1 second',
      case when p_handed then p_worker_id end, case when p_handed then v_now + v_lease * interval '1 second' end)
  )
  update public.ops_mission_steps s
  set status = 'running', lease_token = c.token, reserved_at = v_now,
    lease_expires_at = v_now + v_lease * interval '1 second', worker_id = p_worker_id, attempt = s.attempt + 1, updated_at = v_now,
    revision = s.revision + 1, max_retries = coalesce(s.declared_retries, v_terms.default_retries)
  -- In the order of the claim: with the settings above, rows can only be looked up one after the other, as the places come.
  from unnest(v_places, v_missions, v_tokens) c(place, mission_id, token) join public.ops_missions m on m.id = c.mission_id
  -- The queue first: from then on others see that these steps are taken.
  where s.ctid = c.place and (select count(*) from dequeued) >= 0
  returning s.id, s.lease_token, s.mission_id, s.key, s.kind, s.executor, s.agent, s.params,
    case when s.uses_results then (
      select coalesce(jsonb_object_agg(d.key, d.result), '{}') from public.ops_mission_steps d
      where d.mission_id = s.mission_id and d.status = 'succeeded') end,
    s.attempt, s.failure_count, s.max_retries, s.timeout_seconds, s.lease_expires_at, v_lease, m.title, m.depth, s.priority, s.run_at;
  get diagnostics v_leased = row_count;
  if v_leased <> cardinality(v_steps) then
    raise exception 'claimed % steps and leased %', cardinality(v_steps), v_leased using errcode = 'serialization_failure';
  end if;
end
$$;

-- Claims the next step whatever its executor, for clients without registration. The row carries the lease token.
create function public.ops_claim_next_step(p_lease_minutes integer) returns setof public.ops_mission_steps
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_id uuid;
begin
  if p_lease_minutes not between 1 and 1440 then
    perform ops.fail('OPS_011', 'a lease lasts 1 to 1440 minutes', 'p_lease_minutes');
  end if;
  select c.step_id into v_id from public.ops_claim_steps(null, ops.claimable_executors(), 1, p_lease_minutes * 60) c;
  return query select * from public.ops_mission_steps where id = v_id;
end
$$;
