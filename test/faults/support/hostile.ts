/** Input as nobody should send it. */
import fc from 'fast-check'

const names = [
  'events',
  'event_id',
  'type',
  'data',
  'dedupe_key',
  'template',
  'title',
  'steps',
  'key',
  'kind',
  'params',
  'depends_on',
  'risk_level',
  'agent',
  'source',
  'priority',
  'run_at',
  'delay_seconds',
  'max_retries',
  'timeout_seconds',
  'cost_usd',
  'actor',
  'note',
  'reason',
  'digest',
  'limit',
  'decisions',
  'pattern_id',
  'decision',
  'cooldown',
  'minutes',
  'threshold',
  'step_id',
  'token',
  'result',
  'error',
  'meta',
  'seconds',
  'value',
  'version',
  'policies',
  'patterns',
  'id',
  'action',
  'repository',
  '__proto__',
  'constructor',
  'toString',
  'a.b',
  '',
  ' ',
  '{{x}}',
  'NaN',
] // prettier-ignore

/** Values that have broken programs before. */
export const hostileScalars: unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  0.1,
  1e21,
  1e308,
  5e-324,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  '\udfff x',
  '\u2028',
  'x'.repeat(10_000),
  '__proto__',
  'constructor',
  'null',
  'NaN',
  'Infinity',
  '-infinity',
  'now',
  '1e999',
  '0x10',
  '1970-01-01',
  '2026-02-30T25:61:61Z',
  '99999999 years',
  '{}',
  '[]',
  '{{event.data.x}}',
  '{{steps.a.result.b}}',
  '{{',
  '{{{{a}}}}',
  "'; drop table ops_missions; --",
  '$1',
  '%s%n',
  '../../etc/passwd',
  '<script>',
  'noop',
  'noop:agent',
  'github:push',
  'heartbeat:x',
  'mission:succeeded',
  '01900000-0000-7000-8000-000000000000',
  'true && event.data',
  'has(event.x) || size(event) > 0',
] // prettier-ignore

const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    { weight: 5, arbitrary: fc.constantFrom(...hostileScalars) },
    { weight: 1, arbitrary: fc.jsonValue() },
    { weight: 3, arbitrary: fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 6 }) },
    { weight: 2, arbitrary: fc.array(tie('value'), { maxLength: 4 }) },
  ),
}))

/** JSON of the shapes and names that our entrances know, filled with what they do not expect. */
export const hostileJson: fc.Arbitrary<unknown> = value

export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...hostileScalars.map(String)),
  fc.string({ unit: 'binary', maxLength: 50 }),
)

/** JSON text: what JavaScript cannot write as an object is among it. */
export const hostileBody: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: value.map((body) => JSON.stringify(body) ?? '') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '',
      '{',
      '[1,',
      '"\\ud800"',
      '1e999',
      '{"a":1e999}',
      '{"__proto__":{"x":1}}',
      'nul',
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
)

/** JSON text nested this deep. */
export function nested(depth: number): string {
  return `${'{"a":['.repeat(depth / 2)}1${']}'.repeat(depth / 2)}`
}

/** Without halves of surrogate pairs, which URLs cannot carry. */
export function wellFormed(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8')
}

/** JSON text without what Postgres' jsonb cannot hold. */
export function jsonForPostgres(value: unknown): string {
  return (JSON.stringify(value) ?? 'null').replace(/\\u0000|\\ud[89a-f]\w\w/g, '')
}

/**
 * A sound value in which one to three places hold what nobody expects, are gone, or have a neighbour that nobody knows: it gets
 * further than values made up whole.
 */
export function spoiled(sound: unknown): fc.Arbitrary<unknown> {
  const damage = fc.tuple(fc.nat(), fc.constantFrom('replace', 'replace', 'remove', 'add'), hostileJson)
  return fc.array(damage, { minLength: 1, maxLength: 3 }).map((damages) => {
    let value: unknown = structuredClone(sound)
    for (const [place, how, by] of damages) {
      const places = [...placesIn(value)]
      const at = places[place % places.length]
      if (!at) value = by
      else if (how === 'add') at.holder[Array.isArray(at.holder) ? at.holder.length : `${at.name}s`] = by
      else if (how === 'remove' && !Array.isArray(at.holder)) delete at.holder[at.name]
      else at.holder[at.name] = by
    }
    return value
  })
}

function* placesIn(value: unknown): Generator<{ holder: Record<string, unknown>; name: string }, void> {
  if (typeof value !== 'object' || value === null) return
  const holder: Record<string, unknown> = Object(value)
  for (const name of Object.keys(holder)) {
    yield { holder, name }
    yield* placesIn(holder[name])
  }
}
