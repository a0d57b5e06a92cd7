import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileGlob } from './glob.js'

/** What a glob means, one character at a time. */
function slowMatch(glob: string, text: string): boolean {
  if (glob === '') return text === ''
  if (glob[0] === '*')
    return slowMatch(glob.slice(1), text) || (text !== '' && slowMatch(glob, text.slice(1)))
  return glob[0] === text[0] && slowMatch(glob.slice(1), text.slice(1))
}

describe('compileGlob', () => {
  it.each([
    ['github:issues.opened', 'github:issues.opened', true],
    ['github:issues.opened', 'github:issues.openedX', false],
    ['github:workflow_run.*', 'github:workflow_run.completed', true],
    ['github:workflow_run.*', 'github:workflow_run', false],
    ['*', 'anything:at.all', true],
    ['*', '', true],
    ['*:failed', 'step:noop:failed', true],
    ['step:*:failed', 'step:noop:failed', true],
    ['step:*:failed', 'step::failed', true],
    ['step:*:failed', 'step:failed', false],
    ['a*a', 'a', false],
    ['a*b*c', 'abc', true],
    ['a*b*c', 'acb', false],
    ['a.c', 'abc', false],
  ])('%s matches %s: %s', (glob, type, expected) => expect(compileGlob(glob).matches(type)).toBe(expected))

  it('agrees with the definition', () => {
    const letters = fc.array(fc.constantFrom('a', 'b', '*'), { maxLength: 8 }).map((some) => some.join(''))
    const text = fc.array(fc.constantFrom('a', 'b'), { maxLength: 10 }).map((some) => some.join(''))
    fc.assert(
      fc.property(letters, text, (glob, type) => {
        const compiled = compileGlob(glob)
        expect(compiled.matches(type)).toBe(slowMatch(glob, type))
        if (compiled.matches(type)) expect(type.startsWith(compiled.prefix)).toBe(true)
      }),
      { numRuns: 1500 },
    )
  })

  it('is not slowed down by many stars', () => {
    const glob = compileGlob(`${'a*'.repeat(90)}b`)
    // What tried every way to share the letters among the stars would not come back.
    for (let round = 0; round < 1000; round++) expect(glob.matches('a'.repeat(200))).toBe(false)
  })
})
