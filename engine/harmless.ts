/**
 * Control characters other than line breaks and tabs, and those that turn the direction of writing; or a whole sequence that sets a
 * colour which we use.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
const HARMFUL = /\x1b\[(?:1|2|22|3[1-79])m|[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g

/**
 * Text as a terminal may have it. Titles, reasons and errors come from events, and so from anybody: raw, they could move the cursor,
 * rename the window, hide what follows, or make what is to be approved look like something else. Their control characters become
 * visible; our own colours stay.
 *
 * @example harmless('\x1b]0;pwned\x07') // '␛]0;pwned␇'
 */
export function harmless(text: string): string {
  return text.replace(HARMFUL, (found) => (found.length > 1 ? found : visible(found)))
}

/** The same for JSON text, which stays the same JSON. */
export function harmlessJson(json: string): string {
  return json.replace(HARMFUL, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Several lines as one. */
export function oneLine(text: string): string {
  return text.replace(/\s*[\n\r\u2028\u2029]\s*/g, ' ')
}

const PICTURES = 0x2400

function visible(character: string): string {
  const code = character.charCodeAt(0)
  if (code === 0x7f) return '␡'
  return code < 0x20 ? String.fromCharCode(PICTURES + code) : '\uFFFD'
}
