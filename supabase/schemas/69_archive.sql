-- Archive: finished work leaves the live tables and keeps its trace.
--
-- Deleting is archiving: whoever deletes rows of the loop, by ops_archive or by a DELETE of their own, a trigger keeps a copy
-- with its place in the chain and what was decided about it. Where the children stay, they keep their place as well.

create function ops.keep_deleted() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_argv[0] = 'event' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, decided, data)
    select 'event', e.id, coalesce(e.run_id, e.mission_id, e.proposal_id, l.parent_id), e.created_at, 'processed', e.type,
      jsonb_build_object('depth', e.depth), to_jsonb(v), to_jsonb(e)
    from gone e left join ops.severed_links l on l.id = e.id left join ops.event_verdicts v on v.event_id = e.id
    -- Beats leave no trace.
    where e.type not in ('heartbeat:success', 'heartbeat:failure')
    on conflict do nothing;
    delete from ops.severed_links l using gone e where l.id = e.id;
    delete from ops.event_verdicts v using gone e where v.event_id = e.id;
  elsif tg_argv[0] = 'reaction' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, data)
    select 'reaction', r.id, r.event_id, r.created_at, r.status, coalesce(r.pattern_id, 'reaction'), '{}', to_jsonb(r)
    from gone r on conflict do nothing;
  elsif tg_argv[0] = 'proposal' then
    insert into ops.archive (entity, id, parent_id, at, status, summary, details, decided, data)
    select 'proposal', p.id, coalesce(p.reaction_id, l.parent_id), p.created_at, p.status::text, coalesce(p.title, 'proposal'),
      jsonb_build_object('code', p.code), to_jsonb(d), to_jsonb(p)
    from gone p left join ops.severed_links l on l.id = p.id left join ops.decisions d on d.proposal_id = p.id
    on conflict do nothing;
    delete from ops.severed_links l using gone p where l.id = p.id;
    delete from ops.decisions d using gone p where d.proposal_id = p.id;
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

-- Runs when a foreign key sets a link to null because the parent was deleted. The nearest parent counts, and it goes first.
create function ops.keep_link() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_table_name = 'ops_agent_events' then
    insert into ops.severed_links (id, parent_id)
    values (old.id, coalesce(old.run_id, old.mission_id, old.proposal_id)) on conflict do nothing;
  else
    insert into ops.severed_links (id, parent_id) values (old.id, old.reaction_id) on conflict do nothing;
  end if;
  return null;
end
$$;
create trigger ops_agent_events_link after update of run_id, mission_id, proposal_id on public.ops_agent_events
  for each row when (
    (old.run_id is not null and new.run_id is null) or (old.mission_id is not null and new.mission_id is null)
    or (old.proposal_id is not null and new.proposal_id is null))
  execute function ops.keep_link();
create trigger ops_mission_proposals_link after update of reaction_id on public.ops_mission_proposals
  for each row when (old.reaction_id is not null and new.reaction_id is null)
  execute function ops.keep_link();

-- Whether all of these rows ended before a moment.
create function ops.ended_before(p_ids uuid[], p_before timestamptz) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return not exists (
      select from public.ops_agent_events
      where id = any (p_ids) and (created_at >= p_before or coalesce(processed_at, 'infinity') >= p_before))
    and not exists (select from public.ops_agent_reactions where id = any (p_ids) and status in ('queued', 'processing'))
    and not exists (
      select from public.ops_mission_proposals where id = any (p_ids) and (status = 'pending' or updated_at >= p_before))
    and not exists (
      select from public.ops_missions where id = any (p_ids) and coalesce(completed_at, 'infinity') >= p_before);
end
$$;

-- Locks what somebody could set to work again. False, and at once, when somebody else holds a part of it or has taken it away.
create function ops.hold_chain(p_ids uuid[]) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select count(*) from (select from public.ops_missions where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_missions where id = any (p_ids))
    and (select count(*) from (select from public.ops_mission_steps where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_mission_steps where id = any (p_ids))
    and (select count(*) from (select from public.ops_mission_proposals where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_mission_proposals where id = any (p_ids))
    and (select count(*) from (select from public.ops_agent_reactions where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_agent_reactions where id = any (p_ids))
    and (select count(*) from (select from public.ops_agent_events where id = any (p_ids) for update skip locked) held)
      = (select count(*) from public.ops_agent_events where id = any (p_ids));
end
$$;

-- Moves whole chains: first copies of the rows as they stand, links and all, then the deletes. Returns the rows moved.
create function ops.move_to_archive(p_ids uuid[]) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_rows integer;
begin
  insert into ops.archive (entity, id, parent_id, at, status, summary, details, decided, data)
  select l.entity, l.id, l.parent_id, l.at, l.status, l.summary, l.details,
    case l.entity
      when 'event' then (select to_jsonb(v) from ops.event_verdicts v where v.event_id = l.id)
      when 'proposal' then (select to_jsonb(d) from ops.decisions d where d.proposal_id = l.id)
    end,
    case l.entity
      when 'event' then (select to_jsonb(t) from public.ops_agent_events t where t.id = l.id)
      when 'reaction' then (select to_jsonb(t) from public.ops_agent_reactions t where t.id = l.id)
      when 'proposal' then (select to_jsonb(t) from public.ops_mission_proposals t where t.id = l.id)
      when 'mission' then (select to_jsonb(t) from public.ops_missions t where t.id = l.id)
      when 'step' then (select to_jsonb(t) from public.ops_mission_steps t where t.id = l.id)
      else (select to_jsonb(t) from public.ops_action_runs t where t.id = l.id)
    end
  from ops.lineage l -- by an array, not by a join: see ops.chain_of
  where l.id = any (p_ids) and not l.details ? 'archived'
  on conflict do nothing;
  get diagnostics v_rows = row_count;
  delete from public.ops_agent_events where id = any (p_ids) and (proposal_id is not null or mission_id is not null or run_id is not null);
  delete from public.ops_mission_proposals where id = any (p_ids);
  delete from public.ops_agent_events where id = any (p_ids);
  delete from ops.root_missions where root_event_id = any (p_ids);
  return v_rows;
end
$$;

-- Moves finished chains to the archive: those that began, and whose every row ended, before p_older_than ago. One call moves at
-- most p_limit chains (1..10000), oldest first; call it until it answers zero. It waits for nobody: a chain of which somebody
-- holds a part is left for the next call. Returns how many chains and rows moved.
-- Errors: OPS_011 for an interval below one hour.
--
-- Oldest first is by id, which begins with the time: both primary keys are walked side by side from their old end, and only as far as
-- the first thousand rows that are too young, however many come after. Sorting is off, and no row is left out by a condition, so
-- that no plan looks ahead.
create function public.ops_archive(p_older_than interval, p_limit integer default 1000)
returns table (chains integer, rows integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
declare
  v_before timestamptz := ops.now() - p_older_than;
  v_root record;
  v_young integer := 0;
  v_chain uuid[];
  v_ids uuid[] := '{}';
begin
  if p_older_than is null or p_older_than < interval '1 hour' then
    perform ops.fail('OPS_011', 'p_older_than must be at least one hour', 'p_older_than');
  end if;
  chains := 0;
  rows := 0;
  for v_root in
    select r.* from (
      (select e.id, e.created_at < v_before as is_old,
         e.proposal_id is null and e.mission_id is null and e.run_id is null and e.processed_at < v_before as may_go
       from public.ops_agent_events e order by e.id)
      union all
      (select p.id, p.created_at < v_before, p.reaction_id is null and p.updated_at < v_before and p.status <> 'pending'
       from public.ops_mission_proposals p order by p.id)) r
    order by r.id
  loop
    v_young := case when v_root.is_old then 0 else v_young + 1 end;
    exit when v_young >= 1000 or chains >= least(greatest(p_limit, 1), 10000);
    continue when not v_root.is_old or v_root.may_go is not true;
    v_chain := ops.chain_of(v_root.id);
    -- Asked again under the locks: what was held a moment ago may have been set to work.
    continue when not (ops.ended_before(v_chain, v_before) and ops.hold_chain(v_chain) and ops.ended_before(v_chain, v_before));
    chains := chains + 1;
    v_ids := v_ids || v_chain;
    if cardinality(v_ids) >= 1000 then
      rows := rows + ops.move_to_archive(v_ids);
      v_ids := '{}';
    end if;
  end loop;
  rows := rows + ops.move_to_archive(v_ids);
  return next;
end
$$;
