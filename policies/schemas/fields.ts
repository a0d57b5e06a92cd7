/**
 * The words that several policies share. Patterns stay within what POSIX and JavaScript read alike, and repeat
 * nothing more than 255 times: Postgres checks them too.
 */
import { z } from 'zod'

export const riskLevel = () => z.enum(['low', 'medium', 'high', 'critical'])

/** A word that names something: an agent, an executor, a service. */
const NAME = '[A-Za-z0-9][A-Za-z0-9_.-]*'

const matching = (pattern: string, max: number, form: string) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(new RegExp(`^${pattern}$`), `must be ${form}`)

const plainWord = 'letters, digits, "_", "." or "-"; placeholders are not allowed here'

export const agentName = () => matching(NAME, 100, plainWord)
export const executorName = () => matching(NAME, 64, plainWord)

/** `executor` or `executor:agent`. */
export const stepKind = () =>
  matching(`${NAME}(:${NAME})?`, 100, `"executor" or "executor:agent": ${plainWord}`)

/** Has no dots: `{{steps.<key>.result}}` is split at them. */
export const stepKey = () =>
  matching('[A-Za-z0-9][A-Za-z0-9_-]*', 64, 'letters, digits, "_" or "-"; placeholders are not allowed here')

export const sourceName = () =>
  matching(
    '[A-Za-z0-9][A-Za-z0-9_.:-]*',
    100,
    'letters, digits, "_", ".", ":" or "-"; placeholders are not allowed here',
  )

export const eventType = () =>
  matching('[A-Za-z0-9][A-Za-z0-9_.:-]*', 200, 'an event type such as "github:issues.opened"')

/** An event type in which `*` stands for any run of characters. */
export const eventGlob = () =>
  matching(
    '[A-Za-z0-9*][A-Za-z0-9_.:*-]*',
    200,
    'an event type such as "github:issues.opened", "*" for any characters',
  )

export const environmentVariable = () =>
  matching('[A-Z][A-Z0-9_]*', 100, 'the name of an environment variable')

/** A variable that policy may have sent to a service: no other secret of the process can be named. */
export const serviceSecret = () =>
  matching('OPS_SERVICE_[A-Z0-9_]*', 100, 'the name of an environment variable that begins with OPS_SERVICE_')

/** The id of a pattern: free text, since it may be the pattern's name. */
export const patternId = () => z.string().min(1).max(100)

/** Text that may hold placeholders and becomes a key. */
export const keyText = () => z.string().min(1).max(1000)

const isTimeZone = (zone: string): boolean => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }) !== undefined
  } catch {
    return false
  }
}

export const timeZone = () =>
  matching('[A-Za-z][A-Za-z0-9_+/-]*', 100, 'an IANA time zone such as "Europe/Berlin"')
    .refine(isTimeZone, 'is not a known IANA time zone')
    // So that the database checks it too: a day in an unknown zone would stop the gate.
    .meta({ format: 'time-zone' })

/** Whether there is such a time: the days of a month, the hours of a day and the offsets are those that Postgres knows. */
const isMoment = (text: string): boolean => {
  const two = (from: number) => Number(text.slice(from, from + 2))
  const [year, month, day, hour, minute] = [Number(text.slice(0, 4)), two(5), two(8), two(11), two(14)]
  const second = Number(/^:([0-9.]+)/.exec(text.slice(16))?.[1] ?? 0)
  const [, ahead, beyond] = /[+-]([0-9]{2}):?([0-9]{2})?$/.exec(text) ?? []
  const isDay = year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= daysOf(year, month)
  const isClock = minute <= 59 && second <= 60 && (hour * 60 + minute) * 60 + second <= 86_400
  return isDay && isClock && Number(ahead ?? 0) <= 15 && Number(beyond ?? 0) <= 59
}

/** Of a month from 1. */
const daysOf = (year: number, month: number): number =>
  new Date(new Date(0).setUTCFullYear(year, month, 0)).getUTCDate()

/** A time with its zone, at which something is to happen. */
export const moment = () =>
  z
    .string()
    .max(40)
    .regex(
      /^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$/,
      {
        error: 'must be a time with its zone, such as "2030-01-31T09:00:00Z"',
        abort: true,
      },
    )
    .refine(isMoment, 'is no time that there is')

/** How often something may happen in a day; 0 forbids it. */
export const perDay = () => z.int().min(0).max(1_000_000)
