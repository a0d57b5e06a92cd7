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
