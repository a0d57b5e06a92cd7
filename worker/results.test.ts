import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMask } from './mask.js'
import { MAX_JSON_BYTES, toStorable, toStorableError } from './results.js'

const about = { mask: createMask(['hunter22']), path: 'result' }
const store = (value: unknown) => toStorable(value, about)

describe('a result', () => {
  it('is kept as JSON.stringify would write it', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const stored = store(value)
        const text = JSON.stringify(value)
        if (stored.ok)
          expect(stored).toMatchObject({ value: JSON.parse(text), bytes: Buffer.byteLength(text) })
        else expect(stored.problem.message).toMatch(/NUL|surrogate/)
      }),
    )
  })

  it('leaves out what is undefined, and is null when there is nothing', () => {
    expect(store({ a: undefined, b: 1 })).toMatchObject({ value: { b: 1 } })
    expect(store([undefined])).toMatchObject({ value: [null] })
    expect(store(undefined)).toMatchObject({ value: null })
  })

  it('honours toJSON', () => {
    expect(store({ at: new Date(0) })).toMatchObject({ value: { at: '1970-01-01T00:00:00.000Z' } })
  })

  it('is a copy: what the executor does with it later changes nothing', () => {
    const value = { list: [1] }
    const stored = store(value)
    value.list.push(2)
    expect(stored).toMatchObject({ value: { list: [1] } })
  })

  it('has its secrets masked, in keys as well', () => {
    expect(store({ hunter22: ['is hunter22'] })).toMatchObject({ value: { '[masked]': ['is [masked]'] } })
  })

  it('keeps a key that is called __proto__ as a key', () => {
    const stored = store(JSON.parse('{"__proto__": {"admin": true}}'))
    expect(stored.ok && JSON.stringify(stored.value)).toBe('{"__proto__":{"admin":true}}')
  })

  const loop: Record<string, unknown> = {}
  loop.self = [loop]
  let deep: unknown = 1
  for (let level = 0; level < 300; level++) deep = [deep]
  const shared = Array.from({ length: 40 }).reduce<unknown>((inner) => [inner, inner], 'x')

  it.each([
    ['NUL', { a: ['x\0y'] }, 'result.a.0', 'NUL'],
    ['NUL in a key', { a: { 'x\0y': 1 } }, 'result.a', 'NUL'],
    ['half a surrogate pair', { a: '\ud800' }, 'result.a', 'surrogate'],
    ['more than 1 MiB', { a: 'x'.repeat(MAX_JSON_BYTES) }, 'result', '1 MiB'],
    ['more than 1 MiB in bytes only', { a: '€'.repeat(MAX_JSON_BYTES / 2) }, 'result', '1 MiB'],
    ['a little that is referred to a million times', shared, 'result', '1 MiB'],
    ['a loop', loop, 'result.self.0', 'refers to itself'],
    ['a deep nest', deep, 'result', 'nests deeper'],
    ['NaN', { a: Number.NaN }, 'result.a', 'NaN'],
    ['a bigint', [1n], 'result.0', 'bigint'],
    ['a function', { run() {} }, 'result.run', 'function'],
  ])('with %s is refused, naming the place', (_name, value, path, message) => {
    const stored = store(value)
    expect(stored.ok).toBe(false)
    if (stored.ok) return
    expect(stored.problem.path).toContain(path)
    expect(stored.problem.message).toContain(message)
  })

  it('that throws while it is read is refused', () => {
    const stored = store({
      toJSON() {
        throw new Error('not now')
      },
    })
    expect(stored).toMatchObject({ ok: false, problem: { message: 'cannot be read: not now' } })
  })
})

describe('an error message', () => {
  const text = (message: string) => toStorableError(message, about.mask)

  it('is masked and made storable', () => {
    expect(text('hunter22\0 \ud800!')).toBe('[masked]\uFFFD \uFFFD!')
  })

  it('is cut when it is long, never in the middle of a secret', () => {
    const long = text(`${'x'.repeat(3995)}hunter22${'y'.repeat(100)}`)
    expect(long).toHaveLength(4000)
    expect(long).not.toContain('hunter')
  })

  it('is never empty', () => {
    expect(text(' ')).toBe('failed without a message')
  })
})
