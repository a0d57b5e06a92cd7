import fc from 'fast-check'
import { expect, test } from 'vitest'
import { storableJson, storableText } from './json.js'

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
