/**
 * PostgREST as every Supabase project has it, so that supabase-js talks to the embedded database as it would to theirs.
 * PostgREST itself listens on an inner port; callers use the gateway in front of it.
 */
import { realpath, writeFile } from 'node:fs/promises'
import type { ServerType } from '@hono/node-server'
import { postgrestBinary } from './binaries.js'
import { stackError } from './errors.js'
import { serveGateway } from './gateway.js'
import { outputFrom } from './logs.js'
import { stopOrphanedPostgrest } from './orphans.js'
import { dataPaths } from './paths.js'
import { freePort } from './ports.js'
import { type OwnProcess, type ProcessEnd, pause, spawnProcess, unicodeEnvironment } from './processes.js'

export interface PostgrestOptions {
  /** An existing folder, for its configuration and log. Whoever calls holds the folder's lock (`startPostgres` does). */
  dataDir: string
  /** A login as `authenticator`. */
  databaseUrl: string
  /** At least 32 characters; `signJwt` makes keys with it. */
  jwtSecret: string
  /** Of the gateway. Default: any free one. */
  port?: number
  log?: (line: string) => void
}

export interface EmbeddedPostgrest {
  /** What supabase-js takes as its URL; the API is below `/rest/v1/`. */
  readonly url: string
  readonly port: number
  readonly logFile: string
  /** Settles when PostgREST has ended, asked or not. */
  readonly ended: Promise<ProcessEnd>
  /** Repeatable. */
  stop(): Promise<void>
}

const readyWithinMs = 30_000
const stopPatienceMs = 5_000

/**
 * Starts PostgREST and resolves when it has read the schema. After a migration it reads it anew on `notify pgrst, 'reload schema'`.
 *
 * @throws OpsError OPS_001: port taken, no program for this platform, or database out of reach for 30 s
 */
export async function startPostgrest(options: PostgrestOptions): Promise<EmbeddedPostgrest> {
  const { databaseUrl, jwtSecret, log = () => undefined } = options
  const dataDir = await realpath(options.dataDir)
  const { postgrestConfig, postgrestLog } = dataPaths(dataDir)
  const binary = await postgrestBinary()

  await stopOrphanedPostgrest(dataDir, log)
  const { server, innerPort } = await listening(binary, postgrestConfig, postgrestLog, {
    databaseUrl,
    jwtSecret,
  })
  const stopServer = () => server.stop(['SIGTERM', 'SIGKILL'], stopPatienceMs)
  try {
    const port = options.port ?? (await freePort())
    const gateway = await serveGateway(`http://127.0.0.1:${innerPort}`, port)
    return {
      url: `http://127.0.0.1:${port}`,
      port,
      logFile: postgrestLog,
      ended: server.ended,
      async stop() {
        await closeServer(gateway)
        await stopServer()
      },
    }
  } catch (error) {
    await stopServer()
    throw error
  }
}

interface Configuration {
  databaseUrl: string
  jwtSecret: string
  innerPort: number
  adminPort: number
}

/** As Supabase configures it. In a file, because other users of the machine can read the environment's and argument's secrets. */
function configuration({ databaseUrl, jwtSecret, innerPort, adminPort }: Configuration): string {
  const settings: Record<string, string | number | boolean> = {
    'db-uri': databaseUrl,
    'db-schemas': 'public',
    'db-anon-role': 'anon',
    'db-max-rows': 1000,
    'db-pool': 10,
    'db-channel-enabled': true,
    'jwt-secret': jwtSecret,
    'server-host': '127.0.0.1',
    'server-port': innerPort,
    'admin-server-port': adminPort,
    'log-level': 'warn',
  }
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
  return `${lines.join('\n')}\n`
}

/** A running server on ports of its own. Between the look for free ones and the listening, another program may take one: then on others. */
async function listening(
  binary: string,
  configFile: string,
  logFile: string,
  access: Pick<Configuration, 'databaseUrl' | 'jwtSecret'>,
): Promise<{ server: OwnProcess; innerPort: number }> {
  for (let left = 4; ; left--) {
    const innerPort = await freePort()
    const adminPort = await freePort()
    await writeFile(configFile, configuration({ ...access, innerPort, adminPort }), { mode: 0o600 })
    const output = await outputFrom(logFile)
    const server = spawnProcess(binary, [configFile], { logFile, env: unicodeEnvironment })
    if (await becomesReady(server, `http://127.0.0.1:${adminPort}/ready`)) return { server, innerPort }
    const what = server.running ? 'is not ready after 30 s' : 'ended as soon as it was started'
    await server.stop(['SIGTERM', 'SIGKILL'], stopPatienceMs)
    const lines = await output()
    if (left > 0 && lines.some((line) => line.includes('Address in use'))) continue
    throw stackError(`PostgREST ${what}:\n${lines.slice(-8).join('\n')}`, {
      hint: `The whole log is in ${logFile}.`,
    })
  }
}

async function becomesReady(server: OwnProcess, readyUrl: string): Promise<boolean> {
  for (
    const deadline = Date.now() + readyWithinMs;
    server.running && Date.now() < deadline;
    await pause(25)
  ) {
    const response = await fetch(readyUrl).catch(() => undefined)
    if (response?.ok) return true
  }
  return false
}

function closeServer(server: ServerType): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    if ('closeAllConnections' in server) server.closeAllConnections()
  })
}
