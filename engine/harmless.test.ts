import fc from 'fast-check'
import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import { harmless, harmlessJson } from './harmless.js'

const controls = (text: string) =>
  [...text].filter(
    (character) => !/[\n\t]/.test(character) && /\p{Cc}|[\u202a-\u202e\u2066-\u2069]/u.test(character),
  )

describe('text for a terminal', () => {
  it('shows what would steer the terminal, and steers nothing', () => {
    expect(harmless('\x1b]0;pwned\x07 \x1b[2J\x1b[1A\r\x7f\x9b2J')).toBe('␛]0;pwned␇ ␛[2J␛[1A␍␡�2J')
  })

  it('does not turn the direction of writing', () => {
    expect(harmless('rm \u202eelif\u202c \u2066x\u2069')).toBe('rm �elif� �x�')
  })

  it('keeps lines, tabs, other scripts and our colours', () => {
    const colors = pc.createColors(true)
    const text = `${colors.dim(colors.bold('a'))}\n\t${colors.red('ü')} שלום 你好 🦊 ${colors.cyan('b')}`
    expect(harmless(text)).toBe(text)
  })

  it('is safe whatever it is given', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(controls(harmless(text))).toEqual([])
      }),
    )
  })

  it('in JSON is the same JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: 'binary' }), (value, text) => {
        const json = JSON.stringify({ value, text, odd: '\x9b\u202e\x1b[31m' })
        expect(JSON.parse(harmlessJson(json))).toEqual(JSON.parse(json))
        expect(controls(harmlessJson(json))).toEqual([])
      }),
    )
  })
})
