import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { diffPolicy } from './diff.js'
import { pattern } from './testing.js'

const patterns = (...list: unknown[]) => ({ patterns: list })

describe('diffPolicy', () => {
  it.each([
    ['a changed value', { a: 1 }, { a: 2 }, [{ path: 'a', kind: 'changed', from: 1, to: 2 }]],
    ['a new field', {}, { a: { b: 1 } }, [{ path: 'a', kind: 'added', to: { b: 1 } }]],
    ['a field taken out', { a: null }, {}, [{ path: 'a', kind: 'removed', from: null }]],
    ['another type', { a: [] }, { a: {} }, [{ path: 'a', kind: 'changed', from: [], to: {} }]],
    [
      'a list of words',
      { a: ['x'] },
      { a: ['x', 'y'] },
      [{ path: 'a', kind: 'changed', from: ['x'], to: ['x', 'y'] }],
    ],
    ['an odd name', { 'a b': 1 }, { 'a b': 2 }, [{ path: '["a b"]', kind: 'changed', from: 1, to: 2 }]],
    ['a name that objects inherit', {}, { constructor: 1 }, [{ path: 'constructor', kind: 'added', to: 1 }]],
    ['a new policy', undefined, { a: 1 }, [{ path: '', kind: 'added', to: { a: 1 } }]],
    [
      'a list without names',
      { a: [{ x: 1 }, { x: 2 }] },
      { a: [{ x: 1 }, { x: 3 }] },
      [{ path: 'a[1].x', kind: 'changed', from: 2, to: 3 }],
    ],
  ])('%s', (_name, from, to, changes) => expect(diffPolicy(from, to)).toEqual(changes))

  it('finds a pattern by its id wherever it stands', () => {
    const [a, b] = [pattern({ id: 'a' }), pattern({ id: 'b' })]
    expect(diffPolicy(patterns(a, b), patterns(pattern({ id: 'new' }), a, { ...b, enabled: false }))).toEqual(
      [
        { path: 'patterns["b"].enabled', kind: 'added', to: false },
        { path: 'patterns["new"]', kind: 'added', to: pattern({ id: 'new' }) },
      ],
    )
    expect(diffPolicy(patterns(a, b), patterns(b, a))).toEqual([
      { path: 'patterns["a"]', kind: 'moved', from: 0, to: 1 },
      { path: 'patterns["b"]', kind: 'moved', from: 1, to: 0 },
    ])
  })

  it('knows no difference where only the order of fields differs', () => {
    expect(diffPolicy({ a: [{ x: 1, y: [2] }], b: 1 }, { b: 1, a: [{ y: [2], x: 1 }] })).toEqual([])
  })

  it('finds nothing between equal values, and something between others', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        expect(diffPolicy(a, structuredClone(a))).toEqual([])
        // -0 is written as 0, which is what a row keeps.
        const same = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
        expect(diffPolicy(a, b).length === 0).toBe(same)
      }),
    )
  })
})

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, child]) => [name, sorted(child)]),
  )
}
