/** A database with an engine in it, its policies, its clock and its invariants. */
import { freshDatabase, type TestDatabase } from '../../test/support/database.js'
import type { Connection } from './work.js'

/** A database whose policy admits every proposal, without caps. */
export async function openDatabase(): Promise<TestDatabase> {
  const database = await freshDatabase()
  await setPolicy(database.sql, 'auto_approve', { enabled: true })
  await setPolicy(database.sql, 'proposal_caps', {})
  return database
}

export async function setPolicy(sql: Connection, key: string, value: unknown): Promise<void> {
  await sql`
    insert into ops_policy (key, value) values (${key}, ${JSON.stringify(value)}::text::jsonb)
    on conflict (key) do update set value = excluded.value`
}

/** Breaches of the engine's invariants, as sentences. */
export async function brokenInvariants(sql: Connection): Promise<string[]> {
  const rows = await sql<{ invariant: string; id: string; problem: string }[]>`
    select * from ops.broken_invariants()`
  return rows.map((row) => `${row.invariant}: ${row.problem} (${row.id})`)
}

export interface Clock {
  now(): Promise<Date>
  /** Moves on; seconds may be a fraction. */
  advance(seconds: number): Promise<void>
}

/** Stops the engine's clock of this database at a moment; from then on it moves only by `advance`. */
export async function stopClock(sql: Connection, at = '2026-03-01T12:00:00Z'): Promise<Clock> {
  await sql.unsafe(`
    create table ops.test_clock as select '${at}'::timestamptz as at;
    create or replace function ops.now() returns timestamptz language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp as $$ begin return (select at from ops.test_clock); end $$`)
  return {
    async now() {
      const [row] = await sql<{ now: Date }[]>`select ops.now()`
      if (!row) throw new Error('no answer')
      return row.now
    },
    async advance(seconds) {
      await sql`update ops.test_clock set at = at + ${seconds} * interval '1 second'`
    },
  }
}
