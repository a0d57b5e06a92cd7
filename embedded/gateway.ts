import { type ServerType, serve } from '@hono/node-server'
import { Hono } from 'hono'
import { proxy } from 'hono/proxy'
import { isSystemError } from './errors.js'
import { portTaken } from './ports.js'

const prefix = '/rest/v1'

/**
 * What Supabase's gateway does in front of PostgREST, as far as supabase-js needs it: PostgREST answers under `/rest/v1`, and the
 * header `apikey` alone is enough to be someone.
 *
 * @throws OpsError OPS_001 if the port is taken
 */
export function serveGateway(postgrestUrl: string, port: number): Promise<ServerType> {
  const app = new Hono()
  app.all(`${prefix}/*`, (c) => {
    const { pathname, search } = new URL(c.req.url)
    const headers = new Headers(c.req.raw.headers)
    const apiKey = headers.get('apikey')
    if (apiKey !== null && !headers.has('authorization')) headers.set('authorization', `Bearer ${apiKey}`)
    return proxy(`${postgrestUrl}${pathname.slice(prefix.length)}${search}`, { raw: c.req.raw, headers })
  })
  app.onError((_error, c) => c.json({ message: 'PostgREST does not answer.' }, 502))

  return new Promise((resolve, reject) => {
    const server = serve(
      { fetch: app.fetch, hostname: '127.0.0.1', port, overrideGlobalObjects: false },
      () => resolve(server),
    )
    server.once('error', (error) => {
      const taken = isSystemError(error, 'EADDRINUSE')
      reject(taken ? portTaken(port, 'the REST gateway', '--rest-port') : error)
    })
  })
}
