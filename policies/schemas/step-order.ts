import { occurrences, stringsIn } from '../templates/scan.js'

export interface OrderedStep {
  key?: string | undefined
  depends_on?: readonly string[] | undefined
  params?: Readonly<Record<string, unknown>> | undefined
  run_at?: string | undefined
  delay_seconds?: number | undefined
}

export interface OrderProblem {
  path: (string | number)[]
  message: string
}

/** The key of a step, which counts from 1 where it has no name of its own. */
const keyOf = (step: { key?: string | undefined }, index: number): string => step.key ?? `step-${index + 1}`

/**
 * What is wrong with the order of a mission's steps: keys that are there twice, dependencies that do not exist or go
 * in a circle, and placeholders for results that need not be there yet.
 */
export function orderProblems(steps: readonly OrderedStep[]): OrderProblem[] {
  const problems: OrderProblem[] = []
  const keys = steps.map(keyOf)
  const position = new Map<string, number>()
  for (const [index, key] of keys.entries()) {
    if (position.has(key))
      problems.push({ path: [index, 'key'], message: `"${key}" is the key of another step` })
    else position.set(key, index)
  }
  for (const [index, step] of steps.entries()) {
    if (step.run_at !== undefined && step.delay_seconds !== undefined) {
      problems.push({ path: [index, 'delay_seconds'], message: 'goes with no run_at; give one of them' })
    }
    for (const [at, key] of (step.depends_on ?? []).entries()) {
      if (!position.has(key))
        problems.push({ path: [index, 'depends_on', at], message: `there is no step "${key}"` })
    }
  }
  if (problems.length > 0) return problems

  const before = ancestors(steps, keys)
  for (const [index, step] of steps.entries()) {
    const earlier = before.get(keys[index] ?? '') ?? new Set()
    if (earlier.has(keys[index] ?? '')) {
      problems.push({
        path: [index, 'depends_on'],
        message: 'goes in a circle: the step would wait for itself',
      })
    }
    for (const key of resultsUsed(step.params ?? {})) {
      if (!position.has(key)) problems.push({ path: [index, 'params'], message: `there is no step "${key}"` })
      else if (!earlier.has(key)) {
        problems.push({
          path: [index, 'params'],
          message: `uses the result of "${key}", which need not be there yet`,
        })
      }
    }
  }
  return problems
}

/** For each step, all that must have succeeded before it. */
function ancestors(steps: readonly OrderedStep[], keys: readonly string[]): Map<string, Set<string>> {
  const parents = new Map(
    steps.map((step, index) => [
      keys[index] ?? '',
      step.depends_on ?? keys.slice(Math.max(0, index - 1), index),
    ]),
  )
  const all = new Map<string, Set<string>>()
  for (const key of keys) {
    const found = new Set<string>()
    const open = [...(parents.get(key) ?? [])]
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (found.has(next)) continue
      found.add(next)
      open.push(...(parents.get(next) ?? []))
    }
    all.set(key, found)
  }
  return all
}

function resultsUsed(params: Readonly<Record<string, unknown>>): Set<string> {
  const used = new Set<string>()
  for (const { text } of stringsIn(params, '')) {
    for (const { path } of occurrences(text)) {
      if (path?.[0] === 'steps' && path[1] !== undefined) used.add(path[1])
    }
  }
  return used
}
