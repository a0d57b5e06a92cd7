import { describe, expect, it } from 'vitest'
import { defaultPolicies } from './defaults.js'
import { explainEvent } from './explain.js'
import { event, pattern, template } from './testing.js'

const explain = (patterns: unknown, of = event('app:done', { size: 1 })) =>
  explainEvent({ patterns }, of, { policies: defaultPolicies })

describe('explainEvent', () => {
  it('tells every pattern in the order of the policy, also those for other types', () => {
    const { patterns, quarantined } = explain([
      pattern({ id: 'other', event_type: ['web:*', 'cli:*'], mode: 'shadow' }),
      pattern({ id: 'small', when: 'event.data.size > 3' }),
      pattern({ id: 'fits', cooldown_minutes: 5, cooldown_key: '{{event.data.size}}' }),
      pattern({ id: 'off', enabled: false }),
    ])
    expect(quarantined).toEqual([])
    expect(patterns).toMatchObject([
      {
        pattern_id: 'other',
        mode: 'shadow',
        decision: 'not_matched',
        detail: { condition: 'event_type', wanted: ['web:*', 'cli:*'], got: 'app:done' },
      },
      { pattern_id: 'small', detail: { condition: 'when', expression: 'event.data.size > 3' } },
      { pattern_id: 'fits', decision: 'matched', cooldown: { minutes: 5, key: '1' }, template: template() },
      { pattern_id: 'off', decision: 'disabled' },
    ])
  })

  it('tells a broken pattern as an error where it would have decided, and lists it', () => {
    const { patterns, quarantined } = explain([
      pattern({ id: 'twin' }),
      pattern({ id: 'twin' }),
      pattern({ name: 'named', id: undefined, when: 'nonsense(' }),
      { event_type: 'app:*' },
      pattern({ id: 'elsewhere', event_type: 'web:*', when: 'nonsense(' }),
      7,
    ])
    expect(patterns.map(({ pattern_id, decision }) => `${pattern_id}: ${decision}`)).toEqual([
      'twin: matched',
      'patterns[1]: error',
      'named: error',
      'patterns[3]: error',
      'elsewhere: not_matched',
      'patterns[5]: not_matched',
    ])
    expect(quarantined.map(({ path }) => path)).toEqual([
      'patterns[1].id',
      'patterns[2].when',
      'patterns[3].template',
      'patterns[4].when',
      'patterns[5]',
    ])
  })

  it('looks at no pattern of a matrix that holds more than a policy may', () => {
    expect(explain(Array.from({ length: 5001 }, () => 7))).toEqual({
      patterns: [],
      quarantined: [
        {
          pattern_id: 'reaction_matrix',
          code: 'OPS_008',
          path: 'patterns',
          message: 'must have at most 5000 items',
        },
      ],
    })
  })

  it.each([null, 7, [], {}, { patterns: {} }, { patterns: [null] }])('never throws: %j', (matrix) => {
    expect(explainEvent(matrix, event('app:done'), { policies: {} })).toHaveProperty('patterns')
  })
})
