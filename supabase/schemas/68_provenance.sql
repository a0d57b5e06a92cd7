-- Provenance: every row can say why it exists.
--
-- event → reaction → proposal → mission → step → run → event. Each row has one parent, so a chain is a tree under its root.

-- All rows of the loop in one shape, live and archived. Events stand here four times and proposals twice, by what their parent
-- is, so that each look-up by parent can go by an index. A parent that was deleted by hand is in ops.severed_links.
create view ops.lineage as
  select 'event' as entity, e.id, l.parent_id, e.created_at as at,
    case when e.processed_at is null then 'unprocessed' else 'processed' end as status, e.type as summary,
    jsonb_build_object('depth', e.depth, 'root_event_id', coalesce(e.root_event_id, e.id), 'dedupe_key', e.dedupe_key) as details
  from public.ops_agent_events e left join ops.severed_links l on l.id = e.id
  where e.run_id is null and e.mission_id is null and e.proposal_id is null
union all
  select 'event' as entity, e.id, e.proposal_id as parent_id, e.created_at as at,
    case when e.processed_at is null then 'unprocessed' else 'processed' end as status, e.type as summary,
    jsonb_build_object('depth', e.depth, 'root_event_id', coalesce(e.root_event_id, e.id), 'dedupe_key', e.dedupe_key) as details
  from public.ops_agent_events e where e.run_id is null and e.mission_id is null and e.proposal_id is not null
union all
  select 'event' as entity, e.id, e.mission_id as parent_id, e.created_at as at,
    case when e.processed_at is null then 'unprocessed' else 'processed' end as status, e.type as summary,
    jsonb_build_object('depth', e.depth, 'root_event_id', coalesce(e.root_event_id, e.id), 'dedupe_key', e.dedupe_key) as details
  from public.ops_agent_events e where e.run_id is null and e.mission_id is not null
union all
  select 'event' as entity, e.id, e.run_id as parent_id, e.created_at as at,
    case when e.processed_at is null then 'unprocessed' else 'processed' end as status, e.type as summary,
    jsonb_build_object('depth', e.depth, 'root_event_id', coalesce(e.root_event_id, e.id), 'dedupe_key', e.dedupe_key) as details
  from public.ops_agent_events e where e.run_id is not null
union all
  select 'reaction', r.id, r.event_id, r.created_at, r.status, coalesce(r.pattern_id, 'reaction'), r.payload - 'proposal_template'
  from public.ops_agent_reactions r
union all
  select 'proposal', p.id, p.reaction_id, p.created_at, p.status::text, coalesce(p.title, 'proposal'),
    jsonb_build_object('source', p.source, 'code', p.code, 'reason', p.reason, 'decided_by', p.decided_by)
  from public.ops_mission_proposals p where p.reaction_id is not null
union all
  select 'proposal', p.id, l.parent_id, p.created_at, p.status::text, coalesce(p.title, 'proposal'),
    jsonb_build_object('source', p.source, 'code', p.code, 'reason', p.reason, 'decided_by', p.decided_by)
  from public.ops_mission_proposals p left join ops.severed_links l on l.id = p.id where p.reaction_id is null
union all
  select 'mission', m.id, m.proposal_id, m.created_at, m.status::text, coalesce(m.title, 'mission'),
    jsonb_build_object('steps_total', m.steps_total, 'started_at', m.started_at, 'completed_at', m.completed_at, 'end_reason', m.end_reason)
  from public.ops_missions m
union all
  select 'step', s.id, s.mission_id, s.created_at, s.status::text, s.key || ' (' || s.kind || ')',
    jsonb_build_object('executor', s.executor, 'agent', s.agent, 'attempt', s.attempt, 'failure_count', s.failure_count,
      'last_error', s.last_error, 'completed_at', s.completed_at, 'position', s.position)
  from public.ops_mission_steps s
union all
  select 'run', r.id, r.step_id, r.started_at, r.status, 'attempt ' || coalesce(r.attempt::text, '?'),
    jsonb_build_object('executor', r.executor, 'completed_at', r.completed_at, 'error', r.error, 'worker_id', r.worker_id)
  from public.ops_action_runs r
union all
  select a.entity, a.id, a.parent_id, a.at, a.status, a.summary, a.details || '{"archived": true}'
  from ops.archive a;

-- A root and all that came of it, live rows and archived ones; level by level, and no level after more than p_limit rows. By arrays, not by
-- a join: a condition on parent_id reaches the indexes under the view, a join would read all of every table.
create function ops.chain_of(p_root uuid, p_limit integer default 2147483647) returns uuid[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_chain uuid[] := array[p_root];
  v_level uuid[] := array[p_root];
begin
  while cardinality(v_level) > 0 and cardinality(v_chain) < p_limit loop
    v_level := array(select l.id from ops.lineage l where l.parent_id = any (v_level));
    v_chain := v_chain || v_level;
  end loop;
  return v_chain;
end
$$;

-- Where the chain of a row began: the oldest ancestor that is still there, or null when no row has that id.
create function ops.root_of(p_id uuid) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_root uuid;
  v_next uuid := p_id;
  v_parent uuid;
begin
  for i in 1..10000 loop
    select l.parent_id into v_parent from ops.lineage l where l.id = v_next;
    exit when not found;
    v_root := v_next;
    v_next := v_parent;
  end loop;
  return v_root;
end
$$;

-- The whole chain that any row belongs to, both ways: from the event or proposal that began it to everything that came of it,
-- parents before children. At most 10,000 rows. Errors: OPS_013 when no row has that id.
create function public.ops_trace(p_id uuid)
returns table ("position" integer, entity text, id uuid, parent_id uuid, at timestamptz, status text, summary text, details jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_root uuid := ops.root_of(p_id);
  v_chain uuid[] := ops.chain_of(v_root, 10000);
begin
  if v_root is null then
    perform ops.fail('OPS_013', format('nothing has the id %s', p_id), 'p_id', 'pass the id of an event, reaction, proposal, mission, step or run');
  end if;
  return query
  with recursive link as materialized (
    select l.* from ops.lineage l where l.id = any (v_chain)
  ), tree as (
    select l.*, array[(l.at, l.id)] as path from link l where l.id = v_root
    union all
    select l.*, t.path || (l.at, l.id)
    from tree t join link l on l.parent_id = t.id
    where array_length(t.path, 1) < 500
  )
  select row_number() over (order by t.path)::integer, t.entity, t.id, t.parent_id, t.at, t.status, t.summary, t.details
  from (select * from tree limit 10000) t
  order by 1;
end
$$;

-- What each pattern decided about an event, and why. Patterns that the event's type ruled out are listed too, as the policy
-- version in force had them; archived events answer too. No rows: nobody has settled the event yet. Errors: OPS_013 unknown event.
create function public.ops_why(p_event_id uuid)
returns table (pattern_id text, decision text, detail jsonb, reaction_id uuid)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  if not exists (select from ops.lineage l where l.id = p_event_id and l.entity = 'event') then
    perform ops.fail('OPS_013', format('there is no event %s', p_event_id), 'p_event_id');
  end if;
  return query
  with verdict as (
    select v.policy_version, v.decisions, v.error, e.type
    from ops.event_verdicts v join public.ops_agent_events e on e.id = v.event_id where v.event_id = p_event_id
    union all
    select v.policy_version, v.decisions, v.error, a.summary
    from ops.archive a, jsonb_populate_record(null::ops.event_verdicts, a.decided) v
    where a.id = p_event_id and a.entity = 'event' and a.decided is not null
  ), told as (
    select d ->> 'pattern_id' as pattern_id, d ->> 'decision' as decision, d - 'pattern_id' - 'decision' as detail
    from verdict, jsonb_array_elements(decisions) d where jsonb_typeof(d) = 'object'
  )
  select t.pattern_id, t.decision, t.detail,
    (select l.id from ops.lineage l where l.parent_id = p_event_id and l.entity = 'reaction' and l.summary = t.pattern_id)
  from told t
  union all
  select coalesce(p ->> 'id', p ->> 'name'), 'not_matched',
    jsonb_build_object('condition', 'event_type', 'wanted', coalesce(p -> 'event_type', p -> 'type'), 'got', v.type), null
  from verdict v
  join ops.policy_history h on h.key = 'reaction_matrix' and h.version = v.policy_version,
  jsonb_array_elements(h.value -> 'patterns') p
  where not exists (select from told t where t.pattern_id = coalesce(p ->> 'id', p ->> 'name'))
  union all
  select '*', 'error', jsonb_build_object('message', v.error), null from verdict v where v.error is not null;
end
$$;

-- What happened since a moment, oldest first, one row for each thing that reached a state. Rows carry the time they were
-- written, which is before they could be seen: poll with an overlap, and remember (entity, id, status). The engine's own canary is left out.
create function public.ops_timeline(p_since timestamptz, p_limit integer default 500)
returns table (at timestamptz, entity text, id uuid, root_event_id uuid, status text, summary text, details jsonb)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
  select t.* from (
    select e.created_at as at, 'event' as entity, e.id, coalesce(e.root_event_id, e.id) as root_event_id, 'received' as status, e.type as summary,
      jsonb_strip_nulls(jsonb_build_object('type', e.type, 'depth', e.depth, 'mission_id', e.mission_id, 'run_id', e.run_id,
        'source', e.data -> 'source', 'action', e.data -> 'action', 'title', e.data -> 'title',
        'repository', e.data #> '{repository,full_name}')) as details
    from public.ops_agent_events e
    where e.created_at >= p_since and e.type <> 'canary:ping' and not (e.mission_id is not null and coalesce(e.data ->> 'source', '') = 'canary')
    union all
    select r.updated_at, 'reaction', r.id, coalesce(e.root_event_id, e.id), r.status, r.pattern_id,
      jsonb_strip_nulls(jsonb_build_object('pattern_id', r.pattern_id, 'event_id', r.event_id, 'event_type', e.type, 'error', r.payload #> '{error,message}'))
    from public.ops_agent_reactions r join public.ops_agent_events e on e.id = r.event_id where r.created_at >= p_since - interval '1 day' and r.updated_at >= p_since
      and r.pattern_id is distinct from 'ops:canary'
    union all
    select p.updated_at, 'proposal', p.id, coalesce(p.root_event_id, p.id), p.status::text, p.title,
      jsonb_strip_nulls(jsonb_build_object('title', p.title, 'code', p.code, 'reason', p.reason, 'source', p.source, 'pattern_id', p.pattern_id,
        'decided_by', p.decided_by,
        'event_id', (select r.event_id from public.ops_agent_reactions r where r.id = p.reaction_id),
        'mission_id', (select m.id from public.ops_missions m where m.proposal_id = p.id)))
    from public.ops_mission_proposals p where p.updated_at >= p_since and p.source <> 'canary'
    union all
    select r.completed_at, 'step', s.id, m.root_event_id, case when r.status = 'failed' and s.attempt > r.attempt then 'queued' when r.status = 'failed' then s.status::text else r.status end,
      s.key, jsonb_strip_nulls(jsonb_build_object('key', s.key, 'kind', s.kind, 'mission_id', m.id, 'title', m.title, 'error', r.error, 'attempt', r.attempt,
        'duration_ms', round(extract(epoch from r.completed_at - r.started_at) * 1000)))
    from public.ops_action_runs r join public.ops_mission_steps s on s.id = r.step_id join public.ops_missions m on m.id = s.mission_id
    where r.completed_at >= p_since and m.source is distinct from 'canary'
    union all
    select m.completed_at, 'mission', m.id, m.root_event_id, m.status::text, m.title,
      jsonb_strip_nulls(jsonb_build_object('title', m.title, 'steps_total', m.steps_total, 'proposal_id', m.proposal_id, 'reason', m.end_reason,
        'duration_ms', round(extract(epoch from m.completed_at - m.created_at) * 1000)))
    from public.ops_missions m where m.completed_at >= p_since and m.source is distinct from 'canary'
  ) t
  order by t.at, t.id
  limit least(p_limit, 5000)
$$;
