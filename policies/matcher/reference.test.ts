import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, event, template } from '../testing.js'
import { draw } from './probability.js'

/**
 * The matcher again: slow, obvious and without any of its parts but the draw. Conditions and templates come from a small
 * set whose meaning is written down beside them.
 */
interface Rule {
  id: string
  event_type: string | string[]
  enabled: boolean
  mode: 'active' | 'shadow'
  probability: number
  tags?: string[]
  source?: string
  when?: keyof typeof CONDITIONS
  text: keyof typeof TEXTS
}

type Data = { tags?: unknown; source?: unknown; n?: unknown; text?: unknown }

const CONDITIONS = {
  'event.data.n > 2': ({ n }: Data) => (typeof n === 'number' ? n > 2 : 'error'),
  'has(event.data.text)': ({ text }: Data) => text !== undefined,
  'event.data.n == 1 || event.data.text == "a"': ({ n, text }: Data) => {
    if (n === 1 || text === 'a') return true
    return n === undefined || text === undefined ? 'error' : false
  },
}

const TEXTS = {
  plain: () => 'plain',
  'n={{event.data.n}}': ({ n }: Data) => (n === undefined ? 'error' : `n=${n === null ? '' : n}`),
  '{{event.data.text}}': ({ text }: Data) => text ?? 'error',
}

function expected(rule: Rule, type: string, id: string, data: Data): unknown[] {
  const types = [rule.event_type].flat()
  const answers = types.some((glob) => new RegExp(`^${glob.replaceAll('*', '.*')}$`).test(type))
  if (!answers || type.startsWith('heartbeat:')) return []
  const self = { pattern_id: rule.id, mode: rule.mode }
  if (!rule.enabled) return [{ ...self, decision: 'disabled' }]
  const { tags, source } = rule
  if (
    tags &&
    !(Array.isArray(data.tags) && tags.some((tag) => Array.isArray(data.tags) && data.tags.includes(tag)))
  ) {
    return [{ ...self, decision: 'not_matched', detail: { condition: 'tags' } }]
  }
  if (source && data.source !== source)
    return [{ ...self, decision: 'not_matched', detail: { condition: 'source' } }]
  const met = rule.when ? CONDITIONS[rule.when](data) : true
  if (met === 'error') return [{ ...self, decision: 'error', detail: { code: 'OPS_008' } }]
  if (!met) return [{ ...self, decision: 'not_matched', detail: { condition: 'when' } }]
  if (draw(id, rule.id, '') >= rule.probability) return [{ ...self, decision: 'probability' }]
  const text = TEXTS[rule.text](data)
  if (text === 'error') return [{ ...self, decision: 'error', detail: { code: 'OPS_008' } }]
  return [{ ...self, decision: 'matched', template: { steps: [{ params: { text } }] } }]
}

const types = ['app:done', 'app:failed', 'shop:paid', 'heartbeat:success']
const globs = [...types.slice(0, 3), '*', 'app:*', '*:done', 's*p:p*d', 'none']
const rule = fc.record(
  {
    id: fc.string({ minLength: 1, maxLength: 5 }),
    event_type: fc.oneof(
      fc.constantFrom(...globs),
      fc.array(fc.constantFrom(...globs), { minLength: 1, maxLength: 3 }),
    ),
    enabled: fc.boolean(),
    mode: fc.constantFrom('active' as const, 'shadow' as const),
    probability: fc.constantFrom(0, 0.3, 0.7, 1),
    text: fc.constantFrom('plain' as const, 'n={{event.data.n}}' as const, '{{event.data.text}}' as const),
    tags: fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 2 }),
    source: fc.constantFrom('x', 'y'),
    when: fc.constantFrom(
      'event.data.n > 2' as const,
      'has(event.data.text)' as const,
      'event.data.n == 1 || event.data.text == "a"' as const,
    ),
  },
  { requiredKeys: ['id', 'event_type', 'enabled', 'mode', 'probability', 'text'] },
)
const data: fc.Arbitrary<Data> = fc.record(
  {
    tags: fc.oneof(fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 }), fc.constantFrom('a', null, 1)),
    source: fc.constantFrom('x', 'y', null, 3),
    n: fc.constantFrom(0, 1, 3, null),
    text: fc.constantFrom('a', 'b', '{{event.id}}'),
  },
  { requiredKeys: [] },
)

describe('the matcher', () => {
  it('decides as the slow, obvious one does', () => {
    const rules = fc.uniqueArray(rule, { selector: ({ id }) => id, maxLength: 8 })
    fc.assert(
      fc.property(rules, fc.constantFrom(...types), data, (some, type, payload) => {
        const of = event(type, { ...payload })
        const patterns = some.map(({ text, ...fields }) => ({ ...fields, template: template({ text }) }))
        const wanted = some.flatMap((each) => expected(each, type, of.event_id, payload))
        const given = decide(patterns, of)
        expect(given).toHaveLength(wanted.length)
        expect(given).toMatchObject(wanted)
      }),
      { numRuns: 300 },
    )
  })
})
