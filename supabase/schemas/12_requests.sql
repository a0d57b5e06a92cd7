-- Requests to the control plane by caller and minute, so that its instances share one limit. Lost in a crash, which is harmless.

create unlogged table ops.request_counts (
  caller text not null,
  minute timestamptz not null,
  requests integer not null,
  primary key (caller, minute)
);
