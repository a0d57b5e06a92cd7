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
