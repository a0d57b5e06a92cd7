-- Recordings: what happened, in a form that can be played again under other policies. Reads only.
--
-- A recording is a list of lines: events with what was decided about them and all that came of it, proposals that clients
-- made, changes of policies, beats. Live rows and archived ones look the same in it.

create function ops.recorded_runs(p_step_id uuid) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object('id', r -> 'id', 'status', r -> 'status', 'error', r -> 'error',
      'started_at', r -> 'started_at', 'completed_at', r -> 'completed_at', 'cost_usd', r -> 'cost_usd')
      order by (r ->> 'attempt')::integer), '[]')
    from (
      select to_jsonb(l) as r from public.ops_action_runs l where l.step_id = p_step_id
      union all
      select a.data from ops.archive a where a.parent_id = p_step_id and a.entity = 'run') u
    where r -> 'completed_at' <> 'null');
end
$$;

create function ops.recorded_mission(p_proposal_id uuid) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mission jsonb;
begin
  select m into v_mission from (
    select to_jsonb(l) as m from public.ops_missions l where l.proposal_id = p_proposal_id
    union all
    select a.data from ops.archive a where a.parent_id = p_proposal_id and a.entity = 'mission') u limit 1;
  if v_mission is null then
    return null;
  end if;
  return jsonb_build_object('id', v_mission -> 'id', 'status', v_mission -> 'status', 'created_at', v_mission -> 'created_at',
    'completed_at', v_mission -> 'completed_at', 'ended_by', v_mission -> 'ended_by',
    'reopened_at', (select coalesce(jsonb_agg(r.at order by r.round), '[]') from ops.reopenings r where r.mission_id = (v_mission ->> 'id')::uuid),
    'steps', (
      select coalesce(jsonb_agg(jsonb_build_object('id', s -> 'id', 'key', s -> 'key', 'kind', s -> 'kind', 'status', s -> 'status',
        'end_reason', s -> 'end_reason', 'runs', ops.recorded_runs((s ->> 'id')::uuid)) order by (s ->> 'position')::integer), '[]')
      from (
        select to_jsonb(l) as s from public.ops_mission_steps l where l.mission_id = (v_mission ->> 'id')::uuid
        union all
        select a.data from ops.archive a where a.parent_id = (v_mission ->> 'id')::uuid and a.entity = 'step') u));
end
$$;

-- A proposal, with its decision and its mission. The template only of one that no reaction made.
create function ops.recorded_proposal(p_proposal jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid := p_proposal ->> 'id';
  v_decision jsonb;
begin
  select to_jsonb(d) into v_decision from ops.decisions d where d.proposal_id = v_id;
  if v_decision is null then
    select a.decided into v_decision from ops.archive a where a.id = v_id and a.entity = 'proposal';
  end if;
  return jsonb_build_object('id', v_id, 'source', p_proposal -> 'source', 'status', p_proposal -> 'status', 'code', p_proposal -> 'code',
    'title', p_proposal -> 'title', 'verdict', p_proposal -> 'verdict', 'digest', p_proposal -> 'digest',
    'dedupe_key', p_proposal -> 'dedupe_key', 'proposed_by', p_proposal -> 'proposed_by', 'created_at', p_proposal -> 'created_at',
    'reserved_usd', p_proposal -> 'reserved_usd',
    'held_until', (select k.held_until from ops.live_keys k where k.proposal_id = v_id limit 1),
    'template', case when p_proposal ->> 'pattern_id' is null then p_proposal -> 'template' end,
    'decision', case when v_decision is not null then jsonb_build_object('decision', v_decision -> 'decision',
      'actor', v_decision -> 'actor', 'note', v_decision -> 'note', 'at', v_decision -> 'at') end,
    'mission', ops.recorded_mission(v_id));
end
$$;

create function ops.recorded_reaction(p_reaction jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid := p_reaction ->> 'id';
  v_proposal jsonb;
begin
  select p into v_proposal from (
    select to_jsonb(l) as p from public.ops_mission_proposals l where l.reaction_id = v_id
    union all
    select a.data from ops.archive a where a.parent_id = v_id and a.entity = 'proposal') u limit 1;
  return jsonb_build_object('id', v_id, 'pattern_id', p_reaction -> 'pattern_id', 'status', p_reaction -> 'status',
    'code', coalesce(p_reaction #> '{payload,result,code}', p_reaction #> '{payload,error,code}'),
    'created_at', p_reaction -> 'created_at', 'updated_at', p_reaction -> 'updated_at',
    'proposal', case when v_proposal is not null then ops.recorded_proposal(v_proposal) end);
end
$$;

create function ops.recorded_event(p_event jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid := p_event ->> 'id';
  v_verdict jsonb;
begin
  select to_jsonb(v) into v_verdict from ops.event_verdicts v where v.event_id = v_id;
  if v_verdict is null then
    select a.decided into v_verdict from ops.archive a where a.id = v_id and a.entity = 'event';
  end if;
  return jsonb_build_object('kind', 'event', 'id', v_id, 'type', p_event -> 'type', 'data', p_event -> 'data',
    'dedupe_key', p_event -> 'dedupe_key', 'created_at', p_event -> 'created_at', 'depth', p_event -> 'depth',
    'proposal_id', p_event -> 'proposal_id', 'mission_id', p_event -> 'mission_id', 'run_id', p_event -> 'run_id',
    'verdict', v_verdict - 'event_id',
    'reactions', (
      select coalesce(jsonb_agg(ops.recorded_reaction(r) order by (r ->> 'created_at')::timestamptz, r ->> 'id'), '[]')
      from (
        select to_jsonb(l) as r from public.ops_agent_reactions l where l.event_id = v_id
        union all
        select a.data from ops.archive a where a.parent_id = v_id and a.entity = 'reaction') u));
end
$$;

-- The lines of a recording for what began from p_from until before p_to, as one JSON array; null when that is more than p_most
-- events and proposals: ask for less time. Order: by time.
create function public.ops_recording(p_from timestamptz, p_to timestamptz, p_most integer default 2000) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_mergejoin = off
as $$
declare
  v_lines jsonb;
  v_count integer;
begin
  with began as materialized (
    select 'event' as kind, e.created_at as at, to_jsonb(e) as row from public.ops_agent_events e
    where e.created_at >= p_from and e.created_at < p_to and e.type not like 'heartbeat:%'
    union all
    select 'event', a.at, a.data from ops.archive a
    where a.entity = 'event' and a.at >= p_from and a.at < p_to and a.archived_at >= p_from and a.data ->> 'type' not like 'heartbeat:%'
    union all
    select 'proposal', p.created_at, to_jsonb(p) from public.ops_mission_proposals p
    where p.created_at >= p_from and p.created_at < p_to and p.pattern_id is null
    union all
    select 'proposal', a.at, a.data from ops.archive a
    where a.entity = 'proposal' and a.at >= p_from and a.at < p_to and a.archived_at >= p_from and a.data ->> 'pattern_id' is null
    limit p_most + 1
  )
  select count(*), coalesce(jsonb_agg(case b.kind
      when 'event' then ops.recorded_event(b.row)
      else ops.recorded_proposal(b.row) || '{"kind": "proposal"}' end order by b.at, b.row ->> 'id')
    filter (where (select count(*) from began) <= p_most), '[]')
  into v_count, v_lines from began b;
  if v_count > p_most then
    return null;
  end if;
  return v_lines
    || (select coalesce(jsonb_agg(jsonb_build_object('kind', 'policy', 'key', c.policy_key, 'value', c.new_value, 'version', c.new_version,
          'at', c.changed_at) order by c.changed_at, c.id), '[]')
        from ops.policy_audit c where c.changed_at >= p_from and c.changed_at < p_to)
    || (select coalesce(jsonb_agg(jsonb_build_object('kind', 'beat', 'at', h.at) order by h.at, h.id), '[]')
        from ops.heartbeats h where h.at >= p_from and h.at < p_to);
end
$$;
