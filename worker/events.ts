import type { EventInput } from '../engine/index.js'
import type { Mask } from './mask.js'
import { MAX_JSON_BYTES, toStorableObject } from './results.js'

const EVENT_TYPE = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$/
/** As `ops.event_problem` has them. */
const OWN_TYPE = /^(heartbeat|mission|step|proposal|canary|service):/
const OWN_DEDUPE_KEY = /^(mission:[0-9a-f-]{36}|schedule:.+):/s

/**
 * An event as it can be stored, with secrets masked. The database checks it again, but what passes here passes there: the
 * executor that emits a wrong one is told at once, and no batch of outcomes is refused because of it.
 *
 * @throws TypeError that names the field
 */
export function checkEvent({ type, data, ...event }: EventInput, mask: Mask): EventInput {
  // Plain JavaScript may emit anything.
  if (typeof type !== 'string') throw new TypeError('event type: must be text')
  if (event.dedupe_key !== undefined && typeof event.dedupe_key !== 'string')
    throw new TypeError(`event '${mask(type)}': dedupe_key must be text`)
  const dedupe_key = event.dedupe_key === undefined ? undefined : mask(event.dedupe_key)
  if (mask(type) !== type) throw new TypeError(`event type '${type}': must not hold a secret`)
  if (!EVENT_TYPE.test(type)) {
    throw new TypeError(
      `event type '${type}': must be 1 to 200 letters, digits, '_', '.', ':' or '-', beginning with a letter or digit`,
    )
  }
  if (OWN_TYPE.test(type))
    throw new TypeError(`event type '${type}': events of this kind are the engine's own`)
  if (dedupe_key !== undefined && (dedupe_key.length < 1 || dedupe_key.length > 500)) {
    throw new TypeError(`event '${type}': dedupe_key must have 1 to 500 characters`)
  }
  if (dedupe_key !== undefined && OWN_DEDUPE_KEY.test(dedupe_key)) {
    throw new TypeError(`event '${type}': dedupe_key '${dedupe_key}' belongs to the engine's own events`)
  }
  const checked = toStorableObject(data ?? {}, { mask, path: `event '${type}': data` })
  if (!checked.ok) throw new TypeError(`${checked.problem.path} ${checked.problem.message}`)
  if (storedBytes(checked.value) > MAX_JSON_BYTES) {
    throw new TypeError(
      `event '${type}': data is larger than 1 MiB as Postgres writes it: store it elsewhere and emit where it is`,
    )
  }
  return { type, data: checked.value, dedupe_key }
}

/** At most how many bytes `jsonb` has as text: with a space after each colon and comma, and numbers written out. */
export function storedBytes(value: unknown): number {
  if (Array.isArray(value)) {
    return value.reduce<number>((bytes, item) => bytes + storedBytes(item) + 2, 2)
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).reduce(
      (bytes, [key, item]) => bytes + textBytes(key) + storedBytes(item) + 4,
      2,
    )
  }
  if (typeof value === 'number') return numberBytes(value)
  return textBytes(value)
}

const textBytes = (value: unknown) => Buffer.byteLength(JSON.stringify(value))

/** `1e+21` is stored as 1 and twenty-one zeros. */
function numberBytes(value: number): number {
  const text = String(value)
  const exponent = Number(/e(.*)$/.exec(text)?.[1] ?? 0)
  return text.length + Math.abs(exponent)
}
