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
