-- What a simulation adds to a database of its own, which lives in memory: a clock that it sets, ids that it numbers, and verbs
-- that play a recorded line once more. No migration: an engine at work never sees this file.
--
-- The engine makes ids of its own for what it makes again. `sim.names` brings each together with the recorded one, so that an
-- event keeps the id that probability is drawn by, and names its mission as it did then.

create schema sim;

create or replace function ops.now() returns timestamptz
language plpgsql volatile
as $$
begin
  return current_setting('sim.now')::timestamptz;
end
$$;

-- In the order of making, as the real ones are: the number stands in front, where those have their time, also in ids that share
-- one stamp. All simulated ids begin with five zeros. The last digits may be put in another order for ids that hang on these.
create sequence sim.ids;
create or replace function ops.new_id() returns uuid
language plpgsql volatile
as $$
begin
  return (overlay(lpad(to_hex(nextval('sim.ids')), 12, '0') placing '-' from 9 for 0) || '-7000-8000-000100020003')::uuid;
end
$$;

create function sim.set_clock(p_now timestamptz) returns void
language plpgsql
as $$
begin
  perform set_config('sim.now', p_now::text, false);
end
$$;
select sim.set_clock('2000-01-01T00:00:00Z');

-- Recorded things, by what a simulated one can be told by.
create table sim.proposals (id uuid primary key, event_id uuid, pattern_id text, mission_id uuid);
create unique index on sim.proposals (event_id, pattern_id);
create table sim.steps (id uuid primary key, mission_id uuid not null, key text not null, kind text not null);
create index on sim.steps (mission_id);
create table sim.events (
  id uuid primary key, about text not null, created_at timestamptz not null, data jsonb, taken boolean not null default false);
create index on sim.events (about, created_at, id) where not taken;
-- Simulated id → recorded id, and back.
create table sim.names (sim_id uuid primary key, recorded_id uuid not null unique);
create table sim.cursor (last uuid not null);
insert into sim.cursor values (ops.new_id());

create function sim.named(p_recorded uuid) returns uuid
language plpgsql stable
as $$
begin
  return (select n.sim_id from sim.names n where n.recorded_id = p_recorded);
end
$$;

create function sim.recorded(p_sim uuid) returns uuid
language plpgsql stable
as $$
begin
  return (select n.recorded_id from sim.names n where n.sim_id = p_sim);
end
$$;

-- What an event is told by, in one word: its type and the recorded ids of what it is about.
create function sim.about(p_type text, p_proposal_id uuid, p_mission_id uuid, p_run_id uuid) returns text
language sql immutable
return concat_ws(' ', p_type, coalesce(p_proposal_id::text, '-'), coalesce(p_mission_id::text, '-'), coalesce(p_run_id::text, '-'));

-- Learns what was recorded: {"proposals": […], "steps": […], "events": […]}, rows of the tables above; events with what they are about.
create function sim.learn(p jsonb) returns void
language plpgsql
as $$
begin
  insert into sim.proposals select * from jsonb_populate_recordset(null::sim.proposals, p -> 'proposals');
  insert into sim.steps select * from jsonb_populate_recordset(null::sim.steps, p -> 'steps');
  insert into sim.events select e.id, sim.about(e.type, e.proposal_id, e.mission_id, e.run_id), e.created_at, e.data, false
  from jsonb_to_recordset(p -> 'events') as e(
    id uuid, type text, created_at timestamptz, proposal_id uuid, mission_id uuid, run_id uuid, data jsonb);
  analyze sim.proposals, sim.steps, sim.events;
end
$$;

-- A policy as it was in force, whatever later schemas say of it. A null value takes it away.
create function sim.put_policy(p_key text, p_value jsonb, p_version integer) returns void
language plpgsql
set session_replication_role = replica
as $$
begin
  if p_key = '*' then
    delete from public.ops_policy;
  elsif p_value is null or p_value = 'null' then
    delete from public.ops_policy where key = p_key;
  else
    insert into public.ops_policy (key, value, version) values (p_key, p_value, p_version)
    on conflict (key) do update set value = excluded.value, version = excluded.version;
    insert into ops.policy_history (key, version, value, updated_at, changed_by) values (p_key, p_version, p_value, ops.now(), 'recorded')
    on conflict (key, version) do update set value = excluded.value;
  end if;
end
$$;

-- Events from outside, as they came; none while intake is paused. Answers how many were stored.
create function sim.report_events(p_events jsonb) returns integer
language plpgsql
as $$
declare
  v_count integer;
begin
  if ops.paused('intake') then
    return 0;
  end if;
  insert into public.ops_agent_events (id, type, data, dedupe_key, created_at)
  select e.id, e.type, coalesce(e.data, '{}'), e.dedupe_key, e.created_at
  from jsonb_to_recordset(p_events) as e(id uuid, type text, data jsonb, dedupe_key text, created_at timestamptz)
  order by e.created_at, e.id
  on conflict do nothing;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Those of the named events that are there and wait, as ops_pending_events tells them, but without the data of those that came
-- from outside, which the caller has. Empty while reactions are paused.
create function sim.waiting_events(p_ids uuid[]) returns setof jsonb
language plpgsql
as $$
begin
  if ops.paused('reactions') then
    return;
  end if;
  return query
  select jsonb_build_object('event_id', e.id, 'type', e.type, 'data', case when e.root_event_id is not null or e.proposal_id is not null or e.mission_id is not null then e.data end, 'depth', e.depth,
    'root_event_id', coalesce(e.root_event_id, e.id), 'created_at', e.created_at)
  from public.ops_agent_events e
  where e.processed_at is null and e.id = any (p_ids)
  order by e.created_at, e.id;
end
$$;

-- Gives what the engine has made since the last call the names that it was recorded under. Answers what nobody recorded:
-- {"events": [id], "missions": [{"id", "kinds": [text]}]}, missions that have other steps than then among them.
--
-- What is new is little beside what is there, which no statistics tell here: so it is found first, and the rest by indexes.
create function sim.catch_up() returns jsonb
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_from uuid := (select last from sim.cursor);
  v_event record;
  v_known sim.events;
  v_about text;
  v_missions jsonb;
  v_events uuid[] := '{}';
begin
  insert into sim.names
  with made as materialized (select p.id, p.reaction_id from public.ops_mission_proposals p where p.id > v_from)
  select p.id, k.id from made p
  join public.ops_agent_reactions r on r.id = p.reaction_id
  join sim.proposals k on k.event_id = r.event_id and k.pattern_id = r.pattern_id
  on conflict do nothing;
  insert into sim.names
  with made as materialized (select m.id, m.proposal_id from public.ops_missions m where m.id > v_from)
  select m.id, k.mission_id from made m
  join sim.names n on n.sim_id = m.proposal_id join sim.proposals k on k.id = n.recorded_id
  where k.mission_id is not null
    and (select array_agg(row(s.key, s.kind)::text order by s.key) from public.ops_mission_steps s where s.mission_id = m.id)
      = (select array_agg(row(s.key, s.kind)::text order by s.key) from sim.steps s where s.mission_id = k.mission_id)
  on conflict do nothing;
  insert into sim.names
  with made as materialized (select s.id, s.mission_id, s.key from public.ops_mission_steps s where s.id > v_from)
  select s.id, k.id from made s
  join sim.names n on n.sim_id = s.mission_id join sim.steps k on k.mission_id = n.recorded_id and k.key = s.key
  on conflict do nothing;

  for v_event in
    select * from public.ops_agent_events e where e.id > v_from and e.id < '00000fff-ffff-ffff-ffff-ffffffffffff' order by e.created_at, e.id
  loop
    -- Asked once: in the search it would be asked of every event.
    v_about := sim.about(v_event.type, sim.recorded(v_event.proposal_id), sim.recorded(v_event.mission_id), sim.recorded(v_event.run_id));
    select k.* into v_known from sim.events k
    where not k.taken and k.about = v_about and (k.data is null or k.data = v_event.data)
    order by k.created_at, k.id limit 1;
    if v_known.id is null then
      v_events := v_events || v_event.id;
    end if;
    update sim.events set taken = true where id = v_known.id;
    update public.ops_agent_events e
    set id = coalesce(v_known.id, e.id), created_at = coalesce(v_known.created_at, e.created_at), data = sim.renamed(e.data)
    where e.id = v_event.id;
  end loop;

  select jsonb_agg(jsonb_build_object('id', m.id, 'kinds', (
      select jsonb_agg(s.kind order by s.position) from public.ops_mission_steps s where s.mission_id = m.id)))
  into v_missions
  from public.ops_missions m where m.id > v_from and sim.recorded(m.id) is null;
  update sim.cursor set last = ops.new_id();
  return jsonb_build_object('events', v_events, 'missions', coalesce(v_missions, '[]'));
end
$$;

-- The engine's events name what they are about; so do these, by the recorded ids.
create function sim.renamed(p_data jsonb) returns jsonb
language plpgsql stable
as $$
declare
  v_field text;
  v_name uuid;
begin
  foreach v_field in array array['mission_id', 'proposal_id', 'step_id'] loop
    if p_data ->> v_field ~ '^00000' then
      v_name := sim.recorded((p_data ->> v_field)::uuid);
      p_data := case when v_name is null then p_data else p_data || jsonb_build_object(v_field, v_name) end;
    end if;
  end loop;
  return p_data;
end
$$;

-- Claims one queued step, by the door that every worker uses: for the moment it is the most urgent of its executor.
create function sim.claim(p_step_id uuid) returns void
language plpgsql
as $$
declare
  v_worker uuid := (select w.id from ops.workers w where w.name = 'simulation');
  v_step public.ops_mission_steps;
begin
  if v_worker is null then
    v_worker := (public.ops_register_worker('simulation', '0', array['*'], 1, ops.schema_version()) ->> 'worker_id')::uuid;
  end if;
  select * into v_step from public.ops_mission_steps s where s.id = p_step_id;
  update public.ops_mission_steps s set priority = -32768 where s.id = p_step_id;
  perform from public.ops_claim_steps(v_worker, array[v_step.executor], 1, 86400);
  update public.ops_mission_steps s set priority = v_step.priority where s.id = p_step_id;
end
$$;

-- Dead steps that somebody retried, by their recorded ids; their mission opens again.
create function sim.reopen(p_steps uuid[]) returns void
language plpgsql
as $$
declare
  v_step_id uuid;
begin
  for v_step_id in
    select s.id from public.ops_mission_steps s join sim.names n on n.sim_id = s.id
    where n.recorded_id = any (p_steps) and s.status = 'failed' order by s.position
  loop
    perform from public.ops_retry_step(v_step_id, 'recorded');
  end loop;
exception when sqlstate 'OP014' then
  null; -- Newer work holds its key, which it did not then.
end
$$;

-- The start of a recorded attempt: {"step_id", "run_id"}.
create function sim.start_run(p jsonb) returns void
language plpgsql
as $$
declare
  v_step_id uuid := sim.named((p ->> 'step_id')::uuid);
  v_token uuid;
begin
  if exists (select from public.ops_mission_steps s where s.id = v_step_id and s.status = 'queued') then
    perform sim.claim(v_step_id);
  end if;
  select s.lease_token into v_token from public.ops_mission_steps s where s.id = v_step_id and s.status = 'running';
  if v_token is not null then
    insert into sim.names values (v_token, (p ->> 'run_id')::uuid) on conflict do nothing;
  end if;
end
$$;

-- The end of a recorded attempt: {"step_id", "status", "error", "permanent", "cost_usd", "events"}.
create function sim.end_run(p jsonb) returns void
language plpgsql
as $$
declare
  v_lease jsonb;
begin
  select jsonb_build_object('step_id', s.id, 'token', s.lease_token) into v_lease
  from public.ops_mission_steps s where s.id = sim.named((p ->> 'step_id')::uuid) and s.status = 'running';
  if v_lease is null then
    return;
  end if;
  case p ->> 'status'
    when 'succeeded' then
      perform from public.ops_complete_steps(jsonb_build_array(v_lease || jsonb_build_object('cost_usd', p -> 'cost_usd', 'events', p -> 'events')));
    when 'failed' then
      -- Again at once: whether there was another attempt, and when, is recorded.
      perform from public.ops_fail_steps(jsonb_build_array(v_lease || jsonb_build_object('error', p -> 'error', 'permanent', p -> 'permanent',
        'cost_usd', p -> 'cost_usd', 'events', p -> 'events', 'retry_after_seconds', 0)));
    when 'snoozed' then
      perform from public.ops_snooze_steps(jsonb_build_array(v_lease || '{"seconds": 0}'));
    when 'released' then
      perform from public.ops_release_steps(jsonb_build_array(v_lease));
    else null;
  end case;
end
$$;

-- The recorded end of a mission, where the outcomes of its steps have not brought it about: somebody cancelled it, or ended
-- steps by hand. {"mission_id", "status", "actor", "reason", "steps": {key: status}}
create function sim.end_mission(p jsonb) returns void
language plpgsql
as $$
declare
  v_mission public.ops_missions;
  v_step record;
begin
  select * into v_mission from public.ops_missions m where m.id = sim.named((p ->> 'mission_id')::uuid);
  if v_mission.id is null or v_mission.completed_at is not null then
    return;
  end if;
  if p ->> 'status' = 'cancelled' and p ->> 'reason' is not null then
    perform from public.ops_cancel_mission(v_mission.id, coalesce(p ->> 'actor', 'recorded'), p ->> 'reason');
    return;
  end if;
  for v_step in select e.key, e.value as status from jsonb_each_text(p -> 'steps') e order by e.value <> 'failed', e.key loop
    update public.ops_mission_steps s set status = v_step.status::public.ops_step_status
    where s.mission_id = v_mission.id and s.key = v_step.key and s.status in ('waiting', 'queued', 'running')
      and v_step.status in ('succeeded', 'failed', 'cancelled');
  end loop;
end
$$;

-- A mission that nobody recorded: its open steps succeed, in their order.
create function sim.succeed(p_mission_id uuid) returns void
language plpgsql
as $$
declare
  v_leases jsonb;
begin
  for i in 1..100 loop
    perform sim.claim(s.id) from public.ops_mission_steps s where s.mission_id = p_mission_id and s.status = 'queued';
    select jsonb_agg(jsonb_build_object('step_id', s.id, 'token', s.lease_token)) into v_leases
    from public.ops_mission_steps s where s.mission_id = p_mission_id and s.status = 'running';
    exit when v_leases is null;
    perform from public.ops_complete_steps(v_leases);
  end loop;
end
$$;

-- Deeds in a row, each at its time: [{"at", "do": "start" | "end" | "end_mission" | "reopen", …what the function takes}]
create function sim.work(p_deeds jsonb) returns void
language plpgsql
as $$
declare
  v_deed jsonb;
begin
  for v_deed in select d.value from jsonb_array_elements(p_deeds) with ordinality d order by d.ordinality loop
    perform sim.set_clock((v_deed ->> 'at')::timestamptz);
    case v_deed ->> 'do'
      when 'start' then perform sim.start_run(v_deed);
      when 'end' then perform sim.end_run(v_deed -> 'run');
      when 'end_mission' then perform sim.end_mission(v_deed -> 'mission');
      when 'reopen' then perform sim.reopen(array(select jsonb_array_elements_text(v_deed -> 'steps')::uuid));
    end case;
  end loop;
end
$$;

-- A client's proposal, made again. Answers whether it came as far as the gate did then.
create function sim.propose(p jsonb) returns void
language plpgsql
as $$
declare
  v_answer record;
begin
  select * into v_answer from public.ops_create_proposals(jsonb_build_array(p - 'id'));
  if v_answer.proposal_id is not null and v_answer.code <> 'duplicate' then
    insert into sim.names values (v_answer.proposal_id, (p ->> 'id')::uuid) on conflict do nothing;
  end if;
end
$$;

-- A person's recorded decision: {"proposal_id", "decision", "actor", "note"}. What cannot be decided any more is left alone.
create function sim.decide(p jsonb) returns void
language plpgsql
as $$
declare
  v_id uuid := sim.named((p ->> 'proposal_id')::uuid);
begin
  if v_id is null then
    return;
  elsif p ->> 'decision' = 'approved' then
    perform from public.ops_approve_proposal(v_id, p ->> 'actor', null, p ->> 'note');
  else
    perform from public.ops_reject_proposal(v_id, p ->> 'actor', p ->> 'note');
  end if;
exception
  when sqlstate 'OP009' or sqlstate 'OP015' then
    null;
end
$$;

-- Reactions that wait for the gate: {"event_id", "pattern_id"}.
create function sim.queued_reactions() returns setof jsonb
language plpgsql
as $$
begin
  return query select jsonb_build_object('event_id', r.event_id, 'pattern_id', r.pattern_id)
  from public.ops_agent_reactions r where r.status = 'queued' order by r.created_at, r.id;
end
$$;

-- What came of it, from p_from until before p_to.
create function sim.outcome(p_from timestamptz, p_to timestamptz) returns jsonb
language plpgsql
as $$
begin
  return jsonb_build_object(
    'verdicts', (
      select coalesce(jsonb_agg(jsonb_build_object('event_id', e.id, 'type', e.type, 'decisions', v.decisions, 'error', v.error)
        order by e.created_at, e.id), '[]')
      from public.ops_agent_events e join ops.event_verdicts v on v.event_id = e.id
      where e.created_at >= p_from and e.created_at < p_to),
    'proposals', (
      select coalesce(jsonb_agg(jsonb_build_object('id', coalesce(sim.recorded(p.id), p.id), 'event_id', r.event_id, 'pattern_id', p.pattern_id,
        'source', p.source, 'status', p.status, 'code', p.code, 'title', p.title, 'verdict', p.verdict, 'digest', p.digest,
        'reserved_usd', p.reserved_usd, 'created_at', p.created_at,
        'decision', (select d.decision from ops.decisions d where d.proposal_id = p.id),
        'mission', (select m.status from public.ops_missions m where m.proposal_id = p.id)) order by p.created_at, p.id), '[]')
      from public.ops_mission_proposals p left join public.ops_agent_reactions r on r.id = p.reaction_id
      where p.created_at >= p_from and p.created_at < p_to));
end
$$;
