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
