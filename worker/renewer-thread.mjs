// The renewer's thread. Most steps are over long before a third of their lease is: they cost this thread two messages a claim. What
// renews speaks to the database and is TypeScript, half a second of processor time to load, so it is loaded when a lease
// comes of age, well before it is due.
import { workerData } from 'node:worker_threads'

/** How long before its first renewal is due a lease comes of age, in milliseconds; loading takes a fraction of it. */
const HEAD_START_MS = 5000

/** How long a lease may go without being renewed, in milliseconds (renewer.ts). */
const LONGEST_SILENCE_MS = 30_000

/** @type {import('./renewer-messages.js').ThreadStart} */
const { connection, port } = workerData

/**
 * @typedef {import('./renewer-messages.js').Claim & {
 *   ofAgeAt: number, dropped: Set<number>, held?: import('./renewer.js').TimedLease[] }} KeptClaim
 */

/** Claims of which not every lease was dropped, by the number of their first. @type {Map<number, KeptClaim>} */
const claims = new Map()
/** @type {Promise<import('./renewer-thread-body.js').Body> | undefined} */
let loading
/** @type {import('./renewer-thread-body.js').Body | undefined} */
let body
/** @type {NodeJS.Timeout | undefined} */
let timer
let wakesAt = Number.POSITIVE_INFINITY

port.on('message', (/** @type {import('./renewer-messages.js').ToThread} */ { hold, drop }) => {
  if (hold) keep(hold)
  if (drop) for (let i = 0; i < drop.length; i += 2) forget(drop[i], drop[i + 1])
})

/** @param {import('./renewer-messages.js').Claim} claim */
function keep(claim) {
  const dueAt = claim.since + Math.min((claim.seconds * 1000) / 3, LONGEST_SILENCE_MS)
  const ofAgeAt = Math.max(claim.since, dueAt - HEAD_START_MS)
  claims.set(claim.first, { ...claim, ofAgeAt, dropped: new Set() })
  wakeAt(ofAgeAt)
}

/**
 * @param {number} first
 * @param {number} number
 */
function forget(first, number) {
  const claim = claims.get(first)
  if (!claim) return
  const lease = claim.held?.[number - first]
  if (lease) body?.drop(lease)
  claim.dropped.add(number)
  if (claim.dropped.size === claim.count) claims.delete(first)
}

/** @param {number} at */
function wakeAt(at) {
  if (at >= wakesAt) return
  clearTimeout(timer)
  wakesAt = at
  timer = setTimeout(handOver, Math.max(0, at - now()))
}

/** Gives what has come of age to what renews it. */
async function handOver() {
  if (!body) {
    loading ??= load()
    body = await loading
  }
  wakesAt = Number.POSITIVE_INFINITY
  for (const claim of claims.values()) {
    if (claim.held) continue
    if (claim.ofAgeAt > now()) wakeAt(claim.ofAgeAt)
    else claim.held = body.hold(claim, claim.dropped)
  }
}

async function load() {
  const { register } = await import('tsx/esm/api')
  // Loaders are each thread's own.
  register({ tsconfig: false })
  const { start } = await import('./renewer-thread-body.ts')
  return start(connection, port)
}

/** The clock that all threads of a process share, in milliseconds. */
function now() {
  return Number(process.hrtime.bigint()) / 1e6
}
