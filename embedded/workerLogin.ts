import postgres from 'postgres'

const ROLE = 'ops_loop_worker'

/**
 * A login that may do what workers do and nothing else, as one makes for a worker on another machine.
 *
 * @param ownerUrl a login that may create roles, on a migrated database
 * @param password letters, digits, `-` and `_`
 * @returns the address that the worker logs in with
 */
export async function ensureWorkerLogin(ownerUrl: string, password: string): Promise<string> {
  const sql = postgres(ownerUrl, { max: 1, onnotice: () => undefined })
  try {
    const [known] = await sql`select from pg_catalog.pg_roles where rolname = ${ROLE}`
    if (!known) await sql.unsafe(`create role ${ROLE} login in role ops_worker`)
    await sql.unsafe(`alter role ${ROLE} password '${password}'`)
  } finally {
    await sql.end()
  }
  const url = new URL(ownerUrl)
  url.username = ROLE
  url.password = password
  return url.href
}
