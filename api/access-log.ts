import type { MiddlewareHandler } from 'hono'
import type { Logger } from 'pino'
import { requestMeter } from './monitors/meter.js'
import type { ApiEnv } from './router.js'

/** Probes come every few seconds and say nothing while all is well. */
const PROBES = new Set(['/livez', '/readyz', '/health'])

/** Takes as long as there is work to do. */
const HEARTBEAT = '/api/ops/heartbeat'

/**
 * Logs each request with its id, outcome and duration, never its headers, query or body. Routes find a log bound to the
 * request's id as `c.get('log')`.
 */
export function accessLog(log: Logger, now: () => number): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const begin = now()
    const bound = log.child({ request_id: c.get('requestId') })
    c.set('log', bound)
    await next()
    const { status } = c.res
    const duration_ms = now() - begin
    if (c.req.path !== HEARTBEAT) requestMeter.note(now(), status, duration_ms)
    const level = status >= 500 ? 'error' : PROBES.has(c.req.path) ? 'debug' : 'info'
    bound[level]({ method: c.req.method, path: c.req.path, status, duration_ms }, 'request')
  }
}
