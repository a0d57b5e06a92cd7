/**
 * A real Postgres from npm's packages, in a data folder of its own, reachable on 127.0.0.1 only.
 *
 * It is our child, but in a process group of its own: Ctrl-C in the terminal must not reach it before those who still write
 * to it have stopped. If we are killed without a chance to stop it, it runs on; the next start finds it by its command line,
 * shuts it down in order and starts afresh. Committed data survives all of that.
 */
import { mkdir, realpath } from 'node:fs/promises'
import { type PostgresVersion, postgresBinaries } from './binaries.js'
import { checkVersion, clusterPassword, clusterVersion, createCluster } from './cluster.js'
import { launch, shutdown } from './launch.js'
import { type DataLock, lockDataDir } from './lock.js'
import { stopOrphanedPostgres } from './orphans.js'
import { dataPaths } from './paths.js'
import { freePort, isPortTaken, portTaken } from './ports.js'
import type { ProcessEnd } from './processes.js'
import { authenticator, ensureSupabaseRoles, owner, superuser } from './roles.js'
import { runAs, userFor } from './systemUser.js'

export interface PostgresOptions {
  /** Created if it does not exist. One process at a time may use it. */
  dataDir: string
  /** The folder's lock, if the caller holds it already; then it stays the caller's to release. */
  lock?: DataLock
  /** Default: any free one. */
  port?: number
  /** Default: 17. The others are development dependencies. */
  version?: PostgresVersion
  /** Leaves out what guards data against a crash of the machine (not of the server). For tests only. */
  fast?: boolean
  /** Told, in a sentence, what takes time or was found in disorder. */
  log?: (line: string) => void
}

export interface EmbeddedPostgres {
  readonly port: number
  readonly pid: number
  readonly version: PostgresVersion
  readonly dataDir: string
  readonly logFile: string
  /** Logs in as `postgres`, the owner of the database, who is no superuser (as on Supabase). */
  url(database?: string): string
  /** Logs in as the superuser. */
  adminUrl(database?: string): string
  /** Logs in as PostgREST does. */
  authenticatorUrl(database?: string): string
  /** Settles when the server has ended, asked or not. */
  readonly ended: Promise<ProcessEnd>
  /** Shuts the server down in order (open transactions are rolled back) and gives the data folder free. Repeatable. */
  stop(): Promise<void>
}

/**
 * Starts the server, creating its data folder if need be, and resolves when it takes connections and has Supabase's roles.
 *
 * @throws OpsError OPS_001, with the fix as its hint: folder in use, damaged or of another version; port taken; cannot run here.
 */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const { version = 17, fast = false, log = () => undefined } = options
  await mkdir(options.dataDir, { recursive: true })
  const dataDir = await realpath(options.dataDir)
  const { cluster, draft, postgresLog } = dataPaths(dataDir)
  const lock = options.lock ? { release: async () => undefined } : await lockDataDir(dataDir)
  try {
    const user = await userFor(cluster)
    const found = await clusterVersion(cluster)
    if (found !== undefined) checkVersion(cluster, found, version)
    const binaries = await postgresBinaries(version)
    const run = await runAs(user, [cluster, binaries.postgres])
    const password = await clusterPassword(dataDir)
    await stopOrphanedPostgres(dataDir, log)
    const port = options.port ?? (await freePort())
    if (await isPortTaken(port)) throw portTaken(port, 'Postgres', '--postgres-port')
    if (found === undefined) {
      log(`Creating a Postgres ${version} data folder in ${cluster}`)
      await createCluster(cluster, { binaries, version, password, user, runAs: run, draft, fast })
    }

    const urlAs = (role: string) => (database: string) =>
      `postgres://${role}:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`
    const adminUrl = urlAs(superuser)
    const server = await launch({
      cluster,
      logFile: postgresLog,
      port,
      fast,
      binaries,
      run,
      url: adminUrl('postgres'),
    })
    try {
      await ensureSupabaseRoles(adminUrl('postgres'), password)
    } catch (error) {
      await server.stop(...shutdown)
      throw error
    }
    return {
      port,
      pid: server.pid,
      version,
      dataDir,
      logFile: postgresLog,
      url: (database = 'postgres') => urlAs(owner)(database),
      adminUrl: (database = 'postgres') => adminUrl(database),
      authenticatorUrl: (database = 'postgres') => urlAs(authenticator)(database),
      ended: server.ended,
      async stop() {
        await server.stop(...shutdown)
        await lock.release()
      },
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}
