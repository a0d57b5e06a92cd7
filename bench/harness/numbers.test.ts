import { expect, it } from 'vitest'
import { median, paired, percentile, ratio, show } from './numbers.js'
import type { Table } from './types.js'

it('takes medians and percentiles that were really measured', () => {
  expect(median([9, 1, 5])).toBe(5)
  expect(median([4, 1, 3, 2])).toBe(2)
  expect(percentile([...Array(100).keys()], 99)).toBe(98)
  expect(median([])).toBeNaN()
})

it('compares within each round, so that a machine that gets slower changes nothing', () => {
  const slower = [1, 1, 2, 3, 3]
  const base = slower.map((factor) => 10 * factor)
  expect(
    paired(
      slower.map((factor) => 11 * factor),
      base,
    ),
  ).toEqual({ ratio: 1.1, low: 1.1, high: 1.1 })
  // Its medians alone would say 3.
  expect(paired([10, 30, 30], [10, 10, 30]).ratio).toBe(1)
})

it('says how far the rounds lie apart, and needs both of a round', () => {
  expect(paired([8, 9, 10, 11, 12, 20, 30, 40], Array(8).fill(10))).toEqual({ ratio: 1.1, low: 0.9, high: 2 })
  expect(paired([10, 90], [10])).toEqual({ ratio: 1, low: 1, high: 1 })
  expect(paired([], [10]).ratio).toBeNaN()
})

it('is ahead when its ratio is above 1, whichever way the metric runs', () => {
  const subjects = [
    { name: 'us', rounds: [100, 200, 300] },
    { name: 'them', rounds: [50, 100, 150] },
  ]
  const table: Table = { metric: 'speed', unit: '1/s', better: 'higher', subjects }
  expect(subjects.map((subject) => ratio(table, subject))).toEqual([1, 2])
  expect(subjects.map((subject) => ratio({ ...table, better: 'lower' }, subject))).toEqual([1, 0.5])
})

it('shows three digits, or four of large numbers', () => {
  expect([0.012345, 1.005, 56.78, 48_612.3].map(show)).toEqual(['0.0123', '1', '56.8', '48,610'])
  expect(show(Number.NaN)).toBe('–')
})
