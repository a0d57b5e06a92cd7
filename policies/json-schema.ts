import { z } from 'zod'
import { policyKeys, policySchemas } from './schemas/index.js'

export type JsonSchema = z.core.JSONSchema.JSONSchema

const made = new WeakMap<z.ZodType, JsonSchema>()

/**
 * The JSON Schema (draft 2020-12, nothing by reference) of what an operator writes: before defaults are filled in and
 * aliases resolved. It is shared: do not change it.
 */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const known = made.get(schema)
  if (known) return known
  const jsonSchema = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12' })
  made.set(schema, jsonSchema)
  return jsonSchema
}

/** The JSON Schema of every policy, by its key: what the database's check and editors work from. */
export function policyJsonSchemas(): Record<string, JsonSchema> {
  return Object.fromEntries(policyKeys.map((key) => [key, jsonSchemaOf(policySchemas[key])]))
}
