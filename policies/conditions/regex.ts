import { RE2JS } from 're2js'

const MAX_PATTERN = 500
const MAX_PROGRAM = 2000

/**
 * Compiles a regular expression in RE2 syntax: no back references, no look-around, and no text that makes it slow.
 *
 * @throws Error when it is not valid or too large
 */
export function compileRegex(pattern: string): {
  test: (text: string) => boolean
  costOf: (text: string) => number
} {
  if (pattern.length > MAX_PATTERN) throw new Error(`matches() takes at most ${MAX_PATTERN} characters`)
  const regex = RE2JS.compile(pattern)
  const size = regex.programSize()
  if (size > MAX_PROGRAM)
    throw new Error(`the pattern of matches() is too large: ${size} states, at most ${MAX_PROGRAM}`)
  return {
    test: (text) => regex.test(text),
    costOf: (text) => (text.length * size) / 256,
  }
}
