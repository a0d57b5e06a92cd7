// pgflow's SQL core: the migrations that @pgflow/core brings. They want the extension pgmq, so nothing more is asked of it here.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

const migrations = fileURLToPath(new URL('supabase/migrations/', import.meta.resolve('@pgflow/core')))

export default ({ url }) => ({
  async prepare() {
    const pool = new pg.Pool({ connectionString: url, max: 1 })
    for (const file of (await readdir(migrations)).sort()) {
      await pool.query(await readFile(join(migrations, file), 'utf8')).catch((error) => {
        throw new Error(`its migrations do not run on a plain Postgres: ${error.message}`)
      })
    }
    await pool.end()
  },
})
