import { type Engine, isRetryable, type Lease } from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import { backoffMs, DATABASE_BACKOFF } from './backoff.js'
import { Wake } from './wake.js'

/** Leases of one call, and so of one round of renewals; the database takes up to 1,000. */
const BATCH = 500

/** How soon to ask again when somebody else held the step's row at that moment, in milliseconds. */
const BUSY_MS = 500

/** A lease of so many seconds, counted from `since` by `performance.now()`. */
export interface TimedLease extends Lease {
  seconds: number
  since: number
}

/** What a renewer tells the one who holds the leases. */
export interface RenewalEvents {
  /** The lease counts anew from `since`, by `performance.now()`. */
  onRenewed(lease: Lease, since: number): void
  /** The database says that the token is no longer the step's. */
  onLost(lease: Lease): void
}

/** Renews leases until they are dropped or lost. */
export interface Renewer {
  /** Those of one claim together: all of one length and age. */
  hold(leases: readonly TimedLease[]): void
  drop(lease: Lease): void
  /** Reports what has come about while the event loop stood still. */
  catchUp(): void
  close(): Promise<void>
}

export type MakeRenewer = (events: RenewalEvents) => Renewer

/**
 * A lease is renewed at least this often, in milliseconds: by its answer a worker learns that the step was cancelled, which is not to
 * take minutes because leases do.
 */
const LONGEST_SILENCE_MS = 30_000

/** Renews each lease when a third of it is over, or half a minute, all that are due in one call. */
export class RenewalLoop implements Renewer {
  readonly #held = new Map<string, { lease: TimedLease; renewAt: number }>()
  readonly #wake = new Wake()
  #closed = false
  #failures = 0
  #kept: Promise<void> | undefined

  constructor(
    private readonly engine: Pick<Engine, 'renewSteps'>,
    private readonly log: Log,
    private readonly events: RenewalEvents,
  ) {}

  hold(leases: readonly TimedLease[]): void {
    for (const lease of leases)
      this.#held.set(lease.step_id, { lease, renewAt: renewalOf(lease, lease.since) })
    this.#kept ??= this.#keep()
    this.#wake.ring()
  }

  drop({ step_id, token }: Lease): void {
    if (this.#held.get(step_id)?.lease.token === token) this.#held.delete(step_id)
  }

  catchUp(): void {}

  async close(): Promise<void> {
    this.#closed = true
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
  #due(): TimedLease[] {
    const now = performance.now()
    const due = [...this.#held.values()].flatMap(({ lease, renewAt }) => (renewAt <= now ? [lease] : []))
    return due.filter(({ seconds }) => seconds === due[0]?.seconds).slice(0, BATCH)
  }

  #msUntilDue(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { renewAt } of this.#held.values()) next = Math.min(next, renewAt)
    return Math.max(0, next - performance.now())
  }

  async #renew(due: TimedLease[]): Promise<void> {
    const sentAt = performance.now()
    try {
      const tokens = due.map(({ step_id, token }) => ({ step_id, token }))
      const answers = await this.engine.renewSteps(tokens, due[0]?.seconds)
      const outcomes = new Map(answers.map((answer) => [answer.step_id, answer.outcome]))
      this.#failures = 0
      for (const lease of due) this.#settle(lease, outcomes.get(lease.step_id) ?? 'busy', sentAt)
    } catch (error) {
      const wait = backoffMs(++this.#failures, DATABASE_BACKOFF)
      const level = isRetryable(error) ? 'warn' : 'error'
      this.log[level](
        { leases: due.length, wait_ms: Math.round(wait) },
        `cannot renew leases: ${describeError(error)}`,
      )
      for (const lease of due) this.#askAgain(lease, performance.now() + wait)
    }
  }

  #settle(lease: TimedLease, outcome: 'ok' | 'lost' | 'busy', sentAt: number): void {
    // Dropped, or given anew, while the call was under way.
    if (this.#held.get(lease.step_id)?.lease !== lease) return
    switch (outcome) {
      case 'ok':
        this.#askAgain(lease, renewalOf(lease, sentAt))
        this.events.onRenewed(lease, sentAt)
        break
      case 'busy':
        this.#askAgain(lease, performance.now() + BUSY_MS)
        break
      case 'lost':
        this.#held.delete(lease.step_id)
        this.events.onLost(lease)
    }
  }

  #askAgain(lease: TimedLease, at: number): void {
    const held = this.#held.get(lease.step_id)
    if (held?.lease === lease) held.renewAt = at
  }
}

const renewalOf = ({ seconds }: TimedLease, since: number) =>
  since + Math.min((seconds * 1000) / 3, LONGEST_SILENCE_MS)
