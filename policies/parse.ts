import { jsonSchemaOf } from './json-schema.js'
import { atOnce, compiling } from './matcher/compile.js'
import { type Problem, problemsOf } from './problems.js'
import { isPolicyKey, type PolicyKey, type PolicyValue, policyKeys, policySchemas } from './schemas/index.js'
import { suggestion } from './suggest.js'

export type Parsed<Value> = { ok: true; value: Value } | { ok: false; problems: Problem[] }

/**
 * Reads a policy: checks it, fills in defaults, resolves aliases. Of a reaction matrix also every condition and
 * template is compiled. Never throws.
 *
 * The value is for code to read; what goes into `ops_policy` is what the operator wrote.
 *
 * @example
 * parsePolicy('control', { max_dept: 3 })
 * // { ok: false, problems: [{ path: 'max_dept', message: 'is unknown; did you mean "max_depth"?' }] }
 */
export function parsePolicy<Key extends PolicyKey>(key: Key, value: unknown): Parsed<PolicyValue<Key>>
export function parsePolicy(key: string, value: unknown): Parsed<PolicyValue<PolicyKey>>
export function parsePolicy(key: string, value: unknown): Parsed<PolicyValue<PolicyKey>> {
  return atOnce(parsing(key, value))
}

/** The same in steps, for a caller who does other things between them: each costs a bounded amount of work. */
export function* parsing(key: string, value: unknown): Generator<void, Parsed<PolicyValue<PolicyKey>>, void> {
  if (!isPolicyKey(key)) {
    return {
      ok: false,
      problems: [{ path: '', message: `there is no policy "${key}"${suggestion(key, policyKeys)}` }],
    }
  }
  const parsed = policySchemas[key].safeParse(value)
  if (!parsed.success)
    return { ok: false, problems: problemsOf(parsed.error, jsonSchemaOf(policySchemas[key])) }
  if (key === 'reaction_matrix') {
    const { quarantined } = yield* compiling(value, { version: 0 })
    if (quarantined.length > 0) {
      return { ok: false, problems: quarantined.map(({ path, message }) => ({ path, message })) }
    }
  }
  return { ok: true, value: parsed.data }
}
