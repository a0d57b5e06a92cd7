import { isRetryable } from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import { backoffMs, DATABASE_BACKOFF } from './backoff.js'
import { pause } from './wake.js'

export interface Patience {
  log: Log
  /** Ends the waiting: the last error is thrown. */
  signal: AbortSignal
  /** How long to put up with failures in a row, in milliseconds. Default: for ever. */
  giveUpAfterMs?: number | undefined
}

/**
 * Makes a call again and again while the database is away or too busy.
 *
 * @param what the call in words, for the log: "claim steps"
 * @throws what the call throws, when waiting cannot help, has been ended, or has taken too long.
 */
export async function rideOut<T>(what: string, call: () => Promise<T>, patience: Patience): Promise<T> {
  const { log, signal, giveUpAfterMs = Number.POSITIVE_INFINITY } = patience
  const began = performance.now()
  for (let failures = 1; ; failures++) {
    try {
      return await call()
    } catch (error) {
      if (!isRetryable(error) || signal.aborted || performance.now() - began > giveUpAfterMs) throw error
      const wait = backoffMs(failures, DATABASE_BACKOFF)
      log.warn({ failures, wait_ms: Math.round(wait) }, `cannot ${what}: ${describeError(error)}`)
      await pause(wait, signal)
      if (signal.aborted) throw error
    }
  }
}
