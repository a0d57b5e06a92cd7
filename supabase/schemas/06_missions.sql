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
