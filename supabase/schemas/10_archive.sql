-- Archive: what has left the live tables, with its place in the chain. Filled by 69_archive.sql.
--
-- `data` is the row as it was; `decided` what was decided about it: the patterns' verdict on an event, the decision on a proposal.
-- `ops.archive` is the one thing to prune when history itself has had its time.

create table ops.archive (
  entity text not null,
  id uuid not null,
  parent_id uuid,
  at timestamptz not null,
  status text not null,
  summary text not null,
  details jsonb not null,
  data jsonb not null,
  decided jsonb,
  archived_at timestamptz not null default ops.now(),
  primary key (id, entity)
);
create index archive_by_parent on ops.archive (parent_id) where parent_id is not null;
create index archive_by_time on ops.archive (archived_at);

-- Whose child a live row was before somebody deleted its parent by hand and the foreign key set the link to null.
create table ops.severed_links (
  id uuid primary key,
  parent_id uuid not null
);
create index severed_links_by_parent on ops.severed_links (parent_id);
