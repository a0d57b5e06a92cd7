import { infiniteNumber, type JsonObject, OpsError, pathText } from '../../engine/index.js'

/**
 * Reads the JSON object that a delivery carries.
 *
 * @throws OpsError `OPS_011`
 */
export function parsePayload(text: string): JsonObject {
  const payload = parse(text)
  if (!isJsonObject(payload)) {
    throw new OpsError('OPS_011', 'The body of this delivery is not a JSON object.', {
      details: { path: 'body' },
    })
  }
  const beyond = infiniteNumber(payload)
  if (beyond) {
    const path = pathText(beyond)
    throw new OpsError('OPS_011', `${path} of this delivery is beyond what a JSON number can hold here.`, {
      details: { path },
    })
  }
  return payload
}

/** The type of an event that a source reports: what a type cannot hold becomes `_`. */
export function eventTypeOf(source: string, name: string): string {
  return `${source}:${name.replace(/[^A-Za-z0-9_.:-]+/g, '_')}`.slice(0, 200)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new OpsError('OPS_011', 'The body of this delivery is not JSON.', {
      details: { path: 'body' },
      cause: error,
    })
  }
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
