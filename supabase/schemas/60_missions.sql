-- Missions begin: an admitted proposal becomes a mission with its steps, and whoever sleeps and takes one of them is woken.

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
