import { afterAll } from 'vitest'
import { z } from 'zod'
import { connectEngine, type Engine } from '../engine/index.js'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { createApp } from './app.js'
import type { ApiConfig } from './config.js'
import { createLog } from './log.js'
import type { Router } from './router.js'

export const KEY = 'test-key'
export const CRON_KEY = 'test-cron-key'
export const TOKEN_SECRET = 'a secret of more than thirty-two characters'
export const GITHUB_SECRET = "It's a Secret to Everybody"
export const STRIPE_SECRET = 'whsec_test_secret'
/** The one in the library's own tests. */
export const STANDARD_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
export const UNKNOWN_ID = '01900000-0000-7000-8000-000000000000'

export const testConfig: ApiConfig = {
  apiKeys: [KEY],
  cronSecret: CRON_KEY,
  tokenSecrets: [TOKEN_SECRET],
  corsOrigins: [],
  requestsPerMinute: 0,
  webhookSecrets: { github: [GITHUB_SECRET], stripe: [STRIPE_SECRET], standard: [STANDARD_SECRET] },
  serviceSecrets: {},
  eventBatchSize: 50,
  reactionBatchSize: 50,
  channels: { variables: {} },
  beatBudgetMs: 10_000,
}

/** An answer whose JSON is looked at with `expect`. */
export interface Answer {
  status: number
  headers: Headers
  body: unknown
}

/** Drives an app in memory with the API key; a body is sent as JSON. */
export function caller(app: Router) {
  return async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const response = await app.request(path, {
      method,
      headers: {
        authorization: `Bearer ${KEY}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return answerOf(response)
  }
}

export async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? undefined : JSON.parse(text),
  }
}

/** The app over an engine of the test's own. */
export function appOver(engine: Engine, config: Partial<ApiConfig> = {}, now = Date.now): Router {
  return createApp({ engine, config: { ...testConfig, ...config }, log: createLog('silent'), now })
}

/** The app over a database of its own, connected as the control plane is: with the service role. */
export async function testApi() {
  const db = await freshDatabase()
  const engine = connectEngine({ databaseUrl: urlFor(db, 'service_role') })
  const workerEngine = connectEngine({ databaseUrl: urlFor(db, 'ops_worker') })
  afterAll(() => Promise.all([engine.close(), workerEngine.close()]))
  const call = caller(appOver(engine))
  return {
    db,
    engine,
    call,
    worker: workerOf(workerEngine),

    /** Puts a policy in force. */
    async policy(key: string, value: Record<string, unknown>): Promise<void> {
      await db.sql`
        insert into public.ops_policy (key, value) values (${key}, ${db.sql.json(JSON.parse(JSON.stringify(value)))})
        on conflict (key) do update set value = excluded.value`
    },

    /** Proposes a mission of one `noop` step through the API. */
    async propose(template: Record<string, unknown> = {}): Promise<z.infer<typeof proposed>> {
      const steps = [{ kind: 'noop', max_retries: 1 }]
      const answer = await call('POST', '/api/ops/proposals', {
        template: { title: 'Test', steps, ...template },
      })
      return proposed.parse(answer.body)
    },
  }
}

/** What `testApi` gives. */
export type TestApi = Awaited<ReturnType<typeof testApi>>

const proposed = z.object({ proposal_id: z.string(), status: z.string(), mission_id: z.string().nullable() })

/** A worker that takes one step and ends it as told. */
function workerOf(engine: Engine) {
  let workerId: string | undefined
  async function claim() {
    workerId ??= (
      await engine.registerWorker({
        name: 'test',
        version: '0.0.0',
        executors: ['noop'],
        concurrency: 1,
        schema_version: 1_000_000,
      })
    ).worker_id
    const [step] = await engine.claimSteps({ worker_id: workerId, executors: ['noop'], limit: 1 })
    if (step === undefined) throw new Error('there is no step to claim')
    return step
  }
  return {
    claim,
    async succeed() {
      const { step_id, token } = await claim()
      await engine.completeSteps([{ step_id, token, result: { done: true } }])
      return step_id
    },
    async fail() {
      const { step_id, token } = await claim()
      await engine.failSteps([{ step_id, token, error: 'it broke', permanent: true }])
      return step_id
    },
  }
}
