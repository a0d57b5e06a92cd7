import { createHash, timingSafeEqual } from 'node:crypto'
import type { ApiConfig } from '../config.js'
import { ALL_SCOPES, type Scope } from './scopes.js'
import { readToken } from './tokens.js'

/** Whoever showed a valid key or token. */
export interface Principal {
  kind: 'key' | 'cron' | 'token'
  /** Tells one key from another without telling the key; requests are counted by it. */
  id: string
  /** Who acts, unless the holder of a key says so. */
  name: string
  scopes: readonly string[]
}

/** Tells from an `Authorization` header who is calling. */
export type Keyring = (authorization: string | undefined) => Promise<Principal | undefined>

const CRON_SCOPES: readonly Scope[] = ['heartbeat:run']

/** A JWT is three parts, and tokens with our few claims are short. */
const TOKEN = /^[\w-]{1,200}\.[\w-]{1,4000}\.[\w-]{1,200}$/

/**
 * Knows the configured keys and the tokens signed with the configured secrets. Both sides are hashed before they are compared,
 * and every key is compared, so that the time taken tells neither the length nor the beginning of a key. An empty configuration
 * knows nobody.
 *
 * @param now milliseconds since 1970, for tokens' ends
 */
export function keyring(
  { apiKeys, cronSecret, tokenSecrets }: Pick<ApiConfig, 'apiKeys' | 'cronSecret' | 'tokenSecrets'>,
  now: () => number,
): Keyring {
  const known = [
    ...apiKeys
      .filter(Boolean)
      .map((key) => ({ ...named(key), kind: 'key' as const, name: 'api', scopes: [ALL_SCOPES] })),
    ...(cronSecret
      ? [{ ...named(cronSecret), kind: 'cron' as const, name: 'cron', scopes: CRON_SCOPES }]
      : []),
  ]
  return async (authorization) => {
    // Two headers arrive joined by a comma and a space, which no token holds: they are refused like any odd one.
    const offered = /^bearer ([\x21-\x7e]+)$/i.exec(authorization?.trim() ?? '')?.[1]
    if (offered === undefined) return undefined
    const digest = sha256(offered)
    const [key] = known.filter((candidate) => timingSafeEqual(digest, candidate.digest))
    if (key !== undefined) {
      const { digest: _, ...principal } = key
      return principal
    }
    if (!TOKEN.test(offered)) return undefined
    const holder = await readToken(tokenSecrets, offered, now())
    return holder && { ...holder, kind: 'token' }
  }
}

function named(key: string): { id: string; digest: Buffer } {
  const digest = sha256(key)
  return { id: digest.toString('hex').slice(0, 16), digest }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
