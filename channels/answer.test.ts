import { describe, expect, it } from 'vitest'
import { meaningOf, parseRetryAfter } from './answer.js'

describe('a status', () => {
  it.each([
    [200, 'done'],
    [204, 'done'],
    [302, 'never'],
    [400, 'never'],
    [410, 'never'],
    [408, 'later'],
    [425, 'later'],
    [429, 'later'],
    [500, 'later'],
    [503, 'later'],
  ])('%i means %s', (status, meaning) => {
    expect(meaningOf(status)).toBe(meaning)
  })
})

describe('Retry-After', () => {
  const now = new Date('2026-01-01T00:00:00Z')

  it.each([
    ['0', 0],
    ['30', 30],
    ['999999999', 86_400],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60],
    ['Wed, 31 Dec 2025 23:00:00 GMT', 0],
    ['soon', undefined],
    [undefined, undefined],
  ])('%s means %s seconds', (value, seconds) => {
    expect(parseRetryAfter(value, now)).toBe(seconds)
  })
})
