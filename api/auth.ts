import { createHash, timingSafeEqual } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { OpsError } from '../engine/index.js'
import type { ApiConfig } from './config.js'
import type { ApiEnv } from './router.js'

/** Whoever holds one of the keys. `cron` may only beat. */
export type Principal = 'api' | 'cron'

/** Tells from an `Authorization` header who is calling. */
export type Keyring = (authorization: string | undefined) => Principal | undefined

/**
 * Knows the configured keys. Both sides are hashed before they are compared, and every key is compared, so that the
 * time taken tells neither the length nor the beginning of a key. An empty configuration knows nobody.
 */
export function keyring(config: Pick<ApiConfig, 'apiKeys' | 'cronSecret'>): Keyring {
  const known = [
    ...config.apiKeys.filter(Boolean).map((key) => ({ digest: sha256(key), principal: 'api' as const })),
    ...(config.cronSecret ? [{ digest: sha256(config.cronSecret), principal: 'cron' as const }] : []),
  ]
  return (authorization) => {
    // Two headers arrive joined by a comma and a space, which no token holds: they are refused like any odd one.
    const token = /^bearer ([\x21-\x7e]+)$/i.exec(authorization?.trim() ?? '')?.[1]
    if (token === undefined) return undefined
    const offered = sha256(token)
    const matches = known.filter(({ digest }) => timingSafeEqual(offered, digest))
    return matches[0]?.principal
  }
}

/**
 * Lets only the given principals pass, and keeps who it was as `c.get('principal')`.
 *
 * @throws OpsError `OPS_012`
 */
export function requireKey(identify: Keyring, ...allowed: Principal[]): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const principal = identify(c.req.header('authorization'))
    if (principal === undefined || !allowed.includes(principal)) {
      throw new OpsError('OPS_012', 'This needs a valid key.', {
        hint: 'send Authorization: Bearer <OPS_API_KEY>',
      })
    }
    c.set('principal', principal)
    await next()
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
