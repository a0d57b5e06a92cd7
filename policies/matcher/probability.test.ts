import { describe, expect, it } from 'vitest'
import { draw } from './probability.js'

const events = Array.from({ length: 20_000 }, (_, index) => `event-${index}`)

describe('draw', () => {
  it('always gives the same number for the same event, pattern and salt', () => {
    expect(draw('e', 'p', 's')).toBe(draw('e', 'p', 's'))
    // A change here would make every replay differ from what happened.
    expect(draw('0190d6f2-7c1e-7a3b-9d3e-2f6a1b0c4d5e', 'new-issue', '')).toBe(0.9080793604748258)
  })

  it('gives other numbers for another event, pattern or salt', () => {
    const numbers = [
      draw('e', 'p', ''),
      draw('f', 'p', ''),
      draw('e', 'q', ''),
      draw('e', 'p', 's'),
      draw('ep', '', ''),
    ]
    expect(new Set(numbers).size).toBe(numbers.length)
  })

  it.each([0.1, 0.5, 0.9])('falls below %d for that share of events', (probability) => {
    const below = events.filter((id) => draw(id, 'p', '') < probability).length / events.length
    expect(Math.abs(below - probability)).toBeLessThan(0.015)
  })

  it('stays within [0, 1)', () => {
    for (const id of events) {
      const number = draw(id, 'p', '')
      expect(number >= 0 && number < 1).toBe(true)
    }
  })

  it('draws for each pattern on its own', () => {
    const both =
      events.filter((id) => draw(id, 'p', '') < 0.5 && draw(id, 'q', '') < 0.5).length / events.length
    expect(Math.abs(both - 0.25)).toBeLessThan(0.015)
  })
})
