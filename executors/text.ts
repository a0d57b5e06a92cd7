/**
 * Text that a result can hold: NUL and half surrogate pairs, which the database cannot store, become U+FFFD. For what others have
 * said: their work is done, and one odd character in the answer is no reason to call it failed.
 *
 * @param maxLength in UTF-16 code units; what is longer is cut, where need be in the middle of a character
 */
export function storableText(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  return text.slice(0, maxLength).replaceAll(/\0|\p{Surrogate}/gu, '\uFFFD')
}
