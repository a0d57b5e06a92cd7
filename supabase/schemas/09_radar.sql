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
