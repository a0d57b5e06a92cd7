import { randomUUID } from 'node:crypto'
import { errors, jwtVerify, SignJWT } from 'jose'
import { z } from 'zod'
import { OpsError } from '../../engine/index.js'
import { SCOPES, unknownScopes } from './scopes.js'

const ISSUER = 'ops-loop'
const ALGORITHM = 'HS256'

/** Shorter ones could be guessed by whoever holds a token. */
export const SHORTEST_SECRET = 32

/** A token's holder. */
export interface TokenHolder {
  id: string
  /** Who it was minted for: the actor of whatever is done with it. */
  name: string
  scopes: string[]
}

export interface TokenRequest {
  /** Who it is for: 1 to 200 characters, without the spaces around them. */
  name: string
  /** Such as `proposals:approve`, `proposals:*`, `*:read`. */
  scopes: readonly string[]
  /** Seconds from now, 1 to 366 days. */
  ttlSeconds: number
}

const LONGEST_TTL = 366 * 86_400

/** As much of a name as the records of who did what take. */
const LONGEST_NAME = 200

const claimsSchema = z.object({ jti: z.string().min(1), sub: z.string().min(1), scope: z.string() })

/**
 * Makes a token that opens some routes for some time: a JWT signed with HS256. It cannot be called back by itself; a new
 * `OPS_TOKEN_SECRET` ends all that the old one signed, at once or, while the old one is `OPS_TOKEN_SECRET_PREVIOUS`, later.
 *
 * @throws OpsError `OPS_011` when a scope is unknown, the name or the time out of range or the secret too short
 * @example
 * await mintToken(secret, { name: 'ada', scopes: ['proposals:approve'], ttlSeconds: 30 * 86_400 })
 */
export async function mintToken(
  secret: string,
  { name, scopes, ttlSeconds }: TokenRequest,
): Promise<{ token: string; expires_at: string }> {
  const unknown = unknownScopes(scopes)
  if (scopes.length === 0 || unknown.length > 0) {
    throw new OpsError('OPS_011', `There is no scope ${unknown.map((scope) => `"${scope}"`).join(', ')}.`, {
      details: { path: 'scope' },
      hint: `known scopes: ${Object.keys(SCOPES).join(', ')}; "*" stands for either side of the colon, or for all`,
    })
  }
  const holder = name.trim()
  if (holder === '' || holder.length > LONGEST_NAME) {
    throw new OpsError('OPS_011', `A token is for a name of 1 to ${LONGEST_NAME} characters.`, {
      details: { path: 'for' },
    })
  }
  if (!(ttlSeconds >= 1 && ttlSeconds <= LONGEST_TTL)) {
    throw new OpsError('OPS_011', 'A token lives from one second to 366 days.', { details: { path: 'ttl' } })
  }
  if (secret.length < SHORTEST_SECRET) {
    throw new OpsError('OPS_011', `OPS_TOKEN_SECRET must have at least ${SHORTEST_SECRET} characters.`, {
      details: { path: 'OPS_TOKEN_SECRET' },
      hint: 'make one with: openssl rand -base64 32',
    })
  }
  const now = Math.floor(Date.now() / 1000)
  const expires = now + Math.floor(ttlSeconds)
  const token = await new SignJWT({ scope: scopes.join(' ') })
    .setProtectedHeader({ alg: ALGORITHM })
    .setIssuer(ISSUER)
    .setSubject(holder)
    .setJti(randomUUID())
    .setIssuedAt(now)
    .setExpirationTime(expires)
    .sign(new TextEncoder().encode(secret))
  return { token, expires_at: new Date(expires * 1000).toISOString() }
}

/**
 * Who holds a token that one of the secrets signed and that is still valid; undefined for anything else.
 *
 * @param now milliseconds since 1970
 */
export async function readToken(
  secrets: readonly string[],
  token: string,
  now: number,
): Promise<TokenHolder | undefined> {
  for (const secret of secrets) {
    try {
      const { payload } = await jwtVerify(token, new TextEncoder().encode(secret), {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        requiredClaims: ['exp'],
        currentDate: new Date(now),
      })
      const { jti, sub, scope } = claimsSchema.parse(payload)
      return { id: jti, name: sub, scopes: scope.split(' ') }
    } catch (error) {
      if (!(error instanceof errors.JOSEError || error instanceof z.ZodError)) throw error
    }
  }
  return undefined
}
