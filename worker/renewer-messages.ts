import type { MessagePort } from 'node:worker_threads'
import type { EngineOptions, Lease } from '../engine/index.js'
import type { TimedLease } from './renewer.js'

/** What the thread is started with. */
export interface ThreadStart {
  connection: EngineOptions
  port: MessagePort
}

/** To the thread. Leases are known by numbers, which count up. */
export interface ToThread {
  hold?: Claim
  /** In turn: the number of a claim's first lease, and that of the lease. */
  drop?: number[]
}

/** Leases that were claimed together, in a form that costs the same to send for one and for hundreds. */
export interface Claim {
  /** Number of the first; the others follow it. */
  first: number
  count: number
  /** Steps and tokens in turn, with a space between them: they are read only when a lease comes of age. */
  leases: string
  seconds: number
  /** By `sharedClock`. */
  since: number
}

/** From the thread. */
export type FromThread =
  | { renewed: Lease; since: number }
  | { lost: Lease }
  | { log: 'debug' | 'info' | 'warn' | 'error'; fields: object; message: string }

/** @param leases all of the same length and age */
export function claimOf(leases: readonly TimedLease[], first: number): Claim {
  const [{ seconds, since } = { seconds: 0, since: 0 }] = leases
  return {
    first,
    count: leases.length,
    leases: leases.map(({ step_id, token }) => `${step_id} ${token}`).join(' '),
    seconds,
    since: sharedClock.of(since),
  }
}

/** The leases of a claim, with times of this thread. */
export function leasesOf({ count, leases, seconds, since }: Claim): TimedLease[] {
  const words = leases.split(' ')
  return Array.from({ length: count }, (_, index) => {
    const [step_id = '', token = ''] = [words[2 * index], words[2 * index + 1]]
    return { step_id, token, seconds, since: sharedClock.toLocal(since) }
  })
}

/** `performance.now()` counts from each thread's own start; this clock is one for all threads of the process. */
export const sharedClock = {
  of: (local: number) => local + OFFSET,
  toLocal: (shared: number) => shared - OFFSET,
}

const OFFSET = Number(process.hrtime.bigint()) / 1e6 - performance.now()
