-- What scoped checks read: the watched_* relations. Tests ask for everything, the monitor's rounds for so few rows that a check costs the
-- same however much work is finished.

-- What the watched_* relations of a check stand for: everything, or the newest rows and the oldest of those at work.
create function ops.scope(p_everything boolean) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_everything then
    return $q$with watched_events as not materialized (select * from public.ops_agent_events),
      watched_reactions as not materialized (select * from public.ops_agent_reactions),
      watched_proposals as not materialized (select * from public.ops_mission_proposals),
      watched_missions as not materialized (select * from public.ops_missions),
      watched_steps as not materialized (select * from public.ops_mission_steps),
      watched_runs as not materialized (select * from public.ops_action_runs),
      watched_counters as not materialized (select * from ops.cap_counters),
      watched_stripes as not materialized (select * from ops.cap_stripes),
      watched_keys as not materialized (select * from ops.live_keys)
      $q$;
  end if;
  return $q$with watched_events as materialized (
        select e.* from public.ops_agent_events e where e.id in (
          (select n.id from public.ops_agent_events n order by n.id desc limit 300) union
          (select u.id from public.ops_agent_events u where u.processed_at is null order by u.created_at, u.id limit 100))),
      watched_reactions as materialized (
        select r.* from watched_events e join public.ops_agent_reactions r on r.event_id = e.id),
      watched_proposals as materialized (
        select p.* from public.ops_mission_proposals p where p.id in (
          (select n.id from public.ops_mission_proposals n order by n.id desc limit 300) union
          (select o.id from public.ops_mission_proposals o where o.status = 'pending' order by o.expires_at, o.id limit 100))),
      watched_missions as materialized (
        select m.* from public.ops_missions m where m.id in (
          (select n.id from public.ops_missions n order by n.id desc limit 300) union
          -- Each in the order of its index, so that no more than these are read, however many are open.
          (select q.mission_id from ops.queue q where q.status = 'queued' and q.ready order by q.executor, q.priority, q.run_at, q.step_id limit 100) union
          (select q.mission_id from ops.queue q where q.status = 'waiting' order by q.mission_id limit 100) union
          (select s.mission_id from (select u.id from (select c.steps from ops.claims c order by c.look_at limit 100) c, unnest(c.steps) u(id) limit 100) r,
            lateral (select t.mission_id from public.ops_mission_steps t where t.id = r.id and t.status = 'running' offset 0) s))),
      watched_steps as materialized (
        select s.* from watched_missions m join public.ops_mission_steps s on s.mission_id = m.id),
      watched_runs as materialized (
        select r.* from watched_steps s join public.ops_action_runs r on r.step_id = s.id),
      watched_counters as materialized (
        select * from ops.cap_counters where day >= (select ops.now())::date - 1),
      watched_stripes as materialized (
        select * from ops.cap_stripes where day >= (select ops.now())::date - 1),
      watched_keys as materialized (
        (select * from ops.live_keys where live limit 1000))
      $q$;
end
$$;
