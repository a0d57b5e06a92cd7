import type { Context, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { OpsError } from '../../engine/index.js'
import type { ApiEnv } from '../router.js'
import type { Keyring, Principal } from './keyring.js'
import { covers, type Scope } from './scopes.js'

/**
 * What a caller shows: `Authorization: Bearer …`, or the same key or token in `X-API-Key`, where a tool can send nothing else. Who
 * sends both is nobody.
 */
export function credentialsOf(c: Context<ApiEnv>): string | undefined {
  const authorization = c.req.header('authorization')
  const key = c.req.header('x-api-key')
  if (key === undefined) return authorization
  return authorization === undefined ? `Bearer ${key}` : undefined
}

/**
 * Lets only those pass who show a valid key or token, and keeps who it was as `c.get('principal')`. What they may do is the
 * route's to ask.
 *
 * @throws OpsError `OPS_012`
 */
export function authenticate(identify: Keyring): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const principal = await identify(credentialsOf(c))
    if (principal === undefined) throw nobody()
    c.set('principal', principal)
    await next()
  }
}

/**
 * Lets only those pass who may do this.
 *
 * @throws HTTPException 403 with `OPS_012` for a token without the scope; OpsError `OPS_012` for `CRON_SECRET`, which is no key here
 */
export function requireScope(scope: Scope): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const { kind, scopes } = c.get('principal')
    if (!covers(scopes, scope)) throw kind === 'cron' ? nobody() : forbidden(scope)
    await next()
  }
}

/**
 * Who acts, for the record. The holder of a token is who it was minted for and nobody else; the holder of a key speaks for others.
 *
 * @throws HTTPException 403 when a token's holder gives another name
 */
export function actorOf(c: Context<ApiEnv>, given: string | undefined): string {
  const { kind, name } = c.get('principal')
  if (kind === 'token' && given !== undefined && given !== name) {
    throw new HTTPException(403, {
      cause: new OpsError('OPS_012', `This token acts for "${name}", not for "${given}".`, {
        details: { path: 'actor' },
      }),
    })
  }
  return given ?? name
}

/** Whether somebody may see the whole of what is open to all in part. */
export function mayObserve(principal: Principal | undefined): boolean {
  return principal !== undefined && covers(principal.scopes, 'observe:read')
}

function nobody(): OpsError {
  return new OpsError('OPS_012', 'This needs a valid key.', {
    hint: 'send Authorization: Bearer <OPS_API_KEY>',
  })
}

function forbidden(scope: Scope): HTTPException {
  return new HTTPException(403, {
    cause: new OpsError('OPS_012', `This token does not cover ${scope}.`, {
      details: { scope },
      hint: `mint one with: ops-loop token mint --scope ${scope}`,
    }),
  })
}
