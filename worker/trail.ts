import type { ClaimedStep, ClaimPlace } from '../engine/index.js'

/** What came to stand before the trail's end, late or more urgent, is looked for as often as this, in milliseconds. */
const LOOK_BACK_MS = 1000
/** Less often where it takes long, so that a drain spends no more than one part in so many on it … */
const LOOK_BACK_SHARE = 50
/** … but it never waits longer than this. */
const LOOK_BACK_AT_MOST_MS = 10_000

/**
 * Where the claims of a drain have got to in the order of each executor, so that the next claim begins there instead of
 * reading over all that was claimed since the database's last vacuum.
 */
export class Trail {
  #ends: Record<string, ClaimPlace> | undefined
  #began = 0
  /** Milliseconds that the claim from the beginning took, and the shortest one behind it. */
  #lookedFor = 0
  #shortest = Number.POSITIVE_INFINITY

  /** Where to begin now; undefined for a claim that sees everything. */
  get ends(): Readonly<Record<string, ClaimPlace>> | undefined {
    if (performance.now() - this.#began > this.#lookBackMs()) this.#ends = undefined
    return this.#ends
  }

  /** Goes on behind the steps of a claim that got all that it asked for and took so many milliseconds. */
  follow(steps: readonly ClaimedStep[], ms: number): void {
    if (this.#ends) this.#shortest = Math.min(this.#shortest, ms)
    else {
      this.#began = performance.now()
      this.#lookedFor = ms
      this.#shortest = Number.POSITIVE_INFINITY
    }
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

  /** From one look to the next. An open transaction keeps all that is claimed under it in the way, so a look takes the longer the more that is. */
  #lookBackMs(): number {
    const moreThanUsual = Math.max(0, this.#lookedFor - this.#shortest)
    return Math.min(Math.max(LOOK_BACK_MS, LOOK_BACK_SHARE * moreThanUsual), LOOK_BACK_AT_MOST_MS)
  }
}
