import { PolicyFault } from '../fault.js'
import { type Budget, MAX_DEPTH } from './budget.js'
import { joinPath } from './scan.js'
import { compileString, type Grammar, type Scope, unescapeSteps } from './text.js'

/** JSON with placeholders in its strings, ready to be rendered any number of times. */
export type CompiledJson = (scope: Scope, budget: Budget) => unknown

/**
 * Reads the placeholders of all strings in a JSON value. Names of fields hold none; literal braces are read in them where
 * the grammar is not strict.
 *
 * @throws PolicyFault where a placeholder is malformed or unknown, or the value nests too deep
 */
export function compileJson(value: unknown, path: string, grammar: Grammar, depth = 0): CompiledJson {
  if (typeof value === 'string') return compileString(value, path, grammar, depth)
  if (typeof value !== 'object' || value === null) {
    return (_scope, budget) => {
      budget.spend(0, path)
      return value
    }
  }
  if (depth >= MAX_DEPTH) throw new PolicyFault(path, `nests deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(value)) {
    const items = value.map((item, index) => compileJson(item, joinPath(path, index), grammar, depth + 1))
    return (scope, budget) => items.map((render) => render(scope, budget))
  }
  return compileObject(value, path, grammar, depth)
}

/** As `compileJson`, for what is known to be an object. */
export function compileObject(
  value: object,
  path: string,
  grammar: Grammar,
  depth = 0,
): (scope: Scope, budget: Budget) => Record<string, unknown> {
  const fields = Object.entries(value).map(([key, item]) => {
    const at = joinPath(path, key)
    if (grammar.strict && key.includes('{{'))
      throw new PolicyFault(at, 'has a name with "{{"; names are not rendered')
    return {
      name: grammar.strict ? key : unescapeSteps(key),
      render: compileJson(item, at, grammar, depth + 1),
    }
  })
  return (scope, budget) => {
    budget.spend(0, path)
    // Not by assignment: a field may be called `__proto__`.
    return Object.fromEntries(fields.map(({ name, render }) => [name, render(scope, budget)]))
  }
}
