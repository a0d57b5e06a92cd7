import { describe, expect, it } from 'vitest'
import { short, table } from './text.js'

describe('a table', () => {
  it('has straight columns, however wide its characters are', () => {
    const rows = ['plain', '日本語', '🦊', 'e\u0301'].map((title) => [title, '|'])
    const [, ...lines] = table(['title', 'end'], rows).split('\n')
    expect(lines).toEqual(['plain   |', '日本語  |', '🦊      |', 'e\u0301       |'])
  })
})

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
