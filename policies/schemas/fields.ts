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

/** How often something may happen in a day; 0 forbids it. */
export const perDay = () => z.int().min(0).max(1_000_000)
