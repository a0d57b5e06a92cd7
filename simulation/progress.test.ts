import { expect, test } from 'vitest'
import { readLines, recordingFrom, simulate } from './index.js'

test('a simulation tells how far it is, to the end', async () => {
  const events = Array.from({ length: 5 }, (_, n) =>
    JSON.stringify({ type: 'app:done', created_at: `2026-01-0${n + 1}T09:00:00Z` }),
  )
  const parts: number[] = []
  await simulate(
    recordingFrom(readLines(events.join('\n')), [], Date.parse('2026-01-07') * 1000),
    {},
    (part) => parts.push(part),
  )
  expect(parts.length).toBeGreaterThan(3)
  expect(parts).toEqual(parts.toSorted((a, b) => a - b))
  expect(parts.at(-1)).toBe(1)
})
