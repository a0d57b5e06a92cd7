-- 0001 ops_schema: generated from supabase/schemas by npm run sql:build. Released files are never edited.

-- 00_roles.sql ----------------------------------------------------------------------------------------------

-- Roles: who may touch the engine.
--
-- service_role   the control plane (Supabase's own role)
-- ops_worker     claims and records; no table of its own to read or write
-- ops_operator   a person: reads all, edits policies, resets steps, decides proposals
-- ops_readonly   dashboards
-- ops_monitor    what invariants are checked as: reads all of the loop, and whatever tables of yours you grant to it
--
-- They are groups without login. A worker's or operator's own login is made `in role ops_worker`, or comes
-- through PostgREST in the `role` claim of a JWT. Roles belong to the cluster, so another database's
-- migration may be making them at this very moment.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role', 'ops_worker', 'ops_operator', 'ops_readonly', 'ops_monitor'] loop
    begin
      if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
        execute format('create role %I nologin', v_role);
      end if;
    exception
      when duplicate_object or unique_violation then
        null;
    end;
  end loop;

  if exists (select from pg_catalog.pg_roles where rolname = 'authenticator') then
    for v_role in
      select r from unnest(array['ops_worker', 'ops_operator', 'ops_readonly']) r
      where not pg_has_role('authenticator', r, 'member')
    loop
      execute format('grant %I to authenticator', v_role);
    end loop;
  end if;

  -- The function that runs the checks belongs to ops_monitor (86_monitor.sql), which only a member can arrange.
  if not pg_has_role('ops_monitor', 'usage') then
    begin
      execute format('grant ops_monitor to %I', current_user);
    exception
      when unique_violation or internal_error then
        null; -- somebody granted the same at this moment
    end;
  end if;
end
$$;

-- 01_foundation.sql -----------------------------------------------------------------------------------------

-- The private schema, the clock, and identifiers.
--
-- Schema `public` holds what operators and clients touch; schema `ops` holds machinery that is reachable only
-- through public functions and views.

create schema ops;
revoke all on schema ops from public;
grant usage on schema ops to service_role, ops_operator, ops_readonly;

-- What has been applied. Every migration adds its own row as its last statement.
create table ops.migrations (
  version text primary key,
  name text not null,
  applied_at timestamptz not null default clock_timestamp()
);

-- The engine's only source of time. Tests and simulations replace this function, which only its owner can do;
-- no setting or argument changes it. Not transaction time: a deadline must count from when it was given, also
-- after waiting for a lock.
create function ops.now() returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  return clock_timestamp();
end
$$;

-- Time-ordered UUID, version 7 (RFC 9562, with microseconds in the 12 bits after the version): new rows land at the right edge
-- of every index, and ids sort by age.
create function ops.new_id() returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_us bigint := date_part('epoch', clock_timestamp()) * 1000000; -- as a float: exact to the microsecond, and cheap
begin
  return encode(
    int8send(((v_us / 1000) << 16) | (7 << 12) | ((v_us % 1000) * 4096 / 1000)) || substring(uuid_send(gen_random_uuid()) from 9),
    'hex')::uuid;
end
$$;

-- Ids for a batch, in their order: up to 16,384 have one moment and share what is random, and are numbered in between, which costs a
-- tenth of calling ops.new_id() for each. The last five digits, by which people call them, are other ones for each.
create function ops.new_ids(p_count integer) returns uuid[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_head text;
  v_middle text;
  v_end integer;
begin
  if p_count = 1 then
    return array[ops.new_id()];
  end if;
  v_head := left(ops.new_id()::text, 18) || '-';
  v_middle := '-' || right(gen_random_uuid()::text, 7);
  v_end := floor(random() * 983040);
  return array(
      -- 983,040 numbers have five digits; a step that has no divisor in common with them meets each before any comes again.
      select (v_head || to_hex(32768 + n) || v_middle || to_hex(65536 + (v_end + n * 40507) % 983040))::uuid
      from generate_series(0, least(p_count, 16384) - 1) n)
    || case when p_count > 16384 then ops.new_ids(p_count - 16384) end;
end
$$;

-- Keeps `updated_at` true for hand edits too.
create function public.ops_set_updated_at() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  new.updated_at := ops.now();
  return new;
end
$$;

-- Statuses that end a mission or a step come last, so that a check can say `status >= 'succeeded'`: every statement that writes reads the
-- checks of its table from their text, and a list of statuses is long.
create type public.ops_proposal_status as enum ('pending', 'approved', 'rejected', 'auto_approved', 'expired');
create type public.ops_mission_status as enum ('approved', 'running', 'succeeded', 'failed', 'cancelled');
create type public.ops_step_status as enum ('waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled');

-- 02_policies.sql -------------------------------------------------------------------------------------------

-- Policies: what operators may change, as rows.
--
-- One row a key; `version` counts its changes, from 1, and never goes back, not even over a delete. Triggers
-- (40_policies.sql) check each change against the policy's JSON Schema, keep every version and audit who did it.

create table public.ops_policy (
  key text primary key,
  value jsonb not null,
  version integer not null default 1,
  updated_at timestamptz not null default ops.now(),
  constraint ops_policy_value_is_object check (jsonb_typeof(value) = 'object'),
  constraint ops_policy_version_from_one check (version >= 1)
);

-- JSON Schemas (draft 2020-12), generated from the zod schemas in policies/.
create table ops.policy_schemas (
  key text primary key,
  schema jsonb not null
);

create table ops.policy_history (
  key text not null,
  version integer not null,
  value jsonb not null,
  updated_at timestamptz not null,
  changed_by text not null,
  primary key (key, version)
);

create table ops.policy_audit (
  id uuid primary key default ops.new_id(),
  policy_key text not null,
  action text not null check (action in ('insert', 'update', 'delete', 'truncate', 'rollback')),
  old_value jsonb,
  new_value jsonb,
  old_version integer,
  new_version integer,
  changed_by text not null,
  actor jsonb not null,
  changed_at timestamptz not null default ops.now()
);
create index ops_policy_audit_by_key on ops.policy_audit (policy_key, changed_at);

-- 03_events.sql ---------------------------------------------------------------------------------------------

-- Events: facts that were reported.
--
-- An event without a root began a chain; others carry the root of their chain and how many missions deep they are. Where
-- nobody reported an event, the chain began with a proposal, and that one's id is its root. Events that the engine or an executor caused point to the proposal, the mission or the run that caused them.

create table public.ops_agent_events (
  id uuid primary key default ops.new_id(),
  dedupe_key text,
  type text not null,
  data jsonb not null default '{}',
  proposal_id uuid,
  mission_id uuid,
  run_id uuid,
  round integer,
  root_event_id uuid,
  depth integer not null default 0,
  processed_at timestamptz,
  created_at timestamptz not null default ops.now(),
  constraint ops_agent_events_dedupe_key_unique unique (dedupe_key),
  constraint ops_agent_events_type_length check (type <> '' and length(type) <= 200),
  constraint ops_agent_events_data_is_object check (jsonb_typeof(data) = 'object'),
  constraint ops_agent_events_depth_from_zero check (depth >= 0)
) with (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 85);

create index ops_agent_events_unprocessed on public.ops_agent_events (created_at, id) where processed_at is null;
create index ops_agent_events_by_proposal on public.ops_agent_events (proposal_id) where proposal_id is not null;
-- Also says that the end of a mission's round is told once: no other event has a round.
create unique index ops_agent_events_by_mission on public.ops_agent_events (mission_id, round) where mission_id is not null;
create index ops_agent_events_by_run on public.ops_agent_events (run_id) where run_id is not null;
create index ops_agent_events_by_root on public.ops_agent_events (root_event_id) where root_event_id is not null;
-- Beats have a life of their own, shorter than that of anything else here.
create index ops_agent_events_heartbeats on public.ops_agent_events (created_at) where type in ('heartbeat:success', 'heartbeat:failure');
create index ops_agent_events_created on public.ops_agent_events using brin (created_at) with (autosummarize = on, pages_per_range = 64);

-- What each candidate pattern decided about an event; one row an event, written when it is settled. It goes to the archive with
-- its event (69_archive.sql), which is why no foreign key deletes it before.
create table ops.event_verdicts (
  event_id uuid primary key,
  policy_version integer,
  decisions jsonb not null default '[]',
  error text,
  settled_at timestamptz not null default ops.now()
);

-- 04_reactions.sql ------------------------------------------------------------------------------------------

-- Reactions: "this pattern answers this event". At most one for each event and pattern.

create table public.ops_agent_reactions (
  id uuid primary key default ops.new_id(),
  event_id uuid not null references public.ops_agent_events on delete cascade,
  status text not null default 'queued',
  payload jsonb not null default '{}',
  pattern_id text generated always as (payload ->> 'pattern_id') stored,
  created_at timestamptz not null default ops.now(),
  updated_at timestamptz not null default ops.now(),
  constraint ops_agent_reactions_status_known check (status in ('queued', 'processing', 'done', 'failed')),
  -- What is no text would be a pattern of another name than its event's verdict tells.
  constraint ops_agent_reactions_pattern_is_text check (jsonb_typeof(payload -> 'pattern_id') in ('string', 'null')),
  constraint ops_agent_reactions_once unique (event_id, pattern_id)
) with (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 85);

create index ops_agent_reactions_queued on public.ops_agent_reactions (created_at, id) where status = 'queued';
create index ops_agent_reactions_queued_key on public.ops_agent_reactions ((payload ->> 'dedupe_key'))
  where status = 'queued' and (payload ->> 'dedupe_key') is not null;
create index ops_agent_reactions_processing on public.ops_agent_reactions (updated_at) where status = 'processing';
create index ops_agent_reactions_created on public.ops_agent_reactions using brin (created_at) with (autosummarize = on);

-- What shadow patterns would have done.
create table ops.shadow_reactions (
  id uuid primary key default ops.new_id(),
  event_id uuid not null references public.ops_agent_events on delete cascade,
  pattern_id text not null,
  payload jsonb not null,
  created_at timestamptz not null default ops.now(),
  constraint shadow_reactions_once unique (event_id, pattern_id)
);

-- When a pattern last fired, by its cooldown key. Shadow patterns keep their own clock.
create table ops.cooldowns (
  pattern_id text not null,
  key text not null,
  shadow boolean not null default false,
  fired_at timestamptz not null,
  event_id uuid not null,
  primary key (pattern_id, key, shadow)
);

-- Matches that count toward a threshold and have not fired yet.
create table ops.threshold_hits (
  pattern_id text not null,
  key text not null,
  shadow boolean not null default false,
  at timestamptz not null,
  event_id uuid not null,
  primary key (pattern_id, key, shadow, at, event_id)
);

-- 05_proposals.sql ------------------------------------------------------------------------------------------

-- Proposals: missions that someone wants to run, and the gate's verdict on them.

create table public.ops_mission_proposals (
  id uuid primary key default ops.new_id(),
  dedupe_key text,
  source text not null,
  status public.ops_proposal_status not null default 'pending',
  template jsonb not null,
  reason text,
  policy_snapshot jsonb not null default '{}',
  approved_at timestamptz,
  created_at timestamptz not null default ops.now(),

  title text generated always as (template ->> 'title') stored,
  code text,
  verdict jsonb not null default '{}',
  digest text,
  idempotency_key text,
  proposed_by text,
  pattern_id text,
  reaction_id uuid references public.ops_agent_reactions on delete set null,
  root_event_id uuid,
  depth integer not null default 0,
  cap_day date,
  reserved_usd numeric(20, 6) not null default 0,
  expires_at timestamptz,
  decided_at timestamptz,
  decided_by text,
  updated_at timestamptz not null default ops.now(),

  constraint ops_mission_proposals_reaction_once unique (reaction_id),
  constraint ops_mission_proposals_template_is_object check (jsonb_typeof(template) = 'object'),
  -- One written by hand could neither be approved nor rejected nor expire, and those after it would not expire either.
  constraint ops_mission_proposals_pending_is_held check (status <> 'pending' or num_nulls(expires_at, digest, cap_day) = 0),
  constraint ops_mission_proposals_admitted_has_time check ((status in ('approved', 'auto_approved')) = (approved_at is not null)),
  constraint ops_mission_proposals_rejection_says_why check (status <> 'rejected' or (code is not null and reason is not null))
) with (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 85);

create unique index ops_mission_proposals_idempotency_key_unique on public.ops_mission_proposals (idempotency_key)
  where idempotency_key is not null;
create index ops_mission_proposals_pending on public.ops_mission_proposals (expires_at, id) where status = 'pending';
create index ops_mission_proposals_by_dedupe on public.ops_mission_proposals (dedupe_key, created_at) where dedupe_key is not null;
create index ops_mission_proposals_created on public.ops_mission_proposals using brin (created_at) with (autosummarize = on);
create index ops_mission_proposals_updated on public.ops_mission_proposals using brin (updated_at) with (autosummarize = on);

alter table public.ops_agent_events
  add constraint ops_agent_events_proposal_fkey foreign key (proposal_id) references public.ops_mission_proposals on delete set null;

-- Who holds a dedupe key: a live proposal, or the last one until its window closes.
create table ops.live_keys (
  dedupe_key text primary key,
  proposal_id uuid not null,
  live boolean not null default true,
  held_until timestamptz
);

-- Units used of each cap on each day of the policy's time zone, and the money reserved or spent. The rows are what makes a cap hold under
-- concurrency: each admission updates them. A counter has several of them, its stripes, so that gates which stand open at once need not
-- wait for each other: each stripe has been dealt a share of what is left under the limit, which it gives away by itself (53_cap_counters.sql).
create table ops.cap_stripes (
  day date not null,
  scope text not null,
  name text not null,
  stripe integer not null,
  used integer not null default 0,
  used_usd numeric(20, 6) not null default 0,
  -- The limits when the shares were dealt, and what is left of this one's; null: no limit.
  max_units integer,
  max_usd numeric,
  room integer,
  room_usd numeric,
  primary key (day, scope, name, stripe),
  constraint cap_stripes_room_iff_limit check ((room is null) = (max_units is null) and (room_usd is null) = (max_usd is null)),
  constraint cap_stripes_gives_only_its_share check (least(room, room_usd) >= 0)
) with (fillfactor = 50);

-- What the counters say: the sum of their stripes.
create view ops.cap_counters as
select day, scope, name, sum(used)::integer as used, sum(used_usd) as used_usd from ops.cap_stripes group by day, scope, name;

-- Missions that events started in the chain of one root, an event or a proposal; the loop guard's counter.
create table ops.root_missions (
  root_event_id uuid primary key,
  missions integer not null default 0
);

-- Decisions on proposals: the only ticket to a mission, bound to the digest of what will run, used once. A decision goes to the
-- archive with its proposal (69_archive.sql), which is why no foreign key deletes it before.
create table ops.decisions (
  proposal_id uuid primary key,
  decision text not null check (decision in ('approved', 'auto_approved', 'rejected', 'expired')),
  digest text not null,
  actor text not null,
  actor_context jsonb not null,
  note text,
  at timestamptz not null default ops.now()
);

-- 06_missions.sql -------------------------------------------------------------------------------------------

-- Missions: admitted proposals at work.
--
--   approved ──claim──▶ running ──▶ succeeded | failed | cancelled        (retry of a dead step: back to running)
--
-- `steps_open` counts the steps that are not terminal. It decides the roll-up, so no step is ever counted again.

create table public.ops_missions (
  id uuid primary key default ops.new_id(),
  proposal_id uuid not null references public.ops_mission_proposals on delete cascade,
  status public.ops_mission_status not null default 'approved',
  policy_snapshot jsonb not null default '{}',
  started_at timestamptz,
  completed_at timestamptz,
  created_at timestamptz not null default ops.now(),
  updated_at timestamptz not null default ops.now(),

  title text,
  source text,
  agent text,
  dedupe_key text,
  root_event_id uuid,
  depth integer not null default 0,
  steps_total integer not null default 0,
  steps_open integer not null default 0,
  steps_cancelled integer not null default 0,
  steps_failed integer not null default 0,
  round integer not null default 1,
  ended_by text,
  end_reason text,

  constraint ops_missions_proposal_once unique (proposal_id),
  constraint ops_missions_open_within_total check (steps_open between 0 and steps_total),
  constraint ops_missions_terminal_iff_no_open_step
    check ((status >= 'succeeded') = (steps_open = 0)),
  constraint ops_missions_terminal_iff_completed
    check ((steps_open = 0) = (completed_at is not null)),
  constraint ops_missions_success_has_no_loss
    check (status <> 'succeeded' or (steps_failed = 0 and steps_cancelled = 0))
-- Two thirds of a page stay free, for the three versions of a row: none can be pruned between its start and its end while calls overlap, and
-- versions that stay in their page spare the indexes.
) with (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 33);

-- No index knows whether a mission is open: its start and its end then touch none. Open missions are found by their open steps
-- (ops.open_missions).
create index ops_missions_created on public.ops_missions using brin (created_at) with (autosummarize = on);
create index ops_missions_completed on public.ops_missions using brin (completed_at) with (autosummarize = on);

-- When an ended mission was opened again, because a dead step of it was retried or reset.
create table ops.reopenings (
  mission_id uuid not null references public.ops_missions on delete cascade,
  round integer not null,
  at timestamptz not null default ops.now(),
  reopened_by text not null,
  primary key (mission_id, round)
);

alter table public.ops_agent_events
  add constraint ops_agent_events_mission_fkey foreign key (mission_id) references public.ops_missions on delete set null;

-- 07_steps.sql ----------------------------------------------------------------------------------------------

-- Steps: a mission's units of work.
--
--   waiting ──deps done──▶ queued ──claim──▶ running ──▶ succeeded | failed (dead letter) | cancelled
--                            ▲                  │
--                            └── retry, snooze, release, expired lease
--
-- Every queued step can be claimed now or at its `run_at`; `ready` is false while `run_at` lies ahead. What waits, is due or is dead
-- stands in `ops.queue` as well, and is found there: no index here knows a status, so that a step's row stays where it is while it is
-- claimed and completed, and its indexes untouched. `revision` counts the engine's own transitions:
-- a change of status that leaves it alone was made by hand, and triggers (65_hand_edits.sql) then do what the
-- engine would have done. `attempt` counts claims; `failure_count` counts failures, and the step dies when it
-- reaches `max_retries` (settled at each claim: step, policy, worker's environment, 3). `held` is true while the breaker of the
-- step's `service` keeps it back (72_services.sql).

create table public.ops_mission_steps (
  id uuid primary key default ops.new_id(),
  mission_id uuid not null references public.ops_missions on delete cascade,
  kind text not null,
  params jsonb not null default '{}',
  status public.ops_step_status not null default 'queued',
  executor text,
  reserved_at timestamptz,
  lease_expires_at timestamptz,
  failure_count integer not null default 0,
  max_retries integer,
  last_error text,
  result jsonb,
  created_at timestamptz not null default ops.now(),
  updated_at timestamptz not null default ops.now(),

  key text not null default 'step-' || left(gen_random_uuid()::text, 8),
  position integer not null default 0,
  agent text,
  depends_on text[] not null default '{}',
  uses_results boolean not null default false,
  priority smallint not null default 0,
  run_at timestamptz not null default ops.now(),
  delay_seconds integer not null default 0,
  ready boolean not null default true,
  attempt integer not null default 0,
  lease_token uuid,
  worker_id uuid,
  timeout_seconds integer,
  declared_retries integer,
  cost_reserved_usd numeric(14, 6) not null default 0,
  cost_usd numeric(20, 6),
  completed_at timestamptz,
  end_reason text,
  revision integer not null default 0,
  service text,
  held boolean not null default false,

  constraint ops_mission_steps_key_unique unique (mission_id, key),
  constraint ops_mission_steps_running_has_lease
    check (case when status = 'running'
      then lease_token is not null and lease_expires_at is not null and reserved_at is not null and attempt > 0
      else lease_token is null end),
  constraint ops_mission_steps_terminal_iff_completed
    check ((status >= 'succeeded') = (completed_at is not null)),
  constraint ops_mission_steps_counts_from_zero
    check (least(failure_count, attempt, max_retries, delay_seconds) >= 0)
-- Two thirds of a page stay free, as for missions.
) with (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 30);

create index ops_mission_steps_created on public.ops_mission_steps using brin (created_at) with (autosummarize = on);
create index ops_mission_steps_reserved on public.ops_mission_steps using brin (reserved_at) with (autosummarize = on);

-- The queue: a narrow row for each step that is waiting, queued or a dead letter (66_queue.sql). Who changes a row
-- holds the lock of its step.
create table ops.queue (
  step_id uuid primary key,
  mission_id uuid not null,
  status public.ops_step_status not null,
  executor text,
  priority smallint not null,
  run_at timestamptz not null,
  ready boolean not null,
  service text,
  ended_at timestamptz,
  constraint queue_holds_no_other check (status in ('waiting', 'queued', 'failed'))
) with (autovacuum_vacuum_scale_factor = 0.02);
create index queue_claimable on ops.queue (executor, priority, run_at, step_id) where status = 'queued' and ready;
create index queue_scheduled on ops.queue (run_at) where status = 'queued' and not ready;
create index queue_waiting on ops.queue (mission_id) where status = 'waiting';
create index queue_dead on ops.queue (ended_at) where status = 'failed';
create index queue_by_service on ops.queue (service) where service is not null and status = 'queued';

-- Claims: which steps were taken in one call. A row says where to look for running steps, the step itself whether it runs: every
-- running step is named by a row that is to be looked at before its lease is over. Rows of which nothing runs any more go when they
-- are looked at.
create table ops.claims (
  id uuid primary key default ops.new_id(),
  steps uuid[] not null,
  claimed_at timestamptz not null,
  look_at timestamptz not null,
  -- For whom the engine claimed while it slept (ops.wake_for), and when that lease is over unless its worker prolongs it.
  handed_to uuid,
  handed_until timestamptz
) with (autovacuum_vacuum_scale_factor = 0.02);
-- Ids do not get shorter by being compressed.
alter table ops.claims alter column steps set storage external;
create index claims_by_look on ops.claims (look_at);
create index claims_handed on ops.claims (handed_to) where handed_to is not null;

-- Workers, one row for each start of a worker process.
create table ops.workers (
  id uuid primary key default ops.new_id(),
  name text not null,
  version text not null,
  executors text[] not null,
  concurrency integer not null,
  settings jsonb not null default '{}',
  role text not null,
  health jsonb not null default '{}',
  registered_at timestamptz not null default ops.now(),
  last_seen_at timestamptz not null default ops.now(),
  constraint workers_executors_named check (cardinality(executors) > 0 and array_position(executors, null) is null),
  constraint workers_concurrency_positive check (concurrency > 0)
);
create index workers_by_last_seen on ops.workers (last_seen_at);

-- Workers that lie down until they are notified. Lost in a crash, which is harmless: they poll as well.
create unlogged table ops.sleepers (
  worker_id uuid primary key,
  until timestamptz not null,
  -- Executors of which it may be handed a step, on which channel, and for how long that is leased: null as policy has it.
  takes text[],
  channel text,
  lease_seconds integer
);

-- 08_runs.sql -----------------------------------------------------------------------------------------------

-- Runs: one row for each attempt at a step, written once, when the attempt ends.
--
-- A run's id is the lease token of its attempt, so a token names exactly one attempt for ever. While the attempt
-- goes on, the running step itself is its record.

create table public.ops_action_runs (
  id uuid primary key default ops.new_id(),
  run_id text collate "C" generated always as (id::text) stored,
  step_id uuid references public.ops_mission_steps on delete cascade,
  executor text,
  status text not null default 'started',
  started_at timestamptz not null default ops.now(),
  completed_at timestamptz,
  meta jsonb not null default '{}',
  error text,
  attempt integer,
  worker_id uuid,
  cost_usd numeric(14, 6),
  constraint ops_action_runs_run_id_unique unique (run_id),
  constraint ops_action_runs_attempt_once unique (step_id, attempt),
  constraint ops_action_runs_status_known
    check (status in ('started', 'succeeded', 'failed', 'released', 'snoozed', 'cancelled')),
  constraint ops_action_runs_ended_has_time check ((status = 'started') = (completed_at is null))
) with (autovacuum_vacuum_scale_factor = 0.02);

create index ops_action_runs_completed on public.ops_action_runs using brin (completed_at) with (autosummarize = on, pages_per_range = 64);

alter table public.ops_agent_events
  add constraint ops_agent_events_run_fkey foreign key (run_id) references public.ops_action_runs on delete set null;

-- Results that came after their lease was lost: evidence, never state.
create table ops.late_results (
  id uuid primary key default ops.new_id(),
  step_id uuid not null,
  token uuid not null,
  outcome text not null,
  payload jsonb not null,
  received_at timestamptz not null default ops.now()
);
create index late_results_by_step on ops.late_results (step_id);

-- Beats of the control plane.
create table ops.heartbeats (
  id uuid primary key default ops.new_id(),
  ok boolean not null,
  report jsonb not null,
  at timestamptz not null default ops.now()
);
create index heartbeats_by_time on ops.heartbeats (at);

-- 09_radar.sql ----------------------------------------------------------------------------------------------

-- Demand radar: what the agents are watching, from a first signal to something shipped.

create table public.ops_demand_radar (
  id uuid primary key default ops.new_id(),
  title text not null,
  description text,
  stage text not null default 'watching',
  notes text,
  entity text,
  event_type text,
  topic text,
  source_url text,
  evidence_snippet text,
  confidence text,
  impact_areas text[] not null default '{}',
  curator_name text,
  step_id uuid references public.ops_mission_steps on delete set null,
  created_at timestamptz not null default ops.now(),
  updated_at timestamptz not null default ops.now(),
  constraint ops_demand_radar_title_length check (length(title) between 1 and 300),
  constraint ops_demand_radar_stage_known check (stage in ('watching', 'validating', 'building', 'shipped')),
  constraint ops_demand_radar_confidence_known check (lower(confidence) in ('low', 'medium', 'high')),
  constraint ops_demand_radar_one_per_step unique (step_id)
);
create index ops_demand_radar_by_stage on public.ops_demand_radar (stage, updated_at);

create trigger ops_demand_radar_updated_at before update on public.ops_demand_radar
  for each row execute function public.ops_set_updated_at();
create trigger ops_agent_reactions_updated_at before update on public.ops_agent_reactions
  for each row execute function public.ops_set_updated_at();
create trigger ops_mission_proposals_updated_at before update on public.ops_mission_proposals
  for each row execute function public.ops_set_updated_at();

-- 10_archive.sql --------------------------------------------------------------------------------------------

-- Archive: what has left the live tables, with its place in the chain. Filled by 69_archive.sql.
--
-- `data` is the row as it was; `decided` what was decided about it: the patterns' verdict on an event, the decision on a proposal.
-- `ops.archive` is the one thing to prune when history itself has had its time.

create table ops.archive (
  entity text not null,
  id uuid not null,
  parent_id uuid,
  at timestamptz not null,
  status text not null,
  summary text not null,
  details jsonb not null,
  data jsonb not null,
  decided jsonb,
  archived_at timestamptz not null default ops.now(),
  primary key (id, entity)
);
create index archive_by_parent on ops.archive (parent_id) where parent_id is not null;
create index archive_by_time on ops.archive (archived_at);

-- Whose child a live row was before somebody deleted its parent by hand and the foreign key set the link to null.
create table ops.severed_links (
  id uuid primary key,
  parent_id uuid not null
);
create index severed_links_by_parent on ops.severed_links (parent_id);

-- 11_homes.sql ----------------------------------------------------------------------------------------------

-- Homes: the databases that this work has been at home in, the last one now. A copy of the database is another database, though it
-- holds the same rows (67_restore_hold.sql).

create table ops.homes (
  id uuid primary key default ops.new_id(),
  identity text not null,
  since timestamptz not null default ops.now(),
  -- Who said that the work goes on here. Null: it began here.
  released_by text,
  actor jsonb not null default '{}',
  -- Steps that were in flight in the copy when it was released.
  steps_running integer not null default 0
);

-- 11_schedules.sql ------------------------------------------------------------------------------------------

-- Schedules: events that come by the clock.
--
-- One row for each enabled schedule of policy `schedules`, kept in step with it by a trigger (46_schedules.sql). `settled_until` is
-- the moment up to which every slot has become an event or was passed over: it begins when the schedule is put in force, moves only
-- forward, and in one transaction with the events of the slots that it passes.

create table ops.schedules (
  id text primary key,
  definition jsonb not null,
  settled_until timestamptz not null,
  -- The slot that comes next, as the control plane worked it out; null until it has. `infinity`: there is none any more.
  next_at timestamptz
);

-- 12_requests.sql -------------------------------------------------------------------------------------------

-- Requests to the control plane by caller and minute, so that its instances share one limit. Lost in a crash, which is harmless.

create unlogged table ops.request_counts (
  caller text not null,
  minute timestamptz not null,
  requests integer not null,
  primary key (caller, minute)
);

-- 13_metrics.sql --------------------------------------------------------------------------------------------

-- Totals since the engine was installed, for /metrics: small rows that outlive what they counted.
--
-- Finished attempts are added up by the heartbeat, a window of time after the other (71_metrics.sql), so that no step pays for being
-- counted and no scrape reads more than this.

create table ops.totals (
  metric text not null,
  kind text not null default '',
  outcome text not null default '',
  count bigint not null default 0,
  seconds double precision not null default 0,
  -- How many took at most ops.duration_bounds()[i] seconds, for each i.
  buckets bigint[] not null default '{}',
  primary key (metric, kind, outcome)
);

-- The moment up to which attempts are added up; one row.
create table ops.totals_until (
  one boolean primary key default true check (one),
  at timestamptz not null
);

-- When housekeeping was last done to the end; one row.
create table ops.housekept (
  one boolean primary key default true check (one),
  at timestamptz not null
);

-- The first day whose cap counters are still kept; one row, none while all are.
create table ops.caps_kept_from (
  one boolean primary key default true check (one),
  day date not null
);

-- 13_services.sql -------------------------------------------------------------------------------------------

-- Services: what the work depends on and does not own. Policy `services` lists their health endpoints; the heartbeat asks them.
--
--   closed ──failed checks in a row──▶ open ──a check that goes well──▶ closed
--
-- While a service's breaker is open, steps that name it are held: queued, but not claimable before the next check.

create table ops.services (
  name text primary key,
  state text not null default 'closed',
  failures integer not null default 0,
  next_check_at timestamptz not null default ops.now(),
  checked_at timestamptz,
  healthy boolean,
  http_status integer,
  latency_ms integer,
  error text,
  opened_at timestamptz,
  retry_at timestamptz,
  changed_at timestamptz not null default ops.now(),
  constraint services_state_known check (state in ('closed', 'open')),
  constraint services_open_says_when check ((state = 'open') = (opened_at is not null and retry_at is not null)),
  constraint services_failures_from_zero check (failures >= 0)
);

-- Every check that was made; pruned with the beats.
create table ops.service_checks (
  id uuid primary key default ops.new_id(),
  name text not null,
  ok boolean not null,
  http_status integer,
  latency_ms integer,
  error text,
  at timestamptz not null default ops.now()
);
create index service_checks_by_name on ops.service_checks (name, at);
create index service_checks_by_time on ops.service_checks (at);

-- 14_monitor.sql --------------------------------------------------------------------------------------------

-- Watching the loop: checks and their violations, canaries, alerts and the notices about them.

-- What the engine ships to check; operators' own stand in policy `invariants`. `query` returns what violates the check: one row for
-- each thing, or none. A check that is `wide` would have to read everything: it runs when somebody asks for it, not every round.
-- Queries that are `scoped` may use the relations of ops.scope().
create table ops.checks (
  name text primary key,
  severity text not null,
  detects text not null,
  query text not null,
  scoped boolean not null default false,
  wide boolean not null default false,
  constraint checks_severity_known check (severity in ('critical', 'high', 'warning', 'info'))
);

-- How each check went when it last ran.
create table ops.check_runs (
  name text primary key,
  outcome text not null,
  ran_at timestamptz not null,
  duration_ms numeric not null,
  violations integer not null default 0,
  error text,
  runs bigint not null default 1,
  constraint check_runs_outcome_known check (outcome in ('clean', 'violated', 'failed', 'timed_out'))
) with (fillfactor = 50);

-- One row for each thing that violates a check, from the round that first saw it until the one that no longer does.
create table ops.invariant_violations (
  id uuid primary key default ops.new_id(),
  check_name text not null,
  subject text not null default '',
  severity text not null,
  message text not null,
  details jsonb not null default '{}',
  occurrences integer not null default 1,
  resolved boolean not null default false,
  created_at timestamptz not null default ops.now(),
  last_seen_at timestamptz not null default ops.now(),
  resolved_at timestamptz,
  constraint invariant_violations_severity_known check (severity in ('critical', 'high', 'warning', 'info')),
  constraint invariant_violations_resolved_has_time check (resolved = (resolved_at is not null))
);
create unique index invariant_violations_open on ops.invariant_violations (check_name, subject) where not resolved;
create index invariant_violations_by_time on ops.invariant_violations (created_at);

-- When each part of the watch last ran, and as whom: what makes overlapping heartbeats run it once.
create table ops.watch (
  part text primary key,
  ran_at timestamptz not null,
  role text not null,
  details jsonb not null default '{}'
);

-- Synthetic events that go through the whole loop, and how long each leg took.
create table ops.canaries (
  id uuid primary key default ops.new_id(),
  event_id uuid,
  status text not null,
  sent_at timestamptz not null default ops.now(),
  returned_at timestamptz,
  reason text,
  legs jsonb not null default '{}',
  constraint canaries_status_known check (status in ('travelling', 'returned', 'slow', 'missing', 'paused'))
);
create index canaries_travelling on ops.canaries (sent_at) where status = 'travelling';
create index canaries_by_time on ops.canaries (sent_at);

-- Alerts: open from the moment a rule is broken until it has been kept for a while. `severity` only rises while it is open.
create table ops.alerts (
  id uuid primary key default ops.new_id(),
  rule text not null,
  subject text not null default '',
  severity text not null,
  status text not null default 'open',
  summary text not null,
  details jsonb not null default '{}',
  value numeric,
  threshold numeric,
  opened_at timestamptz not null default ops.now(),
  last_seen_at timestamptz not null default ops.now(),
  clear_since timestamptz,
  resolved_at timestamptz,
  told_at timestamptz,
  told_severity text,
  notices integer not null default 0,
  acknowledged_at timestamptz,
  acknowledged_by text,
  note text,
  constraint alerts_severity_known check (severity in ('critical', 'high', 'warning', 'info')),
  constraint alerts_status_known check (status in ('open', 'resolved')),
  constraint alerts_resolved_has_time check ((status = 'resolved') = (resolved_at is not null)),
  constraint alerts_acknowledged_by_somebody check ((acknowledged_at is null) = (acknowledged_by is null))
);
create unique index alerts_open on ops.alerts (rule, subject) where status = 'open';
create index alerts_by_time on ops.alerts (opened_at);

-- Rules, or single alerts of a rule, that are not told of for a time.
create table ops.silences (
  id uuid primary key default ops.new_id(),
  rule text not null,
  subject text,
  until timestamptz not null,
  reason text not null,
  actor text not null,
  created_at timestamptz not null default ops.now(),
  constraint silences_have_a_reason check (length(reason) between 1 and 1000)
);
create index silences_by_rule on ops.silences (rule, until);

-- The outbox: what is to be told through which channel. One row for each state of an alert and channel; its id is what the receiver
-- gets as the message's own, however often it is sent.
create table ops.alert_notices (
  id uuid primary key default ops.new_id(),
  alert_id uuid references ops.alerts on delete cascade,
  number integer not null,
  transition text not null,
  channel text not null,
  message jsonb not null,
  status text not null default 'pending',
  attempts integer not null default 0,
  due_at timestamptz not null default ops.now(),
  lease_token uuid,
  lease_expires_at timestamptz,
  delivered_at timestamptz,
  detail jsonb,
  last_error text,
  created_at timestamptz not null default ops.now(),
  constraint alert_notices_transition_known check (transition in ('opened', 'escalated', 'repeated', 'resolved', 'digest')),
  constraint alert_notices_status_known check (status in ('pending', 'delivered', 'refused', 'skipped')),
  constraint alert_notices_leased_has_deadline check ((lease_token is null) = (lease_expires_at is null))
);
create unique index alert_notices_once on ops.alert_notices (alert_id, number, channel) where alert_id is not null;
create index alert_notices_due on ops.alert_notices (due_at) where status = 'pending';
create index alert_notices_by_time on ops.alert_notices (created_at);

-- How each channel does: failures in a row.
create table ops.channels (
  name text primary key,
  failures integer not null default 0,
  last_error text,
  last_ok_at timestamptz,
  last_failure_at timestamptz
);

-- Numbers that only somebody outside the database can know, as they were last reported: a backup's end, the API's latency.
create table ops.reports (
  name text primary key,
  value numeric not null,
  details jsonb not null default '{}',
  reported_at timestamptz not null default ops.now()
);

-- bookkeeping -----------------------------------------------------------------------------------------------

insert into ops.migrations (version, name) values ('0001', 'ops_schema');
