import type { ClaimedStep, ClaimPlace } from '../engine/index.js'

/** What came to stand before the trail's end, late or more urgent, waits at most this long, in milliseconds. */
const LOOK_BACK_MS = 1000

/**
 * Where the claims of a drain have got to in the order of each executor, so that the next claim begins there instead of
 * reading over all that was claimed since the database's last vacuum.
 */
export class Trail {
  #ends: Record<string, ClaimPlace> | undefined
  #began = 0

  /** Where to begin now; undefined for a claim that sees everything. */
  get ends(): Readonly<Record<string, ClaimPlace>> | undefined {
    if (performance.now() - this.#began > LOOK_BACK_MS) this.#ends = undefined
    return this.#ends
  }

  /** Goes on behind the steps of a claim that got all that it asked for. */
  follow(steps: readonly ClaimedStep[]): void {
    if (!this.#ends) this.#began = performance.now()
    const last = new Map(steps.map((step) => [step.executor, step]))
    const ends = { ...this.#ends }
    for (const [executor, { priority, run_at, step_id }] of last)
      ends[executor] = { priority, run_at, step_id }
    this.#ends = ends
  }

  /** Back to the beginning. */
  leave(): void {
    this.#ends = undefined
  }
}
