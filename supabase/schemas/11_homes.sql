-- Homes: the databases that this work has been at home in, the last one now. A copy of the database is another database, though it
-- holds the same rows (67_restore_hold.sql).

create table ops.homes (
  id uuid primary key default ops.new_id(),
  identity text not null,
  since timestamptz not null default ops.now(),
  -- Who said that the work goes on here. Null: it began here.
  released_by text,
  actor jsonb not null default '{}',
  -- Steps that were in flight in the copy when it was released.
  steps_running integer not null default 0
);
