/** A whole loop for the guides' checklists: database, control plane over HTTP, a worker that waits for work, a chat and a mail server. */
import { once } from 'node:events'
import { serve } from '@hono/node-server'
import { vi } from 'vitest'
import { appOver, KEY } from '../../api/testing.js'
import { anyAddress } from '../../channels/index.js'
import {
  answering,
  type MailServer,
  mailServer,
  type TestServer,
  serve as webServer,
} from '../../channels/testing.js'
import type { Finding } from '../../cli/doctor/finding.js'
import { run } from '../../cli/testing.js'
import { connectEngine } from '../../engine/index.js'
import noop from '../../executors/noop/index.js'
import packageJson from '../../package.json' with { type: 'json' }
import { type Clock, setPolicy, stopClock } from '../../supabase/tests/world.js'
import { createWorker } from '../../worker/worker.js'
import { freshDatabase, type TestDatabase, urlFor } from '../support/database.js'
import { onFileEnd } from '../support/fileEnd.js'

export interface Answer {
  status: number
  text: string
  /** Where it is JSON. */
  body: unknown
}

export interface Loop {
  readonly db: TestDatabase
  readonly clock: Clock
  readonly chat: TestServer
  readonly mail: MailServer
  /** Puts a policy in force, or changes some of its fields. */
  policy(key: string, changes: object): Promise<void>
  rows(statement: string): Promise<Record<string, unknown>[]>
  post(path: string, content?: object): Promise<Answer>
  /** Proposes a mission of one `noop` step over HTTP. */
  propose(params?: object): Promise<void>
  /** `ops-loop verify`: what it says of each line. */
  verify(): Promise<Record<string, Finding[]>>
  /** The rules of the alerts that are open, each with its priority. */
  alerts(): Promise<string[]>
  stopWorker(): Promise<void>
  /** `curl -H "Authorization: Bearer …" <path>` */
  curl(path: string): Promise<Answer>
  /** What the cron does: a POST to the heartbeat; resolves when the worker has done what it brought. */
  beat(): Promise<unknown>
}

/** Addresses and thresholds as an operator would set them up. */
const channels = {
  slack: { type: 'slack' },
  mail: { type: 'email', from: 'ops@example.test', to: ['oncall@example.test'] },
}

/** @param startedAgo minutes by which the loop's clock is behind at the start; it stands still unless a test moves it */
export async function startLoop({ startedAgo = 0 } = {}): Promise<Loop> {
  const db = await freshDatabase()
  const clock = await stopClock(db.sql, new Date(Date.now() - startedAgo * 60_000).toISOString())
  await db.sql`delete from ops.watch`
  const chat = await webServer(answering(200, {}, 'ok'))
  const mail = await mailServer()
  const engine = connectEngine({ databaseUrl: urlFor(db, 'service_role') })
  const variables = { SLACK_WEBHOOK_URL: `${chat.url}/services/x`, SMTP_URL: `smtp://${mail.host}` }
  const app = appOver(engine, { channels: { variables, guard: anyAddress } })
  const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')

  const workerEngine = connectEngine({ databaseUrl: urlFor(db, 'ops_worker') })
  const quiet = { debug() {}, info() {}, warn() {}, error() {} }
  const worker = createWorker({
    engine: workerEngine,
    executors: new Map([[noop.kind, noop]]),
    name: 'vps-1',
    version: packageJson.version,
    concurrency: 4,
    watch: true,
    log: quiet,
    pollIntervalMs: 50,
    env: {},
  })
  const working = worker.start()
  vi.stubEnv('DATABASE_URL', urlFor(db, 'ops_operator'))
  onFileEnd(async () => {
    await worker.stop('drain')
    await working
    await Promise.all([workerEngine.close(), engine.close(), chat.close(), mail.close()])
    await new Promise((resolve) => server.close(resolve))
  })
  await vi.waitFor(async () => {
    const live = await db.sql`select from ops_workers where live`
    if (live.length === 0) throw new Error('the worker has not registered')
  })

  const policy = async (key: string, changes: object) =>
    setPolicy(db.sql, key, { ...(await inForce(db, key)), ...changes })
  const rows = async (statement: string) => [...(await db.sql.unsafe<Record<string, unknown>[]>(statement))]
  await policy('auto_approve', { enabled: true })
  await policy('alerts', { channels, routes, resolve_after_minutes: 0 })
  const call = async (path: string, method: string, content?: object): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${address.port}${path}`, {
      method,
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      ...(content && { body: JSON.stringify(content) }),
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json')
    return { status: response.status, text, body: isJson ? JSON.parse(text) : undefined }
  }
  return {
    db,
    clock,
    chat,
    mail,
    policy,
    rows,
    post: (path, content) => call(path, 'POST', content),
    curl: (path) => call(path, 'GET'),
    async beat() {
      const { body } = await call('/api/ops/heartbeat', 'POST')
      await vi.waitFor(async () => {
        const open =
          await db.sql`select from ops_mission_steps where status in ('queued', 'running') and ready`
        if (open.length > 0) throw new Error('steps are under way')
      })
      return body
    },
    async propose(params = {}) {
      const template = { title: 'Test', steps: [{ kind: 'noop', params, max_retries: 1 }] }
      const { status } = await call('/api/ops/proposals', 'POST', { template })
      if (status >= 300) throw new Error(`the proposal was answered with ${status}`)
    },
    async verify() {
      const { stdout } = await run('verify', '--json')
      const { findings }: { findings: Finding[] } = JSON.parse(stdout)
      return Object.fromEntries(
        findings.map(({ check }) => [check, findings.filter((finding) => finding.check === check)]),
      )
    },
    async alerts() {
      const open = await db.sql<{ told: string }[]>`
        select priority || ' ' || rule || case when subject = '' then '' else ' ' || subject end as told
        from ops_alerts where status = 'open' order by 1`
      return open.map(({ told }) => told)
    },
    stopWorker: () => worker.stop('drain'),
  }
}

/** Chat at once, mail for what is urgent. */
const routes = { critical: ['slack', 'mail'], high: ['slack', 'mail'], warning: ['slack'] }

async function inForce({ sql }: TestDatabase, key: string): Promise<object> {
  const [row] = await sql<{ value: object }[]>`select value from ops_policy where key = ${key}`
  return row?.value ?? {}
}
