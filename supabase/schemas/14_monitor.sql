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
