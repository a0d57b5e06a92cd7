import { z } from 'zod'

/** A JSON object whose fields the engine does not look into. */
export type JsonObject = Record<string, unknown>

/** Only tells an object from anything else: policies, params and event data are checked by those who own them. */
export const jsonObject = z.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'expected a JSON object',
)

/** A point in time as ISO 8601 text with an offset and up to microseconds, e.g. `2026-01-31T09:00:00.123456+00:00`. */
export type Timestamp = string

export const timestamp = z.string()
export const id = z.string()
export const count = z.number()
