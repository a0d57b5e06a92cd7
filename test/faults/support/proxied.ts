import { startRest } from '../../support/database.js'
import { TcpProxy } from './proxy.js'
import { type OpenSite, Site } from './site.js'

export type Way = 'Postgres' | 'PostgREST'

/** A site whose workers reach the database through a proxy. */
export async function proxied(
  way: Way,
): Promise<{ site: OpenSite; proxy: TcpProxy; env: Record<string, string> }> {
  const site = await Site.open()
  if (way === 'Postgres') {
    const url = site.database.urlFor('ops_worker')
    const proxy = await TcpProxy.before(url)
    return { site, proxy, env: { DATABASE_URL: proxy.url(url) } }
  }
  const rest = await startRest(site.database)
  const proxy = await TcpProxy.before(rest.url, 'http')
  const key = rest.keyFor('ops_worker')
  return { site, proxy, env: { SUPABASE_URL: proxy.url(rest.url), SUPABASE_SECRET_KEY: key } }
}
