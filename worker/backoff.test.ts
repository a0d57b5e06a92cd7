import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffMs, jittered } from './backoff.js'

const failures = fc.integer({ min: 1, max: 100_000 })
const random = fc.double({ min: 0, max: 1, noNaN: true })
const backoff = fc
  .tuple(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 100_000 }))
  .map(([baseMs, extra]) => ({ baseMs, maxMs: baseMs + extra }))

describe('backoffMs', () => {
  it('never runs hot and never passes its ceiling', () => {
    fc.assert(
      fc.property(failures, backoff, random, (n, limits, chance) => {
        const wait = backoffMs(n, limits, chance)
        expect(wait).toBeGreaterThanOrEqual(limits.baseMs / 2)
        expect(wait).toBeLessThanOrEqual(limits.maxMs)
      }),
    )
  })

  it('doubles its ceiling with each failure', () => {
    const waits = [1, 2, 3, 4, 5, 6].map((n) => backoffMs(n, { baseMs: 100, maxMs: 1000 }, 1))
    expect(waits).toEqual([100, 200, 400, 800, 1000, 1000])
  })
})

describe('jittered', () => {
  it('stays within a quarter of the wait', () => {
    fc.assert(
      fc.property(random, (chance) => {
        const wait = jittered(1000, chance)
        expect(wait).toBeGreaterThanOrEqual(750)
        expect(wait).toBeLessThanOrEqual(1250)
      }),
    )
  })
})
