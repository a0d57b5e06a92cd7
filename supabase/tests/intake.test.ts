/** Intake looks at a batch as a whole first: it must refuse what the rules of single events refuse, and nothing else. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openDatabase } from './world.js'

const { sql } = await openDatabase()

const type = fc.constantFrom(
  ...[
    'a:b',
    '0',
    'a'.repeat(200),
    'a'.repeat(201),
    '',
    '-a',
    'a b',
    'a\nb',
    'heartbeat',
    'heartbeat:x',
    'mission:x',
    'missions:x',
    'canary:x:y',
  ],
  ...[null, 1, ['a']],
)
const data = fc.constantFrom(
  undefined,
  null,
  {},
  { a: null },
  [],
  'a',
  1,
  { a: 'a'.repeat(1_048_566) },
  { a: 'a'.repeat(1_048_567) },
)
const dedupeKey = fc.constantFrom(
  ...[undefined, null, '', 'k', 'k'.repeat(500), 'k'.repeat(501), 1, {}],
  ...['mission:', 'mission:x:1', `mission:${'0'.repeat(36)}:1`, 'schedule:', 'schedule:daily:1'],
)
const event = fc.oneof(
  { weight: 20, arbitrary: fc.record({ type, data, dedupe_key: dedupeKey }) },
  { weight: 1, arbitrary: fc.constantFrom(null, 1, 'a', []) },
)

test('an event is refused alone or among others when a rule speaks against it, by its field', async () => {
  const verdicts = new Set<string>()
  await fc.assert(
    fc.asyncProperty(event, fc.boolean(), async (given, alone) => {
      const json = JSON.stringify(given)
      const [rule] = await sql<{ field: string | null; problem: string | null }[]>`
        select p.field, p.problem from ops.event_problem(${json}::text::jsonb, false) p`
      const batch = alone ? `[${json}]` : `[{"type": "good:one"}, ${json}]`
      const refusal = await sql`select from ops_emit_events(${batch}::text::jsonb)`.then(
        () => null,
        (error: unknown) => String(error),
      )
      const { field, problem } = rule ?? expect.fail()
      verdicts.add(`${field}: ${problem}`)
      if (problem === null) expect(refusal).toBe(null)
      else expect(refusal ?? 'accepted').toContain(`events[${alone ? 0 : 1}].${field} ${problem}`)
    }),
    { numRuns: 400 },
  )
  // Every rule has been met, and the absence of any.
  expect(verdicts.size).toBeGreaterThanOrEqual(9)
})
