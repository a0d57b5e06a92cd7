-- Policies: what operators may change, as rows.
--
-- One row a key; `version` counts its changes, from 1, and never goes back, not even over a delete. Triggers
-- (40_policies.sql) check each change against the policy's JSON Schema, keep every version and audit who did it.

create table public.ops_policy (
  key text primary key,
  value jsonb not null,
  version integer not null default 1,
  updated_at timestamptz not null default ops.now(),
  constraint ops_policy_value_is_object check (jsonb_typeof(value) = 'object'),
  constraint ops_policy_version_from_one check (version >= 1)
);

-- JSON Schemas (draft 2020-12), generated from the zod schemas in policies/.
create table ops.policy_schemas (
  key text primary key,
  schema jsonb not null
);

create table ops.policy_history (
  key text not null,
  version integer not null,
  value jsonb not null,
  updated_at timestamptz not null,
  changed_by text not null,
  primary key (key, version)
);

create table ops.policy_audit (
  id uuid primary key default ops.new_id(),
  policy_key text not null,
  action text not null check (action in ('insert', 'update', 'delete', 'truncate', 'rollback')),
  old_value jsonb,
  new_value jsonb,
  old_version integer,
  new_version integer,
  changed_by text not null,
  actor jsonb not null,
  changed_at timestamptz not null default ops.now()
);
create index ops_policy_audit_by_key on ops.policy_audit (policy_key, changed_at);
