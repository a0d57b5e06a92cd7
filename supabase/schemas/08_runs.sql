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
