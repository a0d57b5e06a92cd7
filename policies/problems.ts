import type { z } from 'zod'
import type { JsonSchema } from './json-schema.js'
import { suggestion } from './suggest.js'
import { joinPath } from './templates/scan.js'

/** What is wrong with a policy, and where: `patterns[2].cooldown_minutes`; an empty path is the policy itself. */
export interface Problem {
  path: string
  message: string
}

/** Nobody reads more than these, and each costs the search for the name that was meant. */
const MOST_PROBLEMS = 100

/**
 * zod's findings as problems, the first hundred. Unknown fields get the nearest known name, by the JSON Schema of what was parsed.
 *
 * @param at the path of the parsed value inside the policy
 */
export function problemsOf(error: z.ZodError, schema: JsonSchema, at = ''): Problem[] {
  return error.issues
    .slice(0, MOST_PROBLEMS)
    .flatMap((issue) => {
      const path = issue.path.reduce<string>(
        (so, part) => joinPath(so, typeof part === 'symbol' ? '' : part),
        at,
      )
      if (issue.code === 'unrecognized_keys') {
        const known = fieldsAt(schema, issue.path)
        return issue.keys.slice(0, MOST_PROBLEMS).map((key) => ({
          path: joinPath(path, key),
          message: `is unknown${suggestion(key, known)}`,
        }))
      }
      if (issue.code === 'invalid_key') {
        return [{ path, message: `has a name that ${issue.issues[0]?.message ?? 'is not allowed'}` }]
      }
      return [{ path, message: wordsFor(issue) }]
    })
    .slice(0, MOST_PROBLEMS)
}

/** In the words of the database's own check, where zod has others. */
function wordsFor(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.message.endsWith('received undefined')) return 'is required'
      if (issue.expected === 'int') return 'must be a whole number'
      return issue.message.replace('Invalid input: expected', 'must be')
    case 'too_small':
      return limitWords(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum)
    case 'too_big':
      return limitWords(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum)
    case 'invalid_value':
      return `must be one of ${issue.values.map((value) => JSON.stringify(value)).join(', ')}`
    default:
      return issue.message
  }
}

function limitWords(origin: string, bound: string, limit: number | bigint): string {
  if (origin === 'string') return `must have ${bound} ${limit} characters`
  if (origin === 'array') return `must have ${bound} ${limit} items`
  return `must be ${bound} ${limit}`
}

/** The names of the fields that the schema knows at a path. */
function fieldsAt(schema: JsonSchema, path: readonly PropertyKey[]): string[] {
  let here: JsonSchema | undefined = schema
  for (const part of path) here = here && childSchema(here, part)
  return Object.keys(here?.properties ?? {})
}

function childSchema(schema: JsonSchema, part: PropertyKey): JsonSchema | undefined {
  const child =
    typeof part === 'number'
      ? schema.items
      : (schema.properties?.[String(part)] ?? schema.additionalProperties)
  return typeof child === 'object' && !Array.isArray(child) ? child : undefined
}
