-- Reads for the control plane and the command line: pages of rows, health, the radar.

-- Lists answer newest first, at most 200 rows; p_after is the last id of the page before. Ids are time-ordered. The conditions are
-- written out, so that each plan goes by what was asked for: what is open or belongs together is found by its index, however much has
-- finished since. Other fields are looked for from the newest row back.

-- Rows of a table, as `r`, that meet all the conditions that are not null.
create function ops.page(p_row text, p_from text, p_conditions text[], p_limit integer, p_after uuid) returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Rows are written out when the page is cut, not before.
  return query execute format('select %s from (select * from %s r where %s order by r.id desc limit %s) r order by r.id desc', p_row, p_from,
    array_to_string(array['true', case when p_after is not null then format('r.id < %L', p_after) end] || p_conditions, ' and '),
    least(p_limit, 200));
end
$$;

-- A page of rows of a state that few rows are in, or very many: the newest thousand fill the page where there are many; else p_found says
-- which rows are in it.
create function ops.page_of_some(p_row text, p_from text, p_conditions text[], p_found text, p_limit integer, p_after uuid) returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_newest text := format('(select * from %s n where %s order by n.id desc limit 1000)', p_from, case when p_after is null then 'true' else format('n.id < %L', p_after) end);
  v_page jsonb[];
begin
  v_page := array(select ops.page(p_row, v_newest, p_conditions, p_limit, p_after));
  if cardinality(v_page) < least(p_limit, 200) then
    return query select ops.page(p_row, p_from, p_conditions || p_found, p_limit, p_after);
  else
    return query select unnest(v_page);
  end if;
end
$$;

-- `column = what p_filter says`, or null where it says nothing. No row has a value that is not among p_known.
create function ops.equals(p_filter jsonb, p_field text, p_known text[] default null) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when not p_filter ? p_field then null
    when p_known is null or p_filter ->> p_field = any (p_known) then format('r.%I = %L', p_field, p_filter ->> p_field)
    else 'false' end;
end
$$;

create function public.ops_list_events(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select * from ops.page('to_jsonb(r)', 'public.ops_agent_events', array[
    ops.equals(p_filter, 'type'),
    ops.equals(p_filter, 'id'),
    case when not (p_filter ->> 'heartbeats')::boolean then 'r.type not in (''heartbeat:success'', ''heartbeat:failure'')' end,
    case (p_filter ->> 'processed')::boolean when true then 'r.processed_at is not null' when false then 'r.processed_at is null' end,
    case when p_filter ? 'root_event_id' then format('(r.root_event_id = %1$L or (r.id = %1$L and r.root_event_id is null))',
      p_filter ->> 'root_event_id') end], p_limit, p_after);
end
$$;

create function public.ops_list_proposals(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select * from ops.page(
    'to_jsonb(r) || jsonb_build_object(''mission_id'', (select m.id from public.ops_missions m where m.proposal_id = r.id))',
    'public.ops_mission_proposals', array[
    ops.equals(p_filter, 'status', enum_range(null::public.ops_proposal_status)::text[]),
    ops.equals(p_filter, 'source'),
    ops.equals(p_filter, 'id')], p_limit, p_after);
end
$$;

create function public.ops_list_missions(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_conditions text[] := array[
    ops.equals(p_filter, 'status', enum_range(null::public.ops_mission_status)::text[]),
    ops.equals(p_filter, 'id')];
begin
  if p_filter ->> 'status' in ('approved', 'running') then
    return query select * from ops.page_of_some('to_jsonb(r)', 'public.ops_missions', v_conditions,
      'r.id = any (array(select o.id from ops.open_missions o))', p_limit, p_after);
  else
    return query select * from ops.page('to_jsonb(r)', 'public.ops_missions', v_conditions, p_limit, p_after);
  end if;
end
$$;

create function public.ops_list_steps(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_row constant text := 'to_jsonb(r) - ''lease_token''';
  v_conditions text[] := array[
    ops.equals(p_filter, 'status', enum_range(null::public.ops_step_status)::text[]),
    ops.equals(p_filter, 'mission_id'),
    ops.equals(p_filter, 'kind'),
    ops.equals(p_filter, 'executor'),
    ops.equals(p_filter, 'id')];
  v_found text := case when p_filter ->> 'status' in ('queued', 'waiting', 'failed')
      then format('r.id = any (array(select q.step_id from ops.queue q where q.status = %L))', p_filter ->> 'status')
    when p_filter ->> 'status' = 'running' then 'r.id = any (array(select u.id from ops.claims c, unnest(c.steps) u(id)))' end;
begin
  if v_found is not null and not p_filter ?| array['mission_id', 'id'] then
    return query select * from ops.page_of_some(v_row, 'public.ops_mission_steps', v_conditions, v_found, p_limit, p_after);
  else
    return query select * from ops.page(v_row, 'public.ops_mission_steps', v_conditions, p_limit, p_after);
  end if;
end
$$;

-- One beat of the control plane: kept with its report, and told as an event heartbeat:success or heartbeat:failure, which no
-- pattern ever sees. Returns the event's id.
create function public.ops_record_heartbeat(p_ok boolean, p_report jsonb) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
begin
  insert into ops.heartbeats (ok, report) values (p_ok, coalesce(p_report, '{}'));
  perform ops.add_to_total('heartbeats', '', case when p_ok then 'success' else 'failure' end,
    array[case when jsonb_typeof(p_report #> '{durations_ms,total}') = 'number'
      then (p_report #>> '{durations_ms,total}')::double precision / 1000 end]);
  insert into public.ops_agent_events (type, data, processed_at)
  values (case when p_ok then 'heartbeat:success' else 'heartbeat:failure' end, coalesce(p_report, '{}'), ops.now())
  returning id into v_id;
  return v_id;
end
$$;

-- What waits and what is under way, each counted up to p_most, and open missions up to p_missions, which have to be told apart. By index and
-- without bitmaps, so that no more than these are read.
create function ops.count_queues(p_most integer, p_missions integer) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
  return jsonb_build_object(
    'events', (select count(*) from (select from public.ops_agent_events where processed_at is null limit p_most) e),
    'reactions', (select count(*) from (select from public.ops_agent_reactions where status = 'queued' limit p_most) r),
    'proposals_pending', (select count(*) from (select from public.ops_mission_proposals where status = 'pending' limit p_most) p),
    'steps', (
      select count(*) from (
        (select from ops.queue where status = 'queued' and ready limit p_most) union all
        (select from ops.queue where status = 'queued' and not ready limit p_most) limit p_most) s),
    'steps_running', (select count(*) from (select from ops.running_steps limit p_most) r),
    'missions_open', (
      select count(*) from (
        (select mission_id from ops.queue where status = 'waiting' limit p_missions) union
        (select mission_id from ops.queue where status = 'queued' and ready limit p_missions) union
        (select mission_id from ops.queue where status = 'queued' and not ready limit p_missions) union
        (select mission_id from ops.running_steps limit p_missions) limit p_missions) m));
end
$$;

-- Since when the longest waiting step of each executor and priority has been due that can be claimed; hops from one to the next.
create function ops.queue_heads() returns table (executor text, priority smallint, run_at timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
  return query
  with recursive hop as (
    (select q.executor, q.priority, q.run_at from ops.queue q where q.status = 'queued' and q.ready
     order by q.executor, q.priority, q.run_at limit 1)
    union all
    select n.* from hop h, lateral (
      select q.executor, q.priority, q.run_at from ops.queue q
      where q.status = 'queued' and q.ready and (q.executor, q.priority) > (h.executor, h.priority)
      order by q.executor, q.priority, q.run_at limit 1) n
  )
  select h.executor, h.priority, h.run_at from hop h;
end
$$;

-- The state of the loop in one object. A worker is live when it was seen within two minutes; a heartbeat is silent when the last one was
-- three of its usual intervals ago. A loop that has never had one has just been installed. Queues are counted up to `counted_up_to`.
create function public.ops_health() returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'status', case when h.ok is false or h.at < ops.now() - interval '15 minutes' or ops.on_hold() then 'degraded' else 'healthy' end,
    'database', 'connected',
    'postgres_version', current_setting('server_version'),
    'schema_version', ops.schema_version(),
    'queues', ops.count_queues(10000, 10000),
    'counted_up_to', 10000,
    'oldest_queued_seconds', coalesce(round(extract(epoch from ops.now() - (select min(q.run_at) from ops.queue_heads() q))), 0),
    'workers', jsonb_build_object('live', (select count(*) from ops.workers where last_seen_at > ops.now() - interval '2 minutes')),
    'last_heartbeat_at', h.at,
    'last_heartbeat_ok', h.ok,
    'paused', coalesce(ops.policy('control') -> 'pause', '{}'),
    'held', ops.on_hold(),
    -- The services in the registry, the workers that are live, and the control plane.
    'system_count', (select count(*) from ops.services) + (select count(*) from ops.workers where last_seen_at > ops.now() - interval '2 minutes') + 1,
    'circuit_breakers', (
      select jsonb_build_object('overall_health', case when count(*) filter (where state = 'open') = 0 then 'healthy' else 'degraded' end,
        'total', count(*), 'open', coalesce(jsonb_agg(name order by name) filter (where state = 'open'), '[]'))
      from ops.services),
    'alerts', (
      select jsonb_build_object('critical', count(*) filter (where severity = 'critical'), 'high', count(*) filter (where severity = 'high'),
        'warning', count(*) filter (where severity = 'warning'), 'info', count(*) filter (where severity = 'info'))
      from ops.alerts where status = 'open'),
    'canary', (select jsonb_build_object('status', c.status, 'sent_at', c.sent_at, 'reason', c.reason) from ops.canaries c order by c.sent_at desc limit 1),
    'capabilities', jsonb_build_object('executors', (
      select coalesce(jsonb_agg(distinct e order by e), '[]') from ops.workers w, unnest(w.executors) e where w.last_seen_at > ops.now() - interval '2 minutes')))
  from (select 1) one left join lateral (select ok, at from ops.heartbeats order by at desc limit 1) h on true
$$;

-- Radar. Adding is idempotent for a step: its retry finds what the first attempt added.
-- p_item: {"title", "description"?, "stage"?, "notes"?, "entity"?, "event_type"?, "topic"?, "source_url"?, "evidence_snippet"?,
-- "confidence"?, "impact_areas"?: [text], "curator_name"?}. Errors: OPS_011.
create function public.ops_radar_add(p_item jsonb, p_step_id uuid default null)
returns table (id uuid, stage text, created boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if coalesce(p_item ->> 'title', '') = '' then
    perform ops.fail('OPS_011', 'a radar item needs a title', 'title');
  end if;
  return query
  insert into public.ops_demand_radar as r (title, description, stage, notes, entity, event_type, topic, source_url, evidence_snippet,
    confidence, impact_areas, curator_name, step_id)
  values (p_item ->> 'title', p_item ->> 'description', coalesce(p_item ->> 'stage', 'watching'), p_item ->> 'notes', p_item ->> 'entity',
    p_item ->> 'event_type', p_item ->> 'topic', p_item ->> 'source_url', p_item ->> 'evidence_snippet', p_item ->> 'confidence',
    array(select jsonb_array_elements_text(coalesce(p_item -> 'impact_areas', '[]'))), p_item ->> 'curator_name', p_step_id)
  on conflict (step_id) do nothing
  returning r.id, r.stage, true;
  if not found then
    return query select r.id, r.stage, false from public.ops_demand_radar r where r.step_id = p_step_id;
  end if;
end
$$;

-- Changes the named fields of a radar item and answers the stage before and after. Errors: OPS_013 unknown item.
create function public.ops_radar_update(p_id uuid, p_changes jsonb)
returns table (id uuid, stage text, previous_stage text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_before text;
begin
  select r.stage into v_before from public.ops_demand_radar r where r.id = p_id for no key update;
  if not found then
    perform ops.fail('OPS_013', format('there is no radar item %s', p_id), 'p_id');
  end if;
  return query
  update public.ops_demand_radar r
  set title = coalesce(p_changes ->> 'title', r.title), description = coalesce(p_changes ->> 'description', r.description),
    stage = coalesce(p_changes ->> 'stage', r.stage), notes = coalesce(p_changes ->> 'notes', r.notes),
    topic = coalesce(p_changes ->> 'topic', r.topic), source_url = coalesce(p_changes ->> 'source_url', r.source_url),
    evidence_snippet = coalesce(p_changes ->> 'evidence_snippet', r.evidence_snippet), confidence = coalesce(p_changes ->> 'confidence', r.confidence)
  where r.id = p_id
  returning r.id, r.stage, v_before;
end
$$;

create function public.ops_radar_list(p_stage text default null, p_limit integer default 50) returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(r) from public.ops_demand_radar r
  where p_stage is null or r.stage = p_stage
  order by r.updated_at desc, r.id desc limit least(p_limit, 200)
$$;
