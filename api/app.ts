import { bodyLimit } from 'hono/body-limit'
import { cors } from 'hono/cors'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { requestId } from 'hono/request-id'
import { secureHeaders } from 'hono/secure-headers'
import type { Logger } from 'pino'
import type { Engine } from '../engine/index.js'
import { keyring } from './access/keyring.js'
import { rateLimit } from './access/rate-limit.js'
import { authenticate } from './access/require.js'
import { accessLog } from './access-log.js'
import type { ApiConfig } from './config.js'
import { invalidInput, onError, onNotFound, refuse } from './errors.js'
import { type Router, router, type Services } from './router.js'
import { alertRoutes } from './routes/alerts.js'
import { docsRoutes } from './routes/docs.js'
import { eventRoutes } from './routes/events.js'
import { healthRoutes } from './routes/health.js'
import { heartbeatRoutes } from './routes/heartbeat.js'
import { invariantRoutes } from './routes/invariants.js'
import { limitRoutes } from './routes/limits.js'
import { metricsRoutes } from './routes/metrics.js'
import { missionRoutes } from './routes/missions.js'
import { policyRoutes } from './routes/policies.js'
import { proposalRoutes } from './routes/proposals.js'
import { radarRoutes } from './routes/radar.js'
import { stepRoutes } from './routes/steps.js'
import { timelineRoutes, traceRoutes } from './routes/trace.js'
import { webhookRoutes } from './routes/webhooks.js'

export interface AppOptions {
  engine: Engine
  config: ApiConfig
  log: Logger
  /** Milliseconds since 1970; for tests. */
  now?: (() => number) | undefined
}

/** What Vercel lets through to a function, less a margin. */
const MAX_BODY_BYTES = 4 * 1024 * 1024

/** What pages of a configured origin may read besides the body. */
const EXPOSED_HEADERS = ['X-Request-Id', 'Retry-After', 'RateLimit-Remaining', 'RateLimit-Reset']

/**
 * The control plane as a Hono app, for Node, Vercel and tests alike. It keeps no state of its own.
 *
 * @example
 * const app = createApp({ engine, config: apiConfigFromEnv(process.env), log: createLog() })
 * await app.request('/livez')
 */
export function createApp({ engine, config, log, now = Date.now }: AppOptions): Router {
  const identify = keyring(config, now)
  const services: Services = { engine, config, identify, now }
  const app = router()
  app.defaultHook = (result) => {
    if (!result.success) throw invalidInput(result.error, result.target)
  }
  app.onError(onError)
  app.notFound(onNotFound)

  app.use(requestId())
  app.use(accessLog(log, now))
  app.use(secureHeaders({ contentSecurityPolicy: { defaultSrc: ["'none'"], styleSrc: ["'unsafe-inline'"] } }))
  if (config.corsOrigins.length > 0) {
    app.use(cors({ origin: [...config.corsOrigins], exposeHeaders: EXPOSED_HEADERS, maxAge: 600 }))
  }
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        c.header('Allow', methods.join(', '))
        return refuse(c, 405, `${c.req.path} knows ${methods.join(', ')}, not ${c.req.method}.`)
      },
    }),
  )
  app.use(
    bodyLimit({
      maxSize: MAX_BODY_BYTES,
      onError: (c) => refuse(c, 413, `The body is larger than ${MAX_BODY_BYTES / 1024 / 1024} MiB.`),
    }),
  )

  app.route('/', docsRoutes(app))
  app.route('/', healthRoutes(services))
  // A delivery proves itself by its signature.
  app.route('/api/ops/webhooks', webhookRoutes(services))

  // From here on nothing is open.
  const limit = rateLimit(engine, config.requestsPerMinute, now)
  app.use('/metrics', authenticate(identify), limit)
  app.route('/', metricsRoutes(services))
  app.use('/api/*', authenticate(identify), limit)
  app.route('/api/ops/heartbeat', heartbeatRoutes(services))
  app.route('/api/ops/events', eventRoutes(services))
  app.route('/api/ops/proposals', proposalRoutes(services))
  app.route('/api/ops/missions', missionRoutes(services))
  app.route('/api/ops/steps', stepRoutes(services))
  app.route('/api/ops/alerts', alertRoutes(services))
  app.route('/api/ops/invariants', invariantRoutes(services))
  app.route('/api/ops/policies', policyRoutes(services))
  app.route('/api/ops/trace', traceRoutes(services))
  app.route('/api/ops/timeline', timelineRoutes(services))
  app.route('/api/ops/radar', radarRoutes(services))
  app.route('/api/ops', limitRoutes(services))
  return app
}
