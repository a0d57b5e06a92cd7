/** What a clock in a time zone shows, counted as CEL counts: months, days of a month and days of a year from 0, Sunday is 0. */
const READINGS: Readonly<Record<string, (clock: Date) => number>> = {
  getFullYear: (clock) => clock.getUTCFullYear(),
  getMonth: (clock) => clock.getUTCMonth(),
  getDate: (clock) => clock.getUTCDate(),
  getDayOfMonth: (clock) => clock.getUTCDate() - 1,
  getDayOfWeek: (clock) => clock.getUTCDay(),
  getDayOfYear: (clock) => Math.floor((clock.getTime() - dateOf(clock.getUTCFullYear())) / DAY_MS),
  getHours: (clock) => clock.getUTCHours(),
  getMinutes: (clock) => clock.getUTCMinutes(),
  getSeconds: (clock) => clock.getUTCSeconds(),
  getMilliseconds: (clock) => clock.getUTCMilliseconds(),
}

const DAY_MS = 86_400_000

/**
 * How a method of timestamps reads a clock; undefined for what is none. The library goes by way of this machine's own time zone: on
 * one that changes its clocks, an hour is missing once a year, and every summer's day is a day off.
 *
 * @example readingOf('getHours')?.(new Date('2026-01-31T09:30:00Z'), 'Europe/Berlin') // 10n
 */
export function readingOf(method: string): ((time: Date, timeZone: string) => bigint) | undefined {
  const read = Object.hasOwn(READINGS, method) ? READINGS[method] : undefined
  return read && ((time, timeZone) => BigInt(read(clockIn(time, timeZone))))
}

/** A time whose UTC is what the clocks of a zone show. @throws RangeError for an unknown zone */
function clockIn(time: Date, timeZone: string): Date {
  if (timeZone === 'UTC') return time
  const form = new Intl.DateTimeFormat('en-US', { timeZone, hourCycle: 'h23', ...FIELDS })
  const shown = new Map(form.formatToParts(time).map(({ type, value }) => [type, Number(value)]))
  const [year, month, day, ...clock] = NAMES.map((name) => shown.get(name) ?? 0)
  const [hours = 0, minutes = 0, seconds = 0] = clock
  const date = dateOf(year, month, day)
  return new Date(date + ((hours * 60 + minutes) * 60 + seconds) * 1000 + time.getUTCMilliseconds())
}

const FIELDS = {
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
  hour: 'numeric',
  minute: 'numeric',
  second: 'numeric',
} as const

const NAMES = ['year', 'month', 'day', 'hour', 'minute', 'second'] as const

/** Milliseconds since 1970 of a day, from 1; other than `Date.UTC`, also of the years before 100. */
function dateOf(year = 1970, month = 1, day = 1): number {
  return new Date(0).setUTCFullYear(year, month - 1, day)
}
