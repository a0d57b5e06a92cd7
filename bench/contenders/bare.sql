-- The writes of a step and nothing else: the same five rows that a claim and a completion leave, in tables as narrow as they can be, without
-- checks, triggers, audit, retries or recovery. Nothing that keeps the same facts in rows of their own can be much cheaper.

create sequence ids cache 1000;

-- In the order in which they are made, as the engine's are.
create function new_id() returns uuid
language sql volatile
as $$ select lpad(to_hex(nextval('ids')), 32, '0')::uuid $$;

create table mission (
  id uuid primary key default new_id(),
  status smallint not null default 0, -- 0 waits, 1 runs, 2 has ended
  steps_open integer not null default 1,
  started_at timestamptz,
  completed_at timestamptz
) with (fillfactor = 40);

create table step (
  id uuid primary key default new_id(),
  mission_id uuid not null,
  status smallint not null default 0,
  run_at timestamptz not null default now(),
  attempt integer not null default 0,
  token uuid,
  lease_expires_at timestamptz,
  params jsonb not null default '{}',
  result jsonb
) with (fillfactor = 40);
create index step_claimable on step (run_at, id) where status = 0;

create table run (
  id uuid primary key,
  step_id uuid not null,
  attempt integer not null,
  status smallint not null,
  completed_at timestamptz not null
);

create table event (
  id uuid primary key default new_id(),
  type text not null,
  mission_id uuid not null,
  data jsonb not null,
  created_at timestamptz not null default now()
);

-- Up to p_limit steps behind the last that was given.
create function claim(p_limit integer, p_run_at timestamptz, p_id uuid) returns table (id uuid, token uuid, run_at text, params jsonb)
language plpgsql
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  return query
  with picked as materialized (
    select s.ctid as place, s.mission_id, new_id() as token
    from step s where s.status = 0 and s.run_at <= now() and (s.run_at, s.id) > (p_run_at, p_id)
    order by s.run_at, s.id limit p_limit for no key update skip locked
  ), started as (
    update mission m set status = 1, started_at = now() from picked p where m.id = p.mission_id and m.status = 0
  )
  update step s set status = 1, token = p.token, lease_expires_at = now() + interval '5 minutes', attempt = s.attempt + 1
  from picked p where s.ctid = p.place
  returning s.id, s.token, s.run_at::text, s.params;
end
$$;

-- Records results; answers how many tokens held.
create function complete(p_ids uuid[], p_tokens uuid[], p_results jsonb[]) returns integer
language plpgsql
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_done integer;
begin
  perform from mission m where m.id = any (array(select s.mission_id from step s where s.id = any (p_ids))) order by m.id for no key update;
  with done as (
    update step s set status = 2, token = null, lease_expires_at = null, result = g.result
    from unnest(p_ids, p_tokens, p_results) g(id, token, result) where s.id = g.id and s.token = g.token
    returning s.id, s.mission_id, s.attempt, g.token
  ), recorded as (
    insert into run select token, id, attempt, 2, now() from done
  ), rolled as (
    update mission m
    set steps_open = m.steps_open - d.n, status = case when m.steps_open > d.n then 1 else 2 end,
      completed_at = case when m.steps_open = d.n then now() end
    from (select mission_id, count(*)::integer as n from done group by mission_id) d where m.id = d.mission_id
    returning m.id, m.status
  ), told as (
    insert into event (type, mission_id, data)
    select 'mission:succeeded', r.id, jsonb_build_object('mission_id', r.id) from rolled r where r.status = 2
  )
  select count(*) into v_done from done;
  return v_done;
end
$$;
