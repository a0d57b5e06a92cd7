import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { migrate, seedPolicies } from '../../embedded/migrate.js'
import { startPostgres } from '../../embedded/postgres.js'
import type { Database } from './types.js'

/** What both sides get: durable commits, as Postgres has them from the start, and memory as on a small server. */
const settings = {
  shared_buffers: '512MB',
  max_wal_size: '8GB',
  checkpoint_timeout: '15min',
  log_min_messages: 'error',
}

export interface Server {
  /** Its log file, in which the statements of a database can be counted. */
  readonly logFile: string
  readonly version: string
  emptyDatabase(): Promise<Database>
  ourDatabase(): Promise<Database>
  stop(): Promise<void>
}

/** An embedded Postgres 17 in a folder of its own, with fsync and synchronous_commit on. */
export async function startServer(): Promise<Server> {
  const dataDir = await mkdtemp(join(tmpdir(), 'ops-loop-bench-'))
  const first = await startPostgres({ dataDir })
  const admin = postgres(first.adminUrl(), { max: 1, onnotice: () => undefined })
  for (const [name, value] of Object.entries(settings)) {
    await admin.unsafe(`alter system set ${name} = '${value}'`)
  }
  await admin.end()
  await first.stop()

  const server = await startPostgres({ dataDir })
  const sql = postgres(server.adminUrl(), { max: 1, onnotice: () => undefined })
  const [facts] = await sql<{ version: string; fsync: string; commit: string }[]>`
    select current_setting('server_version') as version, current_setting('fsync') as fsync,
      current_setting('synchronous_commit') as commit`
  if (facts?.fsync !== 'on' || facts.commit !== 'on') throw new Error('this server would not be durable')

  let made = 0
  async function emptyDatabase(): Promise<Database> {
    const name = `bench_${++made}`
    await sql`create database ${sql(name)} owner postgres template postgres`
    const drop = async () => void (await sql`drop database if exists ${sql(name)} with (force)`)
    return { url: server.url(name), adminUrl: server.adminUrl(name), drop }
  }
  return {
    logFile: server.logFile,
    version: facts.version,
    emptyDatabase,
    async ourDatabase() {
      const database = await emptyDatabase()
      await prepareOurs(database.url)
      return database
    },
    async stop() {
      await sql.end()
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Our schema and default policies, without caps that the bench would meet, and with every low risk admitted. */
export async function prepareOurs(url: string): Promise<void> {
  await migrate(url)
  await seedPolicies(url)
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  await sql`update ops_policy set value = '{"daily_limit": 1000000}' where key = 'proposal_caps'`
  await sql`update ops_policy set value = '{"enabled": true, "max_risk_level": "medium"}' where key = 'auto_approve'`
  await sql.end()
}
