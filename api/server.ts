import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { type Engine, engineFromEnv, loadDotEnv, OpsError } from '../engine/index.js'
import { createApp } from './app.js'
import { apiConfigFromEnv } from './config.js'
import { answerOf } from './errors.js'
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
  /** Default: `PORT`, then 8787. */
  port?: number | undefined
  /** Where to say what people need to know; default: standard output. */
  print?: (line: string) => void
}

/**
 * `npm run api`: serves the control plane until SIGTERM or SIGINT, or until the parent that talks to it over IPC is gone.
 * Resolves with the exit code.
 */
export async function apiMain({
  env = ownEnv(),
  port,
  print = console.log,
}: MainOptions = {}): Promise<number> {
  const log = createLog(env.LOG_LEVEL)
  return withEngine(env, print, async (engine) => {
    const config = apiConfigFromEnv(env)
    if (config.apiKeys.length === 0) log.warn('OPS_API_KEY is not set: every protected route answers 401')
    const app = createApp({ engine, config, log })
    const api = await serveApi({ app, port: port ?? portOf(env) })
    print(`Ops Loop API on ${api.url} (docs: ${api.url}/docs)`)
    log.info({ reason: await endOfService() }, 'stopping')
    await api.close()
    return 0
  })
}

/** `npm run heartbeat`: one beat without HTTP; prints its report. Resolves with the exit code, 1 when a phase failed. */
export async function heartbeatMain({
  env = ownEnv(),
  print = console.log,
}: MainOptions = {}): Promise<number> {
  return withEngine(env, print, async (engine) => {
    const { eventBatchSize, reactionBatchSize, beatBudgetMs } = apiConfigFromEnv(env)
    const deadline = Date.now() + beatBudgetMs
    const log = createLog(env.LOG_LEVEL)
    const report = await beat(engine, { eventBatchSize, reactionBatchSize, deadline, log })
    print(JSON.stringify(report))
    return report.ok ? 0 : 1
  })
}

/** Runs `work` on the engine that the environment names. Says what is wrong, as the API would, and answers 1. */
async function withEngine(
  env: NodeJS.ProcessEnv,
  print: (line: string) => void,
  work: (engine: Engine) => Promise<number>,
): Promise<number> {
  let engine: Engine | undefined
  try {
    engine = engineFromEnv(env)
    return await work(engine)
  } catch (error) {
    if (!(error instanceof OpsError)) throw error
    print(JSON.stringify({ ok: false, ...answerOf(error).body }))
    return 1
  } finally {
    await engine?.close()
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

/** Resolves with what asks this process to end. */
function endOfService(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal))
    if (process.connected) process.once('disconnect', () => resolve('disconnect'))
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
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), PATIENCE_MS)
  await closed
  clearTimeout(timer)
}

function isHttpServer(server: object): server is Server {
  return 'closeIdleConnections' in server
}
