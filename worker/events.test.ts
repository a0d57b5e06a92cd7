import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EventInput, JsonObject } from '../engine/index.js'
import { freshDatabase } from '../test/support/database.js'
import { checkEvent, storedBytes } from './events.js'
import { createMask } from './mask.js'

const mask = createMask([])
const database = await freshDatabase()

/** Event types, keys and data on both sides of every rule. */
const events = fc.record(
  {
    type: fc.oneof(
      fc.string({ maxLength: 5 }),
      fc.constantFrom(
        'a',
        'a:b.c-d_e',
        'mission:x',
        'missions:x',
        'step:',
        'canary:ping',
        'service:down',
        'services:down',
        '-a',
        'ä',
        'a'.repeat(200),
        'a'.repeat(201),
      ),
    ),
    data: fc.dictionary(fc.string(), fc.jsonValue()),
    dedupe_key: fc.oneof(
      fc.string(),
      fc.constantFrom(
        'k'.repeat(500),
        'k'.repeat(501),
        `mission:${'0'.repeat(36)}:done`,
        `mission:${'0'.repeat(35)}:done`,
        'schedule:daily:2026-01-31T09:00:00Z',
        'schedule:a\nb:c',
        'schedule::',
        'schedule:daily',
      ),
    ),
  },
  { requiredKeys: ['type'] },
)

/** What the worker lets pass, as it is sent. */
function passed(event: EventInput): EventInput[] {
  try {
    return [checkEvent(event, mask)]
  } catch {
    return []
  }
}

async function problems(sent: readonly EventInput[]) {
  return database.sql`
    select e as event, p.* from jsonb_array_elements(${JSON.stringify(sent)}::text::jsonb) e, ops.event_problem(e, false) p
    where p.problem is not null`
}

async function storedSizes(values: readonly unknown[]): Promise<number[]> {
  const rows = await database.sql<{ bytes: number }[]>`
    select octet_length(v::text) as bytes
    from jsonb_array_elements(${JSON.stringify(values)}::text::jsonb) with ordinality e(v, n) order by n`
  return rows.map(({ bytes }) => bytes)
}

describe('an event that an executor emits', () => {
  it('is stored by the database whenever the worker lets it pass', async () => {
    const candidates = fc.sample(events, { numRuns: 3000, seed: 1 })
    const sent = candidates.flatMap(passed)
    expect(sent.length).toBeGreaterThan(300)
    expect(sent.length).toBeLessThan(candidates.length)
    expect(await problems(sent)).toEqual([])
  })

  it.each<[string, EventInput, RegExp]>([
    ['without a name', { type: '' }, /event type ''/],
    ["with one of the engine's names", { type: 'mission:done' }, /the engine's own/],
    [
      "with one of the engine's keys",
      { type: 'a', dedupe_key: `mission:${'0'.repeat(36)}:x` },
      /dedupe_key .* belongs/,
    ],
    ['with an empty key', { type: 'a', dedupe_key: '' }, /1 to 500/],
    ['with data that Postgres writes longer than 1 MiB', { type: 'a', data: huge() }, /larger than 1 MiB/],
  ])('is refused %s', async (_, event, message) => {
    expect(() => checkEvent(event, mask)).toThrow(message)
    expect(await problems([event])).toHaveLength(1)
  })

  it('is never larger in the database than it was counted', async () => {
    const values = fc.sample(fc.jsonValue(), { numRuns: 2000, seed: 1 })
    const sizes = await storedSizes(values)
    const exceeded = values.filter((value, index) => storedBytes(value) < (sizes[index] ?? 0))
    expect(exceeded).toEqual([])
  })
})

/** Half a megabyte as it is sent, more than one as it is stored. */
function huge(): JsonObject {
  return { numbers: Array.from({ length: 60_000 }, () => 1e100) }
}
