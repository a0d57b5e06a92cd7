-- Archive: finished work leaves the live tables and keeps its trace.
--
-- Deleting is archiving: whoever deletes rows of the loop, by ops_archive or by a DELETE of their own, a trigger keeps a copy
-- with its place in the chain.

create function ops.keep_deleted() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_argv[0] = 'event' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'event', e.id, coalesce(e.run_id, e.mission_id), e.created_at, 'processed', e.type, jsonb_build_object('depth', e.depth), to_jsonb(e)
    from gone e on conflict do nothing;
  elsif tg_argv[0] = 'reaction' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'reaction', r.id, r.event_id, r.created_at, r.status, coalesce(r.pattern_id, 'reaction'), '{}', to_jsonb(r)
    from gone r on conflict do nothing;
  elsif tg_argv[0] = 'proposal' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'proposal', p.id, p.reaction_id, p.created_at, p.status::text, coalesce(p.title, 'proposal'), jsonb_build_object('code', p.code), to_jsonb(p)
    from gone p on conflict do nothing;
  elsif tg_argv[0] = 'mission' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'mission', m.id, m.proposal_id, m.created_at, m.status::text, coalesce(m.title, 'mission'), jsonb_build_object('completed_at', m.completed_at), to_jsonb(m)
    from gone m on conflict do nothing;
  elsif tg_argv[0] = 'step' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'step', s.id, s.mission_id, s.created_at, s.status::text, s.key || ' (' || s.kind || ')', jsonb_build_object('attempt', s.attempt), to_jsonb(s)
    from gone s on conflict do nothing;
  else
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'run', r.id, r.step_id, r.started_at, r.status, 'attempt ' || coalesce(r.attempt::text, '?'), jsonb_build_object('error', r.error), to_jsonb(r)
    from gone r on conflict do nothing;
  end if;
  return null;
end
$$;

create trigger ops_agent_events_archive after delete on public.ops_agent_events
  referencing old table as gone for each statement execute function ops.keep_deleted('event');
create trigger ops_agent_reactions_archive after delete on public.ops_agent_reactions
  referencing old table as gone for each statement execute function ops.keep_deleted('reaction');
create trigger ops_mission_proposals_archive after delete on public.ops_mission_proposals
  referencing old table as gone for each statement execute function ops.keep_deleted('proposal');
create trigger ops_missions_archive after delete on public.ops_missions
  referencing old table as gone for each statement execute function ops.keep_deleted('mission');
create trigger ops_mission_steps_archive after delete on public.ops_mission_steps
  referencing old table as gone for each statement execute function ops.keep_deleted('step');
create trigger ops_action_runs_archive after delete on public.ops_action_runs
  referencing old table as gone for each statement execute function ops.keep_deleted('run');

-- Copies rows of the loop as they stand, links and all, before anything is deleted.
create function ops.copy_to_archive(p_ids uuid[]) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
  select l.entity, l.id, l.parent_id, l.at, l.status, l.summary, l.details,
    case l.entity
      when 'event' then (select to_jsonb(t) from public.ops_agent_events t where t.id = l.id)
      when 'reaction' then (select to_jsonb(t) from public.ops_agent_reactions t where t.id = l.id)
      when 'proposal' then (select to_jsonb(t) from public.ops_mission_proposals t where t.id = l.id)
      when 'mission' then (select to_jsonb(t) from public.ops_missions t where t.id = l.id)
      when 'step' then (select to_jsonb(t) from public.ops_mission_steps t where t.id = l.id)
      else (select to_jsonb(t) from public.ops_action_runs t where t.id = l.id)
    end
  from unnest(p_ids) i join ops.lineage l on l.id = i
  where not l.details ? 'archived'
  on conflict do nothing
$$;

-- Moves finished chains to the archive: those that began, and whose every row ended, before p_older_than ago. One call moves at
-- most p_limit chains (1..10000); call it until it answers zero. Returns how many chains and rows moved.
-- Errors: OPS_011 for an interval below one hour.
create function public.ops_archive(p_older_than interval, p_limit integer default 1000)
returns table (chains integer, rows integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_before timestamptz := ops.now() - p_older_than;
  v_events uuid[];
  v_proposals uuid[];
  v_ids uuid[];
begin
  if p_older_than < interval '1 hour' then
    perform ops.fail('OPS_011', 'p_older_than must be at least one hour', 'p_older_than');
  end if;

  -- Chains under an event from outside.
  select array_agg(e.id) into v_events
  from (
    select e.id from public.ops_agent_events e
    where e.created_at < v_before and e.processed_at < v_before and e.root_event_id is null and e.mission_id is null and e.run_id is null
      and not exists (select from public.ops_agent_events c
                      where c.root_event_id = e.id and (c.processed_at is null or c.processed_at >= v_before))
      and not exists (select from public.ops_mission_proposals p left join public.ops_missions m on m.proposal_id = p.id
                      where p.root_event_id = e.id
                        and (p.status = 'pending' or p.updated_at >= v_before
                          or (m.id is not null and coalesce(m.completed_at, 'infinity') >= v_before)))
      and not exists (select from public.ops_agent_reactions r
                      where (r.event_id = e.id or r.event_id in (select c.id from public.ops_agent_events c where c.root_event_id = e.id))
                        and r.status in ('queued', 'processing'))
    order by e.created_at, e.id limit least(greatest(p_limit, 1), 10000)
    for update skip locked) e;

  -- Chains that a person or program began with a proposal.
  select array_agg(p.id) into v_proposals
  from (
    select p.id from public.ops_mission_proposals p left join public.ops_missions m on m.proposal_id = p.id
    where p.created_at < v_before and p.root_event_id is null and p.status <> 'pending' and p.updated_at < v_before
      and (m.id is null or m.completed_at < v_before)
      and not exists (select from public.ops_agent_events c where c.mission_id = m.id
                      and (c.processed_at is null or c.processed_at >= v_before
                        or exists (select from public.ops_agent_reactions r where r.event_id = c.id)))
    order by p.created_at, p.id limit greatest(least(p_limit, 10000) - coalesce(array_length(v_events, 1), 0), 0)
    for update of p skip locked) p;

  select array_agg(distinct t.id) into v_ids
  from unnest(v_events || v_proposals) r, public.ops_trace(r) t;
  chains := coalesce(array_length(v_events, 1), 0) + coalesce(array_length(v_proposals, 1), 0);
  rows := coalesce(array_length(v_ids, 1), 0);
  if chains > 0 then
    perform ops.copy_to_archive(v_ids);
    delete from public.ops_agent_events where id = any (v_ids) and (mission_id is not null or run_id is not null);
    delete from public.ops_mission_proposals where id = any (v_ids);
    delete from public.ops_agent_events where id = any (v_ids);
    delete from ops.root_missions where root_event_id = any (v_ids);
  end if;
  return next;
end
$$;
