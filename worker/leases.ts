import type { Lease } from '../engine/index.js'
import type { MakeRenewer, Renewer, TimedLease } from './renewer.js'

/** A lease with what to do when it is gone. */
export interface HeldLease extends TimedLease {
  onLost(message: string): void
}

/**
 * The leases that this worker holds. A lease that is answered `lost`, or that could not be renewed in time, is reported to
 * its holder at once: somebody else may have it.
 *
 * Leases are counted on the local clock from before the call that set them: here they never last longer than in the database.
 */
export class Leases {
  readonly #held = new Map<string, HeldLease>()
  readonly #renewer: Renewer
  /** Goes off when the first lease ends, unless it was renewed: one timer for all, for most end long before. */
  #fence: NodeJS.Timeout | undefined
  #fenceAt = Number.POSITIVE_INFINITY

  constructor(makeRenewer: MakeRenewer) {
    this.#renewer = makeRenewer({
      onRenewed: ({ step_id, token }, since) => {
        const held = this.#held.get(step_id)
        if (held?.token === token) held.since = since
      },
      onLost: (lease) => this.lose(lease),
    })
  }

  /** Keeps leases until each is dropped or lost. `since` of a lease is moved when it is renewed. */
  hold(leases: readonly HeldLease[]): void {
    for (const lease of leases) {
      // The database gives a step anew only when its lease is over.
      this.#lose(lease.step_id, 'the lease ended and the step was claimed again')
      this.#held.set(lease.step_id, lease)
      this.#guardUntil(endOf(lease))
    }
    this.#renewer.hold(leases)
  }

  /** The database says that the token is no longer the step's. */
  lose(lease: Lease): void {
    if (this.holds(lease)) this.#lose(lease.step_id, 'the lease is lost: the step was ended or given away')
  }

  /** The step's outcome is recorded: its lease is over. */
  drop(lease: Lease): void {
    if (!this.holds(lease)) return
    this.#held.delete(lease.step_id)
    if (this.#held.size === 0) this.#putFenceDown()
    this.#renewer.drop(lease)
  }

  /** False once a lease is surely gone. */
  holds({ step_id, token }: Lease): boolean {
    return this.#held.get(step_id)?.token === token
  }

  async close(): Promise<void> {
    this.#putFenceDown()
    this.#held.clear()
    await this.#renewer.close()
  }

  #guardUntil(end: number): void {
    if (end >= this.#fenceAt) return
    clearTimeout(this.#fence)
    this.#fenceAt = end
    this.#fence = setTimeout(() => this.#guard(), Math.max(0, end - performance.now()))
  }

  #putFenceDown(): void {
    clearTimeout(this.#fence)
    this.#fenceAt = Number.POSITIVE_INFINITY
  }

  /** A lease seems to be over, unless it was renewed while an executor kept the event loop from turning. */
  #guard(): void {
    this.#renewer.catchUp()
    this.#putFenceDown()
    const now = performance.now() + TIMER_PRECISION_MS
    for (const lease of this.#held.values()) {
      if (endOf(lease) <= now) this.#lose(lease.step_id, 'the lease ended before it could be renewed')
      else this.#guardUntil(endOf(lease))
    }
  }

  #lose(stepId: string, message: string): void {
    const held = this.#held.get(stepId)
    if (!held) return
    this.drop(held)
    held.onLost(message)
  }
}

const endOf = ({ since, seconds }: TimedLease) => since + seconds * 1000

/** Timers may go off so much too early. */
const TIMER_PRECISION_MS = 1
