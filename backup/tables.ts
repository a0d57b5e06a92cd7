import type postgres from 'postgres'

export interface Table {
  schema: string
  name: string
  /** Without generated ones, which fill themselves. */
  columns: string[]
}

/** What the migrations themselves fill, and what is not worth a crash. */
const LEFT_OUT = ['migrations', 'policy_schemas', 'sleepers']

/** Every table of the loop: `ops_*` in `public`, all but the migrations' own in `ops`. */
export async function listTables(sql: postgres.ISql): Promise<Table[]> {
  return sql<Table[]>`
    select n.nspname as schema, c.relname as name,
      (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
       where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relpersistence = 'p'
      and ((n.nspname = 'public' and c.relname like 'ops\\_%') or (n.nspname = 'ops' and c.relname <> all (${LEFT_OUT})))
    order by 1, 2`
}

/** The column that ties a table's rows to a chain. All other tables are small, or not part of any: they are copied whole. */
const CHAINED: Readonly<Record<string, string>> = {
  'public.ops_agent_events': 'id',
  'public.ops_agent_reactions': 'id',
  'public.ops_mission_proposals': 'id',
  'public.ops_missions': 'id',
  'ops.reopenings': 'mission_id',
  'public.ops_mission_steps': 'id',
  'public.ops_action_runs': 'id',
  'ops.event_verdicts': 'event_id',
  'ops.shadow_reactions': 'event_id',
  'ops.decisions': 'proposal_id',
  'ops.live_keys': 'proposal_id',
  'ops.root_missions': 'root_event_id',
  'ops.severed_links': 'id',
  'ops.late_results': 'step_id',
  'ops.queue': 'step_id',
}

/** What has ended before is left to older backups. */
const DATED: Readonly<Record<string, string>> = {
  'ops.archive': 'archived_at',
  'ops.heartbeats': 'at',
  'ops.service_checks': 'at',
}

/** Finds the chains with anything since a moment, or still at work, and keeps the ids of all their rows for `rowsSince`. */
export async function collectChains(sql: postgres.ISql, since: string): Promise<void> {
  await sql`create temporary table backup_chains (id uuid primary key) on commit drop`
  await sql`
    with recursive touched as (
      select id from public.ops_agent_events where created_at >= ${since}::timestamptz or processed_at is null
      union select id from public.ops_agent_reactions where updated_at >= ${since}::timestamptz or status = 'queued'
      union select id from public.ops_mission_proposals where updated_at >= ${since}::timestamptz or status = 'pending'
      union select id from public.ops_missions where updated_at >= ${since}::timestamptz or completed_at is null
      union select id from public.ops_mission_steps where updated_at >= ${since}::timestamptz
    ), up (id) as (
      select id from touched
      union
      select l.parent_id from up join ops.lineage l on l.id = up.id where l.parent_id is not null
    ), down (id) as (
      select id from up
      union
      select l.id from down join ops.lineage l on l.parent_id = down.id
    )
    insert into backup_chains select id from down where id is not null`
}

/** The condition that a table's row meets when it belongs into a backup of work since a moment; undefined: every row does. */
export function rowsSince(table: Table, since: string): string | undefined {
  const name = `${table.schema}.${table.name}`
  const chained = CHAINED[name]
  if (chained !== undefined) return `${chained} in (select id from backup_chains)`
  const dated = DATED[name]
  // A moment in ISO form; no quotes can be in it.
  return dated === undefined ? undefined : `${dated} >= '${new Date(since).toISOString()}'`
}
