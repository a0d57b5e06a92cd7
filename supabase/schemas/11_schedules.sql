-- Schedules: events that come by the clock.
--
-- One row for each enabled schedule of policy `schedules`, kept in step with it by a trigger (46_schedules.sql). `settled_until` is
-- the moment up to which every slot has become an event or was passed over: it begins when the schedule is put in force, moves only
-- forward, and in one transaction with the events of the slots that it passes.

create table ops.schedules (
  id text primary key,
  definition jsonb not null,
  settled_until timestamptz not null,
  -- The slot that comes next, as the control plane worked it out; null until it has. `infinity`: there is none any more.
  next_at timestamptz
);
