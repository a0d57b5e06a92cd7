import fc from 'fast-check'
import { expect, test } from 'vitest'
import { infiniteNumber, pathText, storableJson, storableText } from './json.js'

const stored = (value: unknown): unknown => JSON.parse(storableJson(JSON.stringify(value)))

test.each([
  ['NUL', 'a\u0000b', 'a\ufffdb'],
  ['half a pair', 'a\ud800b\udc00', 'a\ufffdb\ufffd'],
  ['a whole pair', '🦊', '🦊'],
  ['the escape as text', 'a\\u0000b', 'a\\u0000b'],
  ['a backslash before NUL', '\\\u0000', '\\\ufffd'],
])('%s', (_, text, expected) => {
  expect(stored({ [text]: [text] })).toEqual({ [expected]: [expected] })
})

test('every string becomes well formed, without NUL, and otherwise stays as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(stored(text)).toBe(Buffer.from(text).toString().replaceAll('\0', '\ufffd'))
      expect(Buffer.from(storableText(text)).toString()).toBe(stored(text))
    }),
  )
})

test.each([
  ['{"a": 1e400}', 'a'],
  ['{"a": {"b": [0, {"d": -1e999}]}}', 'a.b[1].d'],
  ['[[1e309]]', '[0][0]'],
  ['{"1": 1e309}', '1'],
  ['1e309', ''],
  ['{"a": 1e308, "b": null, "c": "1e400", "d": [true, {}]}', undefined],
])('%s holds a number beyond what a number can be: at %j', (text, path) => {
  const found = infiniteNumber(JSON.parse(text))
  expect(found && pathText(found)).toBe(path)
})

test('it is looked for however deep the nesting', () => {
  const depth = 100_000
  const found = infiniteNumber(JSON.parse(`${'['.repeat(depth)}1e400${']'.repeat(depth)}`))
  expect(found).toEqual(Array(depth).fill(0))
})
