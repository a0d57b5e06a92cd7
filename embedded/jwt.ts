import { createHmac } from 'node:crypto'

/** Ten years, as Supabase's own keys. */
const lifetimeSeconds = 10 * 365 * 24 * 3600

/**
 * A key as Supabase's `anon` and `service_role` keys: an HS256 JWT with the database role in its claims.
 *
 * @param secret what PostgREST was given as its JWT secret, at least 32 characters
 * @example signJwt('service_role', secret) // 'eyJhbGciOi…'
 */
export function signJwt(role: string, secret: string, now: Date = new Date()): string {
  const iat = Math.floor(now.getTime() / 1000)
  const header = encode({ alg: 'HS256', typ: 'JWT' })
  const claims = encode({ iss: 'supabase', role, iat, exp: iat + lifetimeSeconds })
  const signature = createHmac('sha256', secret).update(`${header}.${claims}`).digest('base64url')
  return `${header}.${claims}.${signature}`
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
