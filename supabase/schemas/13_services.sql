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
