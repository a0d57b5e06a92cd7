import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileGlob } from './glob.js'
import { TypeIndex } from './type-index.js'

const word = fc
  .array(fc.constantFrom('a', 'b', ':'), { minLength: 1, maxLength: 5 })
  .map((some) => some.join(''))
const glob = fc
  .array(fc.constantFrom('a', 'b', ':', '*'), { minLength: 1, maxLength: 5 })
  .map((some) => some.join(''))

describe('TypeIndex', () => {
  it('finds what a walk over everything finds, in the order of adding', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.oneof(word, glob), { maxLength: 3 }), { maxLength: 12 }),
        word,
        (lists, type) => {
          const index = new TypeIndex<number>()
          for (const [position, globs] of lists.entries()) index.add(globs, position)
          const expected = lists.flatMap((globs, position) =>
            globs.some((source) => compileGlob(source).matches(type)) ? [position] : [],
          )
          expect(index.find(type)).toEqual(expected)
        },
      ),
      { numRuns: 700 },
    )
  })
})
