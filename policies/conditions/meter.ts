/**
 * Counts the work of one evaluation and ends it when there is too much of it. Counting, not a clock: the same
 * expression on the same event always ends the same way, here and in a simulation.
 */

/** Units of work that one condition may take; a unit is one value looked at or 16 characters of text. */
export const WORK_LIMIT = 100_000

const EXHAUSTED = new Error(`takes more than ${WORK_LIMIT} units of work on this event`)

export class Meter {
  private left = 0

  start(): void {
    this.left = WORK_LIMIT
  }

  /** @throws Error when the work is used up; one error for all, since `||` and `exists` may swallow many */
  charge(units: number): void {
    this.left -= units
    if (this.left < 0) throw EXHAUSTED
  }

  /** Charges for a value that an operator or function is about to read as a whole. */
  chargeFor(value: unknown): void {
    const open = [value]
    while (open.length > 0) {
      const next = open.pop()
      this.charge(1)
      if (typeof next === 'string' || next instanceof Uint8Array) this.charge(next.length / 16)
      else if (typeof next === 'object' && next !== null)
        for (const item of Object.values(next)) open.push(item)
    }
  }

  /** The error of an evaluation that went too far, also when the expression swallowed it. */
  get fault(): Error | undefined {
    return this.left < 0 ? EXHAUSTED : undefined
  }
}
