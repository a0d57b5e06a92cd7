import postgres from 'postgres'
import type { Database } from './types.js'

/** Tells the planner what the tables hold, as autovacuum does within a minute or two of a burst. */
export async function analyze({ adminUrl }: Database): Promise<void> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => undefined })
  await sql`analyze`
  await sql.end()
}
