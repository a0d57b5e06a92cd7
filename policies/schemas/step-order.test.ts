import { describe, expect, it } from 'vitest'
import { type OrderedStep, orderProblems } from './step-order.js'

const uses = (key: string) => ({ text: `{{ steps.${key}.result.x }}` })

describe('orderProblems', () => {
  it.each<[string, OrderedStep[]]>([
    ['steps in a row', [{}, { params: uses('step-1') }, { params: { deep: [uses('step-1')] } }]],
    ['steps at once', [{ depends_on: [] }, { depends_on: [] }]],
    [
      'a diamond',
      [
        { key: 'a' },
        { key: 'b' },
        { key: 'c', depends_on: ['a'] },
        { depends_on: ['b', 'c'], params: uses('a') },
      ],
    ],
    [
      'a step that waits for a later one',
      [
        { key: 'a', depends_on: ['b'], params: uses('b') },
        { key: 'b', depends_on: [] },
      ],
    ],
    [
      'placeholders of other kinds',
      [{ params: { text: '{{event.data.steps}} {{"{{"}}steps.none.result}}' } }],
    ],
  ])('accepts %s', (_name, steps) => expect(orderProblems(steps)).toEqual([]))

  it.each<[string, OrderedStep[], string, string]>([
    ['a key that is there twice', [{ key: 'a' }, { key: 'a' }], '1.key', '"a" is the key of another step'],
    ['a key like an implied one', [{ key: 'step-2' }, {}], '1.key', '"step-2" is the key of another step'],
    ['an unknown dependency', [{ depends_on: ['b'] }], '0.depends_on.0', 'there is no step "b"'],
    [
      'a step that waits for itself',
      [{ key: 'a', depends_on: ['a'] }],
      '0.depends_on',
      'goes in a circle: the step would wait for itself',
    ],
    [
      'two times to start',
      [{ run_at: '2030-01-01T00:00:00Z', delay_seconds: 1 }],
      '0.delay_seconds',
      'goes with no run_at; give one of them',
    ],
    ['a result of nobody', [{ params: uses('z') }], '0.params', 'there is no step "z"'],
    [
      'a result from beside',
      [{ key: 'a' }, { depends_on: [], params: uses('a') }],
      '1.params',
      'uses the result of "a", which need not be there yet',
    ],
    [
      'a result from later',
      [{ params: uses('step-2') }, {}],
      '0.params',
      'uses the result of "step-2", which need not be there yet',
    ],
  ])('finds %s', (_name, steps, path, message) => {
    expect(orderProblems(steps).map((problem) => [problem.path.join('.'), problem.message])).toEqual([
      [path, message],
    ])
  })

  it('finds a circle of several steps', () => {
    const steps = [{ key: 'a', depends_on: ['c'] }, { key: 'b' }, { key: 'c' }]
    expect(orderProblems(steps)).toHaveLength(3)
  })
})
