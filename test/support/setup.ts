/**
 * Starts one Postgres for the whole test run, with Supabase's roles and a template database that is migrated and seeded
 * once; every test file clones its own databases from it. OPS_TEST_POSTGRES=15|17|18 chooses the version.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import type { TestProject } from 'vitest/node'
import { migrate, seedPolicies } from '../../embedded/migrate.js'
import { startPostgres } from '../../embedded/postgres.js'
import { emptyDatabase, loginRoles, templateDatabase, testFolderPrefix } from './names.js'
import { sweepKilledRuns } from './sweep.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** The owner's login to the maintenance database. */
    postgresUrl: string
    /** The superuser's login to the maintenance database. */
    postgresAdminUrl: string
    postgresVersion: number
    /** A folder that disappears after the run. */
    testDir: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await sweepKilledRuns()
  const dataDir = await mkdtemp(join(tmpdir(), `${testFolderPrefix}${process.pid}-`))
  const version = wantedVersion(process.env.OPS_TEST_POSTGRES ?? '17')
  const server = await startPostgres({ dataDir, version, fast: true })
  const stop = async () => {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  try {
    await createTemplate(server.url(), server.url(templateDatabase))
  } catch (error) {
    await stop()
    throw error
  }
  project.provide('postgresUrl', server.url())
  project.provide('postgresAdminUrl', server.adminUrl())
  project.provide('postgresVersion', version)
  project.provide('testDir', dataDir)
  return stop
}

function wantedVersion(text: string): 15 | 17 | 18 {
  if (text === '15') return 15
  if (text === '17') return 17
  if (text === '18') return 18
  throw new Error(`OPS_TEST_POSTGRES is ${text}, but must be 15, 17 or 18`)
}

async function createTemplate(ownerUrl: string, templateUrl: string): Promise<void> {
  const sql = postgres(ownerUrl, { max: 1, onnotice: () => undefined })
  try {
    for (const name of [emptyDatabase, templateDatabase])
      await sql`create database ${sql(name)} template postgres`
    await migrate(templateUrl)
    await seedPolicies(templateUrl)
    await parkMonitors(templateUrl)
    for (const [role, login] of Object.entries(loginRoles)) {
      await sql.unsafe(`create role ${login} login password '${login}' in role ${role}`)
    }
  } finally {
    await sql.end()
  }
}

/** A beat in a test does what the test is about: the monitors sleep until a test wakes them by emptying `ops.watch`. */
async function parkMonitors(templateUrl: string): Promise<void> {
  const sql = postgres(templateUrl, { max: 1, onnotice: () => undefined })
  try {
    await sql`
      insert into ops.watch (part, ran_at, role)
      select part, 'infinity', 'test' from unnest(array['canary', 'round', 'alerts', 'digest']) part`
  } finally {
    await sql.end()
  }
}
