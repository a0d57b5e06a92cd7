/** One database for many tests: each finds it as if it were new, in a fraction of the time that a new one takes. */
import postgres from 'postgres'
import { adminUrlFor, type TestDatabase } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { openDatabase, setPolicy } from './world.js'

export interface SharedDatabase extends TestDatabase {
  /** Forgets all work, sets the clock going and puts `openDatabase`'s policies back in force. History and audit stay. */
  reset(): Promise<void>
}

export async function openSharedDatabase(): Promise<SharedDatabase> {
  const database = await openDatabase()
  const { sql } = database
  // Only a superuser may delete past triggers and foreign keys.
  const admin = postgres(adminUrlFor(database), { max: 1, onnotice: () => undefined })
  onFileEnd(() => admin.end())
  const reset = async () => {
    await admin.unsafe(emptyTables)
    await setPolicy(sql, 'auto_approve', { enabled: true })
    await setPolicy(sql, 'proposal_caps', {})
  }
  return { ...database, reset }
}

const emptyTables = `
  do $$
  declare
    v_table regclass;
  begin
    set local session_replication_role = replica;
    drop table if exists ops.test_clock;
    if pg_get_functiondef('ops.now'::regproc) like '%test_clock%' then
      create or replace function ops.now() returns timestamptz language plpgsql volatile
      set search_path = pg_catalog, pg_temp as $now$ begin return clock_timestamp(); end $now$;
    end if;
    for v_table in
      select c.oid from pg_class c
      where c.relkind = 'r' and c.relname not in ('migrations', 'ops_policy', 'policy_schemas', 'policy_history', 'policy_audit', 'checks', 'watch')
        and (c.relnamespace = 'ops'::regnamespace or c.relnamespace = 'public'::regnamespace and c.relname like 'ops\\_%')
    loop
      execute format('delete from %s', v_table);
    end loop;
    set local session_replication_role = origin;
    delete from public.ops_policy
    where key in ('control', 'approvals', 'worker_policy', 'agent_roles', 'reaction_matrix', 'retention');
  end $$`
