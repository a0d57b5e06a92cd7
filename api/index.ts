import { engineFromEnv, OpsError } from '../engine/index.js'
import { createApp } from './app.js'
import { apiConfigFromEnv } from './config.js'
import { answerOf } from './errors.js'
import { createLog } from './log.js'
import type { Router } from './router.js'

/** Seconds that Vercel lets a request run. A beat stops well before (`beatBudgetMs`). */
export const config = { maxDuration: 60 }

let app: Router | undefined

/**
 * The one function on Vercel. It is configured by the first request, not while it is loaded: a deployment whose
 * environment is incomplete answers 503 and says what is missing.
 */
export default {
  async fetch(request: Request): Promise<Response> {
    try {
      app ??= configured()
    } catch (error) {
      if (!(error instanceof OpsError)) throw error
      return Response.json(answerOf(error).body, { status: 503 })
    }
    return app.fetch(request)
  },
}

function configured(): Router {
  const { env } = process
  return createApp({
    engine: engineFromEnv(env),
    config: apiConfigFromEnv(env),
    log: createLog(env.LOG_LEVEL),
  })
}
