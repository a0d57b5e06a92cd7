/**
 * The grammar of placeholders, read in one pass whose cost is linear in the text:
 *
 *     {{event.data.issue.title}}   a path: words between dots; numbers count list items from 0
 *     {{"{{"}}                     two literal braces
 *
 * Spaces inside the braces do not count. Anything else between braces is plain text.
 */

/** How two literal braces are written. */
export const LITERAL_BRACES = '{{"{{"}}'

const MAX_LENGTH = 500

export interface Occurrence {
  start: number
  end: number
  /** The words between the dots, or null for two literal braces. */
  path: readonly string[] | null
}

const isSpace = (character: string | undefined) =>
  character === ' ' || character === '\t' || character === '\n' || character === '\r'

const isPathCharacter = (character: string | undefined) =>
  character !== undefined &&
  character !== '{' &&
  character !== '}' &&
  character !== '"' &&
  !isSpace(character)

function occurrenceAt(text: string, start: number): Occurrence | undefined {
  const limit = Math.min(text.length, start + MAX_LENGTH)
  const skipWhile = (at: number, belongs: (character: string | undefined) => boolean): number => {
    let end = at
    while (end < limit && belongs(text[end])) end++
    return end
  }
  const first = skipWhile(start + 2, isSpace)
  const literal = text.startsWith('"{{"', first)
  const last = literal ? first + 4 : skipWhile(first, isPathCharacter)
  const close = skipWhile(last, isSpace)
  if (!text.startsWith('}}', close)) return undefined
  if (literal) return { start, end: close + 2, path: null }
  const path = text.slice(first, last).split('.')
  return path.includes('') ? undefined : { start, end: close + 2, path }
}

/** The placeholders of a text, from left to right. */
export function* occurrences(text: string): Generator<Occurrence, void> {
  let from = 0
  for (;;) {
    const start = text.indexOf('{{', from)
    if (start < 0) return
    const found = occurrenceAt(text, start)
    if (found) yield found
    from = found ? found.end : start + 1
  }
}

/** Every string inside a JSON value, with the path to it; object keys are left out. Deeper than 64 levels is not read. */
export function* stringsIn(
  value: unknown,
  path: string,
  depth = 0,
): Generator<{ text: string; path: string }, void> {
  if (typeof value === 'string') yield { text: value, path }
  if (typeof value !== 'object' || value === null || depth > 64) return
  for (const [key, item] of Object.entries(value)) {
    yield* stringsIn(item, Array.isArray(value) ? `${path}[${key}]` : joinPath(path, key), depth + 1)
  }
}

/** `a.b` or `a["odd key"]`. */
export function joinPath(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`
  if (!/^[A-Za-z_$][A-Za-z0-9_$-]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`
  return path === '' ? key : `${path}.${key}`
}
