import type { MiddlewareHandler } from 'hono'
import type { Engine } from '../../engine/index.js'
import { refuse } from '../errors.js'
import type { ApiEnv } from '../router.js'

/** How often an instance tells the database what it counted, and learns what the others did, in milliseconds. */
const SYNC_EVERY_MS = 1000

/** More callers than ever are active at once; who is forgotten is asked about anew. */
const MOST_CALLERS = 1000

interface Count {
  /** Of all instances, as far as known. */
  total: number
  /** Counted here and not told yet. */
  untold: number
  syncAt: number
  /** When the minute ends, in milliseconds since 1970 by this instance's clock. */
  endsAt: number
}

/**
 * Answers 429 to whoever makes more requests in a minute than the limit, all instances of the control plane taken together: each
 * counts for itself and compares with the others in the database once a second, so that what exceeds the limit is at most what
 * the instances let in within that second. A database that is away limits nobody: the route behind says what is wrong.
 *
 * @param perMinute for each key and token; 0 sets no limit
 */
export function rateLimit(engine: Engine, perMinute: number, now: () => number): MiddlewareHandler<ApiEnv> {
  const counts = new Map<string, Count>()

  async function count(caller: string): Promise<Count> {
    const known = counts.get(caller)
    const count =
      known && known.endsAt > now() ? known : { total: 0, untold: 0, syncAt: 0, endsAt: now() + 60_000 }
    if (!known && counts.size >= MOST_CALLERS) counts.clear()
    counts.set(caller, count)
    count.total += 1
    count.untold += 1
    if (count.syncAt <= now()) await sync(caller, count)
    return count
  }

  async function sync(caller: string, count: Count): Promise<void> {
    const telling = count.untold
    // First, so that requests at the same moment do not all tell.
    count.untold = 0
    count.syncAt = now() + SYNC_EVERY_MS
    try {
      const { requests, seconds_left } = await engine.countRequests(caller, telling)
      count.total = requests + count.untold
      count.endsAt = now() + seconds_left * 1000
    } catch {
      count.untold += telling
    }
  }

  return async (c, next) => {
    if (perMinute === 0) return next()
    const { total, endsAt } = await count(c.get('principal').id)
    const seconds = Math.max(1, Math.ceil((endsAt - now()) / 1000))
    c.header('RateLimit-Limit', String(perMinute))
    c.header('RateLimit-Remaining', String(Math.max(0, perMinute - total)))
    c.header('RateLimit-Reset', String(seconds))
    if (total <= perMinute) return next()
    c.header('Retry-After', String(seconds))
    return refuse(c, 429, `This key may make ${perMinute} requests a minute.`, 'OPS_016')
  }
}
