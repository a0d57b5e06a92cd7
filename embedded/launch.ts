import postgres from 'postgres'
import type { PostgresBinaries } from './binaries.js'
import { resetHint } from './cluster.js'
import { isSystemError, messageOf, stackError } from './errors.js'
import { outputFrom } from './logs.js'
import { type OwnProcess, type ProcessEnd, pause, spawnProcess } from './processes.js'
import type { RunAs } from './systemUser.js'

/**
 * Fast shutdown: sessions are cut off and everything is written down. After 30 s the server is told to drop everything instead;
 * it then recovers at its next start.
 */
export const shutdown: [signals: NodeJS.Signals[], patienceMs: number] = [['SIGINT', 'SIGQUIT'], 30_000]

/** How long after a crash the server's own children may keep its memory in use. */
const leftoversPatienceMs = 10_000

export interface Launch {
  cluster: string
  logFile: string
  port: number
  fast: boolean
  binaries: PostgresBinaries
  run: RunAs
  /** A login that works as soon as the server is ready. */
  url: string
}

/**
 * Starts the server on a cluster and resolves when it takes connections.
 *
 * @throws OpsError OPS_001 with the last lines of its log if it ends at once, or refuses its own login
 */
export async function launch(options: Launch): Promise<OwnProcess> {
  const { cluster, logFile, port, fast, binaries, run, url } = options
  const [command = binaries.postgres, ...args] = [
    ...run.prefix,
    binaries.postgres,
    '-D',
    cluster,
    ...settings(port, fast).flatMap((setting) => ['-c', setting]),
  ]
  const deadline = Date.now() + leftoversPatienceMs
  for (;;) {
    const output = await outputFrom(logFile)
    const server = spawnProcess(command, args, { logFile, user: run.user })
    const end = await readyOrEnded(server, url)
    if (end === 'ready') return server
    const lines = await output()
    const inUse = lines.some((line) => /shared memory block .* is still in use/.test(line))
    if (inUse && Date.now() < deadline) {
      await pause(100)
      continue
    }
    throw stackError(
      `Postgres ended as soon as it was started (${describeEnd(end)}):\n${lines.slice(-8).join('\n')}`,
      {
        hint: `The whole log is in ${logFile}. If the data folder is damaged: ${resetHint}`,
      },
    )
  }
}

function settings(port: number, fast: boolean): string[] {
  return [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'max_connections=200',
    'timezone=UTC',
    'log_timezone=UTC',
    'log_checkpoints=off',
    ...(fast ? ['fsync=off', 'full_page_writes=off'] : []),
  ]
}

/** Recovery after a crash takes as long as it takes; while the process lives, there is hope. */
async function readyOrEnded(server: OwnProcess, url: string): Promise<'ready' | ProcessEnd> {
  while (server.running) {
    const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice: () => undefined })
    try {
      await sql`select 1`
      return 'ready'
    } catch (error) {
      if (!isNotYet(error)) {
        await server.stop(...shutdown)
        throw stackError(`Postgres has started, but refuses its own login: ${messageOf(error)}.`, {
          hint: `The data folder and its password file do not belong together. ${resetHint}`,
          cause: error,
        })
      }
    } finally {
      await sql.end({ timeout: 1 })
    }
    await pause(25)
  }
  return server.ended
}

/** The server is still starting (57P03), or its port not open yet. */
function isNotYet(error: unknown): boolean {
  const codes = ['ECONNREFUSED', 'ECONNRESET', 'CONNECTION_CLOSED', 'CONNECT_TIMEOUT', '57P03']
  return codes.some((code) => isSystemError(error, code))
}

function describeEnd({ code, signal, error }: ProcessEnd): string {
  if (error) return error.message
  return signal === null ? `exit code ${code}` : signal
}
