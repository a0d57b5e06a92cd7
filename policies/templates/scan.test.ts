import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { joinPath, occurrences, stringsIn } from './scan.js'

const paths = (text: string) => [...occurrences(text)].map(({ path }) => path?.join('.') ?? null)

describe('occurrences', () => {
  it.each([
    ['{{event.type}}', ['event.type']],
    ['a {{ event.data.x }} b {{\n\tevent.id\r}}', ['event.data.x', 'event.id']],
    ['{{event.data.list.0.$ref}}', ['event.data.list.0.$ref']],
    ['{{event.data.größe/@id}}', ['event.data.größe/@id']],
    ['{{"{{"}}', [null]],
    ['{{ "{{" }}event.id}}', [null]],
    ['{{{event.id}}}', ['event.id']],
    ['{{a}}{{b}}', ['a', 'b']],
    ['{{a}b}} {{c}}', ['c']],
    ['{{}} {{ }} {{.a}} {{a.}} {{a..b}} {{a b}} {a} {{a} }}', []],
    ['{{a', []],
    ['{{ {{a}} }}', ['a']],
    [`{{${'a'.repeat(600)}}}`, []],
  ])('%s', (text, expected) => expect(paths(text)).toEqual(expected))

  it('tells where they are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('{', '}', '{{', '}}', '"', ' ', '.', 'a', '{{a.b}}'), { maxLength: 20 }),
        (some) => {
          const text = some.join('')
          let end = 0
          for (const found of occurrences(text)) {
            expect(found.start).toBeGreaterThanOrEqual(end)
            expect(text.slice(found.start, found.end)).toMatch(/^\{\{ *("\{\{"|[^{}" ]+) *\}\}$/)
            end = found.end
          }
        },
      ),
      { numRuns: 1500 },
    )
  })

  // What took time by the square of the length would not come back.
  it.each(['{', '{{', '{{ ', '{{a.', '{{"{{"', '{{a{{'])(
    'comes to an end for %s a million times',
    (piece) => {
      expect(paths(piece.repeat(1_000_000 / piece.length))).toEqual([])
    },
  )
})

describe('stringsIn', () => {
  it('gives each string with its path', () => {
    expect([...stringsIn({ a: 'x', b: [{ 'odd key': 'y' }, 1, null] }, 'root')]).toEqual([
      { text: 'x', path: 'root.a' },
      { text: 'y', path: 'root.b[0]["odd key"]' },
    ])
  })
})

describe('joinPath', () => {
  it.each([
    ['', 'a', 'a'],
    ['a', 'b_c', 'a.b_c'],
    ['a', 3, 'a[3]'],
    ['a', '3', 'a["3"]'],
    ['', 'x y', '["x y"]'],
  ])('%j and %j: %s', (path, key, joined) => expect(joinPath(path, key)).toBe(joined))
})
