import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { type Engine, engineFromEnv, loadDotEnv, OpsError } from '../engine/index.js'
import { createApp } from './app.js'
import { apiConfigFromEnv } from './config.js'
import { beat } from './heartbeat.js'
import { createLog } from './log.js'

export interface ServeOptions {
  app: { fetch(request: Request): Response | Promise<Response> }
  /** 0 takes any free port. */
  port: number
}

export interface RunningApi {
  /** `http://127.0.0.1:<port>` */
  url: string
  /** Takes no more requests, and resolves when those under way are answered, after 5 s at the latest. */
  close(): Promise<void>
}

const HOST = '127.0.0.1'
const DEFAULT_PORT = 8787
const PATIENCE_MS = 5_000

/**
 * Serves an app on this machine alone: a proxy or tunnel in front of it decides who reaches it.
 *
 * @throws OpsError `OPS_014` when the port is taken
 */
export async function serveApi({ app, port }: ServeOptions): Promise<RunningApi> {
  const server = createAdaptorServer({ fetch: (request) => app.fetch(request) })
  if (!isHttpServer(server)) throw new Error('expected a plain HTTP server')
  await listen(server, port)
  const address = server.address()
  const actualPort = typeof address === 'object' && address !== null ? address.port : port
  return { url: `http://${HOST}:${actualPort}`, close: () => closeGently(server) }
}

export interface MainOptions {
  /** Default: the process's environment, with `.env` filling in. */
  env?: NodeJS.ProcessEnv
  /** Where to say what people need to know; default: standard output. */
  print?: (line: string) => void
}

/**
 * `npm run api`: serves the control plane until SIGTERM or SIGINT, or until the parent that talks to it over IPC is gone.
 *
 * @param options.port default: `PORT`, then 8787
 * @param options.json says where it serves as JSON
 * @returns the exit code
 * @throws OpsError when the environment is not complete (`OPS_001`, `OPS_011`) or the port is taken (`OPS_014`)
 */
export async function apiMain(
  options: MainOptions & { port?: number | undefined; json?: boolean | undefined } = {},
): Promise<number> {
  const { env = ownEnv(), port = portOf(env), print = console.log, json = false } = options
  const log = createLog(env.LOG_LEVEL)
  const config = apiConfigFromEnv(env)
  if (config.apiKeys.length === 0) log.warn('OPS_API_KEY is not set: every protected route answers 401')
  return withEngine(env, async (engine) => {
    const api = await serveApi({ app: createApp({ engine, config, log }), port })
    const ended = endOfService()
    const at = { url: api.url, docs: `${api.url}/docs` }
    print(json ? JSON.stringify(at) : `Ops Loop API on ${at.url} (docs: ${at.docs})`)
    log.info(`${await ended}: answering the requests under way`)
    await api.close()
    return 0
  })
}

/**
 * `npm run heartbeat`: one beat without HTTP; prints its report as JSON.
 *
 * @returns the exit code: 1 when a phase failed
 * @throws OpsError when the environment is not complete (`OPS_001`, `OPS_011`)
 */
export async function heartbeatMain({
  env = ownEnv(),
  print = console.log,
}: MainOptions = {}): Promise<number> {
  const config = apiConfigFromEnv(env)
  const log = createLog(env.LOG_LEVEL)
  return withEngine(env, async (engine) => {
    const report = await beat({ engine, config, log })
    print(JSON.stringify(report))
    return report.ok ? 0 : 1
  })
}

async function withEngine<T>(env: NodeJS.ProcessEnv, work: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = engineFromEnv(env)
  try {
    return await work(engine)
  } finally {
    await engine.close()
  }
}

function ownEnv(): NodeJS.ProcessEnv {
  loadDotEnv()
  return process.env
}

function portOf({ PORT }: NodeJS.ProcessEnv): number {
  if (!PORT) return DEFAULT_PORT
  const port = Number(PORT)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new OpsError('OPS_011', 'PORT must be a number from 0 to 65535.', { details: { path: 'PORT' } })
}

/**
 * Resolves with what asks this process to end. One with a supervisor ends with it, and leaves to it what Ctrl-C means:
 * the terminal tells both of them.
 */
function endOfService(): Promise<string> {
  const supervised = process.send !== undefined
  return new Promise((resolve) => {
    const onDisconnect = () => end('the supervisor is gone')
    function end(reason: string) {
      // Whoever listens for this keeps the channel open, and with it the process alive.
      process.off('disconnect', onDisconnect)
      resolve(reason)
    }
    process.on('SIGTERM', () => end('SIGTERM'))
    process.on('SIGINT', () => supervised || end('SIGINT'))
    process.on('disconnect', onDisconnect)
  })
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const taken = 'code' in error && error.code === 'EADDRINUSE'
      reject(taken ? portTaken(port, error) : error)
    })
    server.listen(port, HOST, resolve)
  })
}

function portTaken(port: number, cause: Error): OpsError {
  return new OpsError('OPS_014', `Port ${port} of ${HOST} is taken.`, {
    details: { path: 'PORT' },
    hint: 'stop what listens there, or set PORT to another one',
    cause,
  })
}

async function closeGently(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // A kept-alive connection is idle as soon as its request is answered, and would stay for seconds.
  const sweep = setInterval(() => server.closeIdleConnections(), 50)
  const patience = setTimeout(() => server.closeAllConnections(), PATIENCE_MS)
  await closed
  clearInterval(sweep)
  clearTimeout(patience)
}

function isHttpServer(server: object): server is Server {
  return 'closeIdleConnections' in server
}
