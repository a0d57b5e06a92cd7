export interface Backoff {
  /** Ceiling of the first wait, in milliseconds. */
  baseMs: number
  /** Ceiling of every wait, in milliseconds. */
  maxMs: number
}

/** How the worker waits for a database that is away: soon at first, then every few seconds. */
export const DATABASE_BACKOFF: Backoff = { baseMs: 200, maxMs: 5000 }

/**
 * Milliseconds to wait after the n-th failure in a row (from 1): the ceiling doubles each time, and the wait lies between
 * half of it and all of it. Half is left to chance, so that workers come back one by one; never 0, so that no loop runs hot.
 *
 * @param random a number from 0 to 1
 */
export function backoffMs(failures: number, { baseMs, maxMs }: Backoff, random = Math.random()): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30))
  return (ceiling / 2) * (1 + random)
}

/** Spreads a wait by a quarter to either side, so that many workers do not ask at the same moment. */
export function jittered(ms: number, random = Math.random()): number {
  return ms * (0.75 + random / 2)
}
