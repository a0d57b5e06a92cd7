/**
 * The whole system in one process tree, on 127.0.0.1 only: Postgres, PostgREST with Supabase's roles and keys, the control plane
 * and a worker as processes of their own. They are what they are in production; only the wiring is here.
 */
import { startApi, startWorker, stopOrphanedChildren } from './children.js'
import { type Connection, readConnection, removeConnection, writeConnection } from './connection.js'
import { openDataFolder } from './dataFolder.js'
import { stackError } from './errors.js'
import { signJwt } from './jwt.js'
import { type DataLock, lockDataDir } from './lock.js'
import { migrate, seedPolicies } from './migrate.js'
import { checkApart, isPortTaken, portTaken, type WantedPort } from './ports.js'
import { type EmbeddedPostgres, startPostgres } from './postgres.js'
import { type EmbeddedPostgrest, startPostgrest } from './postgrest.js'
import { readSecrets, type Secrets, tokenSecretOf } from './secrets.js'
import { stackPaths } from './stackPaths.js'
import { type Stoppable, supervise } from './supervisor.js'
import { ensureWorkerLogin } from './workerLogin.js'

export interface StackOptions {
  dataDir: string
  /** Of the control plane. */
  port: number
  /** Of PostgREST's gateway. Default: any free one. */
  restPort?: number | undefined
  /** Default: any free one. */
  postgresPort?: number | undefined
  /** Told, in a sentence, what takes time, was found in disorder, or has fallen and is started again. */
  log: (line: string) => void
  /** Aborted: goes no further, and stops what has started. */
  signal: AbortSignal
}

export interface Stack extends Stoppable {
  /** The real path. */
  readonly dataDir: string
  readonly connection: Connection
  /** Stops everything in order: control plane, worker (which finishes what it has begun), PostgREST, Postgres. */
  stop(): Promise<void>
  /** Makes a stop that is under way quick: steps are handed back, then processes are killed. */
  hurry(): Promise<void>
}

/**
 * Starts everything and resolves when the control plane answers.
 *
 * @throws OpsError, with the fix as its hint, when a part cannot start; what had started is stopped again
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { log, signal } = options
  const parts = new Parts()
  const { dataDir, takeBack } = await openDataFolder(options.dataDir)
  try {
    const lock = await lockFor(dataDir)
    parts.add({ stop: () => lock.release() })
    await stopOrphanedChildren(dataDir, log)
    await checkPorts(options)
    const secrets = await readSecrets(dataDir)
    const setup = { ...options, dataDir, lock, secrets }

    signal.throwIfAborted()
    const database = await startDatabase(setup, parts)
    await migrate(database.url())
    await seedPolicies(database.url())
    const workerUrl = await ensureWorkerLogin(database.url(), secrets.workerPassword)

    signal.throwIfAborted()
    const rest = await startRest(setup, database, parts)
    const connection = connectionOf(setup, database, rest, workerUrl)
    await startPrograms(setup, connection, parts)

    signal.throwIfAborted()
    parts.add({ stop: () => removeConnection(dataDir) })
    await writeConnection(dataDir, connection)
    return { dataDir, connection, stop: () => parts.stop(), hurry: () => parts.hurry() }
  } catch (error) {
    await parts.stop().catch(() => undefined)
    await takeBack().catch(() => undefined)
    throw error
  }
}

/** Early, while there is nothing to take back. Postgres looks at its own port itself: one that a killed run left behind may hold it. */
async function checkPorts({ port, restPort, postgresPort }: StackOptions): Promise<void> {
  const controlPlane: WantedPort = { port, who: 'the control plane', option: '--port' }
  const rest: WantedPort = { port: restPort, who: 'the REST gateway', option: '--rest-port' }
  checkApart([controlPlane, rest, { port: postgresPort, who: 'Postgres', option: '--postgres-port' }])
  for (const { port, who, option } of [controlPlane, rest])
    if (port !== undefined && (await isPortTaken(port))) throw portTaken(port, who, option)
}

/** @throws OpsError `OPS_001` naming the stack that runs there already */
async function lockFor(dataDir: string): Promise<DataLock> {
  try {
    return await lockDataDir(dataDir)
  } catch (error) {
    const running = await readConnection(dataDir).catch(() => undefined)
    if (running === undefined) throw error
    const { OPS_STACK_PID, OPS_API_URL } = running
    throw stackError(`Ops Loop runs in ${dataDir} already: process ${OPS_STACK_PID}, ${OPS_API_URL}.`, {
      hint: `Stop it with Ctrl-C in its terminal, or kill ${OPS_STACK_PID}. Another one beside it: npm start -- --data-dir <folder> --port <port>.`,
      cause: error,
    })
  }
}

/** What has started, to be stopped in the opposite order. */
class Parts {
  readonly #parts: Stoppable[] = []

  add(part: Stoppable): void {
    this.#parts.unshift(part)
  }

  async stop(): Promise<void> {
    const problems: unknown[] = []
    for (const part of this.#parts) await part.stop().catch((error: unknown) => problems.push(error))
    if (problems.length > 0) throw problems[0]
  }

  async hurry(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.hurry?.()))
  }
}

type Setup = StackOptions & { lock: DataLock; secrets: Secrets }

async function startDatabase(setup: Setup, parts: Parts): Promise<EmbeddedPostgres> {
  const { dataDir, lock, log, postgresPort } = setup
  const database = await startPostgres({ dataDir, lock, log, ...(postgresPort && { port: postgresPort }) })
  const again = () => startPostgres({ dataDir, lock, log, port: database.port })
  parts.add(supervise(database, { name: 'database', again, log }))
  return database
}

async function startRest(setup: Setup, database: EmbeddedPostgres, parts: Parts): Promise<EmbeddedPostgrest> {
  const { dataDir, log, restPort, secrets } = setup
  const options = { dataDir, log, databaseUrl: database.authenticatorUrl(), jwtSecret: secrets.jwtSecret }
  const rest = await startPostgrest({ ...options, ...(restPort && { port: restPort }) })
  const again = () => startPostgrest({ ...options, port: rest.port })
  parts.add(supervise(rest, { name: 'PostgREST', again, log }))
  return rest
}

/** The worker logs in to Postgres itself, so that it is woken when there is work; the control plane goes by PostgREST, as on Vercel. */
async function startPrograms(
  { dataDir, port, log, signal }: Setup,
  connection: Connection,
  parts: Parts,
): Promise<void> {
  const { workerLog, apiLog } = stackPaths(dataDir)
  const { SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY, OPS_API_KEY, OPS_TOKEN_SECRET, GITHUB_WEBHOOK_SECRET } =
    connection

  const work = () =>
    startWorker({ dataDir, logFile: workerLog, env: { DATABASE_URL: connection.WORKER_DATABASE_URL } })
  parts.add(supervise(await work(), { name: `worker, see ${workerLog},`, again: work, log }))

  const env = {
    DATABASE_URL: '',
    SUPABASE_URL,
    SUPABASE_SECRET_KEY: '',
    SUPABASE_SERVICE_ROLE_KEY,
    OPS_API_KEY,
    OPS_TOKEN_SECRET,
    GITHUB_WEBHOOK_SECRET,
    // Keys of another deployment, in .env, open nothing here.
    OPS_API_KEY_PREVIOUS: '',
    OPS_TOKEN_SECRET_PREVIOUS: '',
    CRON_SECRET: '',
    GITHUB_WEBHOOK_SECRET_PREVIOUS: '',
    // A line for each heartbeat would fill the disk in the end.
    LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn',
  }
  const serve = (signal: AbortSignal) => startApi({ dataDir, port, logFile: apiLog, env, signal })
  parts.add(supervise(await serve(signal), { name: `control plane, see ${apiLog},`, again: serve, log }))
}

function connectionOf(
  { port, secrets }: Setup,
  database: EmbeddedPostgres,
  rest: EmbeddedPostgrest,
  workerUrl: string,
): Connection {
  return {
    OPS_STACK_PID: process.pid,
    DATABASE_URL: database.url(),
    WORKER_DATABASE_URL: workerUrl,
    SUPABASE_URL: rest.url,
    SUPABASE_SERVICE_ROLE_KEY: signJwt('service_role', secrets.jwtSecret),
    OPS_API_URL: `http://127.0.0.1:${port}`,
    OPS_API_KEY: secrets.apiKey,
    OPS_TOKEN_SECRET: tokenSecretOf(secrets),
    GITHUB_WEBHOOK_SECRET: secrets.webhookSecret,
  }
}
