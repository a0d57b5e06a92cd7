/**
 * Text that a result can hold: NUL and half surrogate pairs, which the database cannot store, become U+FFFD. For what others have
 * said: their work is done, and one odd character in the answer is no reason to call it failed.
 *
 * @param maxLength in UTF-16 code units; what is longer is cut, where need be in the middle of a character
 */
export function storableText(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  return text.slice(0, maxLength).replaceAll(/\0|\p{Surrogate}/gu, '\uFFFD')
}

/**
 * The end of a text, for an error. What it would begin with in the middle of a word is left out: half a secret is known to nobody who
 * masks it.
 *
 * @param maxLength in UTF-16 code units
 */
export function endOf(text: string, maxLength: number): string {
  const trimmed = text.trim()
  if (trimmed.length <= maxLength) return trimmed
  return trimmed
    .slice(-maxLength)
    .replace(/^[^\s"',;]*/, '')
    .trim()
}

/** A result may nest 200 levels; some of them are around what others have said. */
const MAX_DEPTH = 190

/** The same for a JSON value, in its keys too. Numbers that JSON text can hold and nobody else, and what nests too deep, become null. */
export function storableValue(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return storableText(value)
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value !== 'object' || value === null) return value
  if (depth === MAX_DEPTH) return null
  if (Array.isArray(value)) return value.map((item) => storableValue(item, depth + 1))
  const entries = Object.entries(value)
  return Object.fromEntries(entries.map(([key, item]) => [storableText(key), storableValue(item, depth + 1)]))
}
