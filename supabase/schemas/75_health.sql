-- How the loop is: heartbeats that were recorded, what waits in the queues, whether somebody works.

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
