import { expect, it } from 'vitest'
import { caseMarkdown, caseResult } from './result.js'
import type { Samples } from './verbs.js'

const samples = (empty: number[], loaded: number[]): Samples =>
  new Map([
    [
      'claim',
      new Map([
        ['empty', empty],
        ['finished', loaded],
      ]),
    ],
  ])

it('judges by ratios within rounds, and says how far they lie apart', () => {
  // The machine got slower meanwhile; the ratio of the medians would be 1.5.
  const steady = samples([10, 20, 30], [11, 30, 33])
  const result = caseResult('finished', 'a load', steady, steady, [])
  expect(result.goals.map(({ reached }) => reached)).toEqual([true, true])
  expect(caseMarkdown(result)).toContain('| claim | 20 | 30 | 1.10 [1.10–1.50] | 1.10 [1.10–1.50] |')
})

it('does not reach its goal when either half takes more than 1.2 times as long, or a plan reads a large table', () => {
  const good = samples([10, 10, 10], [12, 12, 12])
  const bad = samples([10, 10, 10], [11, 12.5, 13])
  const reached = (before: Samples, after: Samples, reads: string[] = []) =>
    caseResult('finished', 'a load', before, after, reads).goals.map((goal) => goal.reached)
  expect(reached(good, good)).toEqual([true, true])
  expect(reached(bad, good)).toEqual([false, true])
  expect(reached(good, bad)).toEqual([false, true])
  expect(reached(good, good, ['9 rows'])).toEqual([true, false])
})
