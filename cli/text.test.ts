import { describe, expect, it } from 'vitest'
import { short } from './text.js'

describe('a text cut short', () => {
  it('is one line, at most so long', () => {
    expect(short(' a\n b ', 10)).toBe('a b')
    expect(short('abcdef', 4)).toBe('abc…')
  })

  it('holds no half of a character', () => {
    expect(short('ab🦊🦊', 4)).toBe('ab…')
    expect(short('a🦊🦊', 4)).toBe('a🦊…')
  })
})
