import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the migrations that ship with the project. */
export const migrationsDir = fileURLToPath(new URL('../supabase/migrations/', import.meta.url))

/** Where the parts of one data folder (`.ops-loop/` by default) lie. */
export function dataPaths(dataDir: string) {
  return {
    /** Who works in this folder now. */
    lock: join(dataDir, 'lock'),
    /** The database cluster itself. */
    cluster: join(dataDir, 'postgres'),
    /** The cluster while it is being made. */
    draft: join(dataDir, 'postgres.new'),
    /** The password of the database's login roles, readable by the owner alone. */
    password: join(dataDir, 'postgres.password'),
    postgresLog: join(dataDir, 'postgres.log'),
    postgrestConfig: join(dataDir, 'postgrest.conf'),
    postgrestLog: join(dataDir, 'postgrest.log'),
  }
}
