import { describe, expect, it } from 'vitest'
import { resolvePath } from './resolve.js'

const root = { a: { list: [{ b: null }, 'text'], '0': 'zero', empty: '' }, no: false }
const hostile: unknown = JSON.parse('{"__proto__": {"x": 1}, "constructor": "mine"}')

describe('resolvePath', () => {
  it.each([
    ['a.list.0.b', null],
    ['a.list.1', 'text'],
    ['a.0', 'zero'],
    ['a.empty', ''],
    ['no', false],
  ])('%s', (path, value) => expect(resolvePath(root, path.split('.'))).toEqual({ found: true, value }))

  it.each([
    ['b', 'b'],
    ['a.x.y.z', 'a.x'],
    ['a.list.2', 'a.list.2'],
    ['a.list.00', 'a.list.00'],
    ['a.list.-1', 'a.list.-1'],
    ['a.list.length', 'a.list.length'],
    ['a.list.map', 'a.list.map'],
    ['a.list.1.length', 'a.list.1.length'],
    ['a.list.1.0', 'a.list.1.0'],
    ['a.list.0.b.c', 'a.list.0.b.c'],
    ['no.valueOf', 'no.valueOf'],
    ['constructor.name', 'constructor'],
    ['__proto__', '__proto__'],
    ['a.toString', 'a.toString'],
    ['a.hasOwnProperty', 'a.hasOwnProperty'],
  ])('%s is not there', (path, missing) =>
    expect(resolvePath(root, path.split('.'))).toEqual({ found: false, missing }),
  )

  it('finds what the data itself calls __proto__ or constructor', () => {
    expect(resolvePath(hostile, ['__proto__', 'x'])).toEqual({ found: true, value: 1 })
    expect(resolvePath(hostile, ['constructor'])).toEqual({ found: true, value: 'mine' })
  })
})
