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
