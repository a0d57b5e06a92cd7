import type { Lease } from '../engine/index.js'
import type { MakeRenewer, Renewer } from './renewer.js'

interface Held {
  lease: Lease
  /** Length of the lease. */
  seconds: number
  /** By the local clock, in milliseconds. */
  endsAt: number
  onLost(message: string): void
  /** Goes off when the lease ends without having been renewed. */
  fence: NodeJS.Timeout | undefined
}

/**
 * The leases that this worker holds. A lease that is answered `lost`, or that could not be renewed in time, is reported to
 * its holder at once: somebody else may have it.
 *
 * Leases are counted on the local clock from before the call that set them: here they never last longer than in the database.
 */
export class Leases {
  readonly #held = new Map<string, Held>()
  readonly #renewer: Renewer

  constructor(makeRenewer: MakeRenewer) {
    this.#renewer = makeRenewer({
      onRenewed: ({ step_id, token }, since) => {
        const held = this.#held.get(step_id)
        if (held?.lease.token === token) this.#extend(held, since)
      },
      onLost: (lease) => {
        if (this.holds(lease))
          this.#lose(lease.step_id, 'the lease is lost: the step was ended or given away')
      },
    })
  }

  /**
   * Keeps a lease until it is dropped or lost.
   *
   * @param since when the claim was sent, by `performance.now()`
   */
  hold(
    lease: Lease,
    { seconds, since, onLost }: { seconds: number; since: number; onLost(message: string): void },
  ) {
    // The database gives a step anew only when its lease is over.
    this.#lose(lease.step_id, 'the lease ended and the step was claimed again')
    const held: Held = { lease, seconds, endsAt: 0, onLost, fence: undefined }
    this.#held.set(lease.step_id, held)
    this.#extend(held, since)
    this.#renewer.hold({ ...lease, seconds, since })
  }

  /** The step's outcome is recorded: its lease is over. */
  drop(lease: Lease): void {
    const held = this.#held.get(lease.step_id)
    if (held?.lease.token !== lease.token) return
    clearTimeout(held.fence)
    this.#held.delete(lease.step_id)
    this.#renewer.drop(lease)
  }

  /** False once a lease is surely gone. */
  holds({ step_id, token }: Lease): boolean {
    return this.#held.get(step_id)?.lease.token === token
  }

  async close(): Promise<void> {
    for (const { fence } of this.#held.values()) clearTimeout(fence)
    this.#held.clear()
    await this.#renewer.close()
  }

  #extend(held: Held, since: number): void {
    held.endsAt = since + held.seconds * 1000
    clearTimeout(held.fence)
    held.fence = setTimeout(() => this.#guard(held), Math.max(0, held.endsAt - performance.now()))
  }

  /** The lease seems to be over, unless it was renewed while an executor kept the event loop from turning. */
  #guard(held: Held): void {
    this.#renewer.catchUp()
    if (!this.holds(held.lease) || performance.now() < held.endsAt - TIMER_PRECISION_MS) return
    this.#lose(held.lease.step_id, 'the lease ended before it could be renewed')
  }

  #lose(stepId: string, message: string): void {
    const held = this.#held.get(stepId)
    if (!held) return
    this.drop(held.lease)
    held.onLost(message)
  }
}

/** Timers may go off so much too early. */
const TIMER_PRECISION_MS = 1
