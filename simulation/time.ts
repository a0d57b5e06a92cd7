/** Moments as whole microseconds since 1970, as exact as Postgres keeps them. */
export type Micros = number

/**
 * Reads ISO 8601 text with an offset and up to six decimals.
 *
 * @throws RangeError when it is no such text
 */
export function microsOf(text: string): Micros {
  const [, whole, fraction = '', zone] =
    /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d(?::?\d\d)?)$/.exec(text) ?? []
  const offset = zone?.replace(/^([+-]\d\d)$/, '$1:00')
  const millis = Date.parse(`${whole?.replace(' ', 'T')}${offset}`)
  if (Number.isNaN(millis)) throw new RangeError(`${text} is no time such as 2026-01-31T09:00:00Z`)
  return millis * 1000 + Number(fraction.padEnd(6, '0'))
}

/** The same as ISO 8601 text in UTC. */
export function textOf(micros: Micros): string {
  const millis = Math.floor(micros / 1000)
  const rest = String(micros - millis * 1000).padStart(3, '0')
  return new Date(millis).toISOString().replace('Z', `${rest}Z`)
}

export const MINUTE: Micros = 60_000_000
export const DAY: Micros = 1440 * MINUTE
