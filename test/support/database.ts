/** Fresh databases and logins for tests. All that a test file opens here is closed and dropped when the file ends. */
import { randomBytes } from 'node:crypto'
import postgres from 'postgres'
import { inject } from 'vitest'
import { onFileEnd } from './fileEnd.js'
import { type EngineRole, emptyDatabase, loginRoles, templateDatabase } from './names.js'

export interface TestDatabase {
  readonly name: string
  /** The owner's login. */
  readonly url: string
  /** A pool that is logged in as the owner. */
  readonly sql: postgres.Sql
  drop(): Promise<void>
}

/** A database with schema and default policies (or, with `empty`, without), used by nobody else. Takes about 0.1 s. */
export async function freshDatabase(options: { empty?: boolean } = {}): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`
  const template = options.empty ? emptyDatabase : templateDatabase
  await asOwner((sql) => sql`create database ${sql(name)} template ${sql(template)}`)
  const url = withDatabase(inject('postgresUrl'), name)
  const sql = postgres(url, { max: 10, onnotice: () => undefined })
  let dropped: Promise<void> | undefined
  const drop = () => {
    dropped ??= dropDatabase(name, sql)
    return dropped
  }
  onFileEnd(drop)
  return { name, url, sql, drop }
}

/** A login URL for a database as one of the engine's roles. */
export function urlFor(database: Pick<TestDatabase, 'name'>, role: EngineRole): string {
  const url = new URL(withDatabase(inject('postgresUrl'), database.name))
  url.username = loginRoles[role]
  url.password = loginRoles[role]
  return url.href
}

/** A login URL for a database as the superuser, for what no engine role may do. */
export function adminUrlFor(database: Pick<TestDatabase, 'name'>): string {
  return withDatabase(inject('postgresAdminUrl'), database.name)
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}

async function dropDatabase(name: string, sql: postgres.Sql): Promise<void> {
  await sql.end({ timeout: 1 })
  await asOwner((owner) => owner`drop database if exists ${owner(name)} with (force)`)
}

async function asOwner<T>(work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(inject('postgresUrl'), { max: 1, onnotice: () => undefined })
  try {
    return await work(sql)
  } finally {
    await sql.end()
  }
}

export { startRest, type TestRest } from './rest.js'
