/** An escaped backslash (left alone), NUL, or a surrogate without its other half. Pairs are never escaped by `JSON.stringify`. */
const ESCAPES = /\\\\|\\u(?:0000|d[89a-f][0-9a-f]{2})/g

/**
 * JSON text that Postgres can store: `jsonb` refuses NUL and half surrogate pairs, and both turn up in commit messages
 * and program output. They become U+FFFD, so that one odd character does not cost a whole batch its results.
 *
 * @param json text made by `JSON.stringify`
 */
export function storableJson(json: string): string {
  if (!json.includes('\\u')) return json
  return json.replace(ESCAPES, (found) => (found === '\\\\' ? found : '\\ufffd'))
}

/** The same for text that travels as it is. Half pairs become U+FFFD by themselves when it is written as UTF-8. */
export function storableText(text: string): string {
  return text.replaceAll('\0', '\ufffd')
}

interface Place {
  value: unknown
  /** The field or index at which its holder has it. */
  at?: string | number
  holder?: Place
}

/**
 * Where parsed JSON holds a number beyond what a number can be, as `1e400` does: `JSON.stringify` would make null of it.
 *
 * @returns its path, e.g. `['prices', 0]`; undefined where there is none
 */
export function infiniteNumber(json: unknown): (string | number)[] | undefined {
  const open: Place[] = [{ value: json }]
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    const { value } = place
    if (typeof value === 'number' && !Number.isFinite(value)) return pathTo(place)
    if (typeof value !== 'object' || value === null) continue
    const isList = Array.isArray(value)
    for (const [name, held] of Object.entries(value)) {
      if (typeof held === 'object' ? held === null : typeof held !== 'number' || Number.isFinite(held))
        continue
      open.push({ value: held, at: isList ? Number(name) : name, holder: place })
    }
  }
  return undefined
}

function pathTo({ at, holder }: Place): (string | number)[] {
  const path = []
  for (let up: Place | undefined = { value: undefined, at, holder }; up?.at !== undefined; up = up.holder)
    path.push(up.at)
  return path.toReversed()
}

/** `['events', 3, 'type']` as `events[3].type`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? String(part) : `${text}.${String(part)}`
  }, '')
}
