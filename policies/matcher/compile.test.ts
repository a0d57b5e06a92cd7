import { describe, expect, it } from 'vitest'
import { event, pattern, template } from '../testing.js'
import { compileMatrix } from './compile.js'
import { matchEvent } from './match.js'

const compile = (...patterns: unknown[]) => compileMatrix({ patterns }, { version: 7 })
const decisions = (matrix: ReturnType<typeof compile>, type = 'app:done') =>
  matchEvent(matrix, event(type), { policies: {} }).decisions.map(({ pattern_id, decision }) => [
    pattern_id,
    decision,
  ])

describe('compileMatrix', () => {
  it('keeps the version', () => expect(compile().version).toBe(7))

  it('puts a broken pattern out of service and lets the rest work', () => {
    const matrix = compile(pattern({ id: 'a' }), pattern({ id: 'b', when: '1 +' }), pattern({ id: 'c' }))
    expect(matrix.quarantined).toEqual([
      {
        pattern_id: 'b',
        code: 'OPS_008',
        path: 'patterns[1].when',
        message: 'Unexpected token: EOF (at character 4)',
      },
    ])
    expect(decisions(matrix)).toEqual([
      ['a', 'matched'],
      ['b', 'error'],
      ['c', 'matched'],
    ])
  })

  it('reports it for the events that it should have answered, and no others', () => {
    const matrix = compile(pattern({ event_type: ['app:done', 'x:*', 7], probability: 3 }))
    expect(decisions(matrix)).toEqual([['p', 'error']])
    expect(decisions(matrix, 'x:y')).toEqual([['p', 'error']])
    expect(decisions(matrix, 'other')).toEqual([])
  })

  it('keeps mode and enabled of a broken pattern', () => {
    const broken = { template: { title: 't' } }
    const matrix = compile(
      pattern({ ...broken, mode: 'shadow' }),
      pattern({ ...broken, id: 'q', enabled: false }),
    )
    expect(matchEvent(matrix, event('app:done'), { policies: {} }).decisions).toMatchObject([
      { pattern_id: 'p', mode: 'shadow', decision: 'error', detail: { path: 'patterns[0].template.steps' } },
      { pattern_id: 'q', mode: 'active', decision: 'disabled' },
    ])
  })

  it('names a pattern without id by its place', () => {
    expect(compile(null, { event_type: 'app:*', template: template() }).quarantined).toMatchObject([
      { pattern_id: 'patterns[0]', path: 'patterns[0]', message: 'must be object, received null' },
      { pattern_id: 'patterns[1]', path: 'patterns[1].id', message: 'is required, or a name' },
    ])
  })

  it('lets the first of two patterns with one id work', () => {
    const matrix = compile(pattern(), pattern())
    expect(decisions(matrix)).toEqual([
      ['p', 'matched'],
      ['patterns[1]', 'error'],
    ])
  })

  it.each([null, undefined, 'x', 7, [], { patterns: {} }, { patterns: 'x' }])(
    'survives a matrix that is %j',
    (value) => {
      const matrix = compileMatrix(value, { version: 1 })
      expect(matrix.quarantined).toMatchObject([{ pattern_id: 'reaction_matrix', code: 'OPS_008' }])
      expect(decisions(matrix)).toEqual([])
    },
  )

  it.each([{}, { patterns: [] }, { patterns: [], colour: 'red' }])('takes what it needs of %j', (value) => {
    expect(compileMatrix(value, { version: 1 }).quarantined).toEqual([])
  })

  it('compiles a thousand patterns in a moment, and finds the few that could match', () => {
    const patterns = Array.from({ length: 1000 }, (_, index) =>
      pattern({ id: `p${index}`, event_type: `app:${index}.*`, when: 'event.data.size > 3' }),
    )
    const matrix = compile(...patterns)
    expect(matrix.quarantined).toEqual([])
    expect(matrix.rulesFor('app:77.x').map(({ id }) => id)).toEqual(['p77'])
  })
})
