import { type Engine, isRetryable, type Lease } from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import { backoffMs, DATABASE_BACKOFF } from './backoff.js'
import { LONGEST_TIMER, Wake } from './wake.js'

/** Leases of one call, and so of one round of renewals; the database takes up to 1,000. */
const BATCH = 500

/** How soon to ask again when somebody else held the step's row at that moment, in milliseconds. */
const BUSY_MS = 500

interface Held {
  lease: Lease
  /** Length of the lease. */
  seconds: number
  /** By the local clock, in milliseconds. */
  renewAt: number
  onLost(message: string): void
  /** Goes off when the lease ends without having been renewed. */
  fence: NodeJS.Timeout | undefined
}

/**
 * The leases that this worker holds. Each is renewed when a third of it is over, all that are due in one call. A lease that
 * is answered `lost`, or that could not be renewed in time, is reported to its holder at once: somebody else may have it.
 *
 * Leases are counted on the local clock from before the call that set them: here they never last longer than in the database.
 */
export class Leases {
  readonly #held = new Map<string, Held>()
  readonly #wake = new Wake()
  #closed = false
  #failures = 0
  #kept: Promise<void> | undefined

  constructor(
    private readonly engine: Pick<Engine, 'renewSteps'>,
    private readonly log: Log,
  ) {}

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
    const held: Held = { lease, seconds, renewAt: 0, onLost, fence: undefined }
    this.#held.set(lease.step_id, held)
    this.#extend(held, since)
    this.#kept ??= this.#keep()
    this.#wake.ring()
  }

  /** The step's outcome is recorded: its lease is over. */
  drop({ step_id, token }: Lease): void {
    const held = this.#held.get(step_id)
    if (held?.lease.token !== token) return
    clearTimeout(held.fence)
    this.#held.delete(step_id)
  }

  /** False once a lease is surely gone. */
  holds({ step_id, token }: Lease): boolean {
    return this.#held.get(step_id)?.lease.token === token
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const { fence } of this.#held.values()) clearTimeout(fence)
    this.#held.clear()
    this.#wake.ring()
    await this.#kept
  }

  async #keep(): Promise<void> {
    while (!this.#closed) {
      const due = this.#due()
      if (due.length > 0) await this.#renew(due)
      await this.#wake.wait(this.#msUntilDue())
    }
  }

  /** Leases to renew now. One call sets one length, so those of another length take the next round. */
  #due(): Held[] {
    const now = performance.now()
    const due = [...this.#held.values()].filter((held) => held.renewAt <= now)
    return due.filter((held) => held.seconds === due[0]?.seconds).slice(0, BATCH)
  }

  #msUntilDue(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { renewAt } of this.#held.values()) next = Math.min(next, renewAt)
    return Math.max(0, next - performance.now())
  }

  async #renew(due: Held[]): Promise<void> {
    const sentAt = performance.now()
    try {
      const answers = await this.engine.renewSteps(
        due.map((held) => held.lease),
        due[0]?.seconds,
      )
      const outcomes = new Map(answers.map((answer) => [answer.step_id, answer.outcome]))
      this.#failures = 0
      for (const held of due) this.#settle(held, outcomes.get(held.lease.step_id) ?? 'busy', sentAt)
    } catch (error) {
      const wait = backoffMs(++this.#failures, DATABASE_BACKOFF)
      const level = isRetryable(error) ? 'warn' : 'error'
      this.log[level](
        { leases: due.length, wait_ms: Math.round(wait) },
        `cannot renew leases: ${describeError(error)}`,
      )
      for (const held of due) held.renewAt = performance.now() + wait
    }
  }

  #settle(held: Held, outcome: 'ok' | 'lost' | 'busy', sentAt: number): void {
    // Dropped, or given anew, while the call was under way.
    if (this.#held.get(held.lease.step_id) !== held) return
    if (outcome === 'ok') this.#extend(held, sentAt)
    if (outcome === 'busy') held.renewAt = performance.now() + BUSY_MS
    if (outcome === 'lost')
      this.#lose(held.lease.step_id, 'the lease is lost: the step was ended or given away')
  }

  #extend(held: Held, since: number): void {
    const ms = held.seconds * 1000
    held.renewAt = since + ms / 3
    clearTimeout(held.fence)
    held.fence = setTimeout(
      () => this.#lose(held.lease.step_id, 'the lease ended before it could be renewed'),
      Math.min(Math.max(0, since + ms - performance.now()), LONGEST_TIMER),
    )
  }

  #lose(stepId: string, message: string): void {
    const held = this.#held.get(stepId)
    if (!held) return
    this.drop(held.lease)
    held.onLost(message)
  }
}
