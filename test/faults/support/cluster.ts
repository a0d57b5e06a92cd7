/** A Postgres of a case's own, which may be torn down under load. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'
import { inject } from 'vitest'
import { migrate, seedPolicies } from '../../../embedded/migrate.js'
import { dataPaths } from '../../../embedded/paths.js'
import { type EmbeddedPostgres, startPostgres } from '../../../embedded/postgres.js'
import { freshDataDir } from '../../support/dataDir.js'
import { onFileEnd } from '../../support/fileEnd.js'
import { type EngineRole, loginRoles } from '../../support/names.js'
import type { SiteDatabase } from './site.js'

export interface Cluster extends SiteDatabase {
  /** Tells the server to drop everything at once, as a crash does, and starts it again on the same port. */
  crash(): Promise<void>
  readonly adminUrl: string
}

export async function ownCluster(): Promise<Cluster> {
  const dataDir = await freshDataDir()
  const version = versionOf(inject('postgresVersion'))
  let server: EmbeddedPostgres = await startPostgres({ dataDir, version, fast: true })
  onFileEnd(() => server.stop())
  const { port } = server
  const sql = await prepare(server.url())
  return {
    sql,
    adminUrl: server.adminUrl(),
    urlFor: (role) => loginUrl(server.url(), role),
    async crash() {
      process.kill(await postmasterOf(dataDir), 'SIGQUIT')
      await server.ended
      await server.stop()
      server = await startPostgres({ dataDir, version, fast: true, port })
    },
  }
}

/** Schema, default policies and logins, in an empty database; answers a pool of its owner. */
export async function prepare(ownerUrl: string): Promise<postgres.Sql> {
  await migrate(ownerUrl)
  await seedPolicies(ownerUrl)
  const sql = postgres(ownerUrl, { max: 5, onnotice: () => undefined })
  onFileEnd(() => sql.end({ timeout: 1 }))
  for (const [role, login] of Object.entries(loginRoles)) {
    const known = await sql`select from pg_roles where rolname = ${login}`
    if (known.length === 0) await sql.unsafe(`create role ${login} login password '${login}' in role ${role}`)
  }
  return sql
}

export function loginUrl(ownerUrl: string, role: EngineRole): string {
  const url = new URL(ownerUrl)
  url.username = loginRoles[role]
  url.password = loginRoles[role]
  return url.href
}

function versionOf(version: number): 15 | 17 | 18 {
  return version === 15 || version === 18 ? version : 17
}

async function postmasterOf(dataDir: string): Promise<number> {
  const text = await readFile(join(dataPaths(dataDir).cluster, 'postmaster.pid'), 'utf8')
  return Number(text.split('\n')[0])
}
