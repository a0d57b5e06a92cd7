import { describe, expect, test } from 'vitest'
import { since } from './time.js'

describe('a moment in the past', () => {
  test('is a date, or so long ago', () => {
    expect(since('2024-02-29').toISOString()).toBe('2024-02-29T00:00:00.000Z')
    expect(since('2024-02-29T09:00:00+02:00').toISOString()).toBe('2024-02-29T07:00:00.000Z')
    expect(Date.now() - since('2w').getTime()).toBeGreaterThanOrEqual(14 * 86_400_000)
  })

  test('so long ago that there is no date for it is the beginning', () => {
    expect(since('999999w')).toEqual(new Date(0))
    expect(since('0000-01-01')).toEqual(new Date(0))
  })

  test.each(['2026-02-31', '2025-02-29', '2024-13-01', '2024-02-29noon', '7', '-7d', '7y', ''])(
    '%j is none',
    (text) => {
      expect(() => since(text)).toThrow(/Write it as 7d/)
    },
  )
})
