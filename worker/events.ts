import type { EventInput } from '../engine/index.js'
import type { Mask } from './mask.js'
import { toStorableObject } from './results.js'

const EVENT_TYPE = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$/
const OWN_TYPE = /^(heartbeat|mission|step|proposal):/

/**
 * An event as it can be stored, with secrets masked. The database checks it again; here the executor that emits it is
 * still at work and gets to know.
 *
 * @throws TypeError that names the field
 */
export function checkEvent({ type, data, dedupe_key }: EventInput, mask: Mask): EventInput {
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
  const checked = toStorableObject(data ?? {}, { mask, path: `event '${type}': data` })
  if (!checked.ok) throw new TypeError(`${checked.problem.path} ${checked.problem.message}`)
  return { type, data: checked.value, dedupe_key }
}
