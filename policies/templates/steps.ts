import { Budget } from './budget.js'
import { compileObject } from './json.js'
import { outcomeOf, type Rendered } from './outcome.js'
import type { Grammar, Scope } from './text.js'

/** Characters that the rendered params of a step may hold. */
export const MAX_PARAMS_CHARACTERS = 1_048_576

/** Braces that belong to nobody are text: params may quote an event that is full of them. */
const grammar: Grammar = { roots: new Set(['steps']), keepSteps: false, strict: false }

/**
 * Renders a step's params before it runs: `{{steps.<key>.result.<path>}}` becomes what an earlier step returned, and
 * `{{"{{"}}` two braces. Nothing that is filled in is read as a template. Never throws.
 *
 * To be called for every step, with `steps: {}` where it was given no results: text from events is kept literal by
 * way of those braces.
 *
 * @param scope.steps the results of the mission's finished steps, by key
 * @example
 * renderStepParams({ text: 'It is {{steps.look.result.color}}' }, { steps: { look: { color: 'red' } } })
 * // { ok: true, value: { text: 'It is red' } }
 */
export function renderStepParams(
  params: Readonly<Record<string, unknown>>,
  { steps }: { steps: Readonly<Record<string, unknown>> },
): Rendered<Record<string, unknown>, 'OPS_004'> {
  if (plainWithin(params, 1000) >= 0) return { ok: true, value: params }
  return outcomeOf('OPS_004', 'params', () =>
    compileObject(params, 'params', grammar)(resultsOf(steps), new Budget(MAX_PARAMS_CHARACTERS)),
  )
}

/**
 * What is left of a budget of characters after a value in which nothing is to be rendered, as in most: below zero when it has braces, is
 * large, or nests deep.
 */
function plainWithin(value: unknown, budget: number): number {
  if (budget < 0) return budget
  if (typeof value === 'string') return value.includes('{{') ? -1 : budget - value.length
  if (typeof value !== 'object' || value === null) return budget
  let left = budget - 20
  for (const [key, item] of Object.entries(value)) left = plainWithin(item, plainWithin(key, left))
  return left
}

const resultsOf = (steps: Readonly<Record<string, unknown>>): Scope => ({
  steps: Object.fromEntries(Object.entries(steps).map(([key, result]) => [key, { result }])),
})
