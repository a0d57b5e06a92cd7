import type { MessagePort } from 'node:worker_threads'
import type { EngineOptions, Lease } from '../engine/index.js'
import type { TimedLease } from './renewer.js'

/** What the thread is started with. */
export interface ThreadStart {
  connection: EngineOptions
  port: MessagePort
}

/** To the thread. Times are those of `sharedClock`. */
export interface ToThread {
  hold: TimedLease[]
  drop: Lease[]
}

/** From the thread. */
export type FromThread =
  | { renewed: Lease; since: number }
  | { lost: Lease }
  | { log: 'debug' | 'info' | 'warn' | 'error'; fields: object; message: string }

/** `performance.now()` counts from each thread's own start; this clock is one for all threads of the process. */
export const sharedClock = {
  of: (local: number) => local + OFFSET,
  toLocal: (shared: number) => shared - OFFSET,
}

const OFFSET = Number(process.hrtime.bigint()) / 1e6 - performance.now()
