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
