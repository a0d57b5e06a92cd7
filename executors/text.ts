/** Longer than any secret that is one word; what has no words at all, such as base64, loses no more than this. */
const LONGEST_WORD = 4000

/** What is left of a text that was cut off, without the word that it was cut in: half a secret is known to nobody who masks it. */
export function withoutCutWord(text: string): string {
  const rest = text.slice(-LONGEST_WORD)
  return text.slice(0, text.length - rest.length) + rest.replace(/[^\s"',;]+$/, '')
}

/**
 * Text that a result can hold: NUL and half surrogate pairs, which the database cannot store, become U+FFFD. For what others have
 * said: their work is done, and one odd character in the answer is no reason to call it failed.
 *
 * @param maxLength in UTF-16 code units; what is longer is cut, between two words
 */
export function storableText(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  const kept = text.length > maxLength ? withoutCutWord(text.slice(0, maxLength)) : text
  return kept.replaceAll(/\0|\p{Surrogate}/gu, '\uFFFD')
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
