import { z } from 'zod'
import { PolicyFault } from '../fault.js'
import { jsonSchemaOf } from '../json-schema.js'
import { problemsOf } from '../problems.js'
import { eventGlob } from '../schemas/fields.js'
import { MOST_PATTERNS, patternSchema } from '../schemas/reaction_matrix.js'
import { joinPath } from '../templates/scan.js'
import { compileRule, type Rule } from './rule.js'
import { TypeIndex } from './type-index.js'
import type { Fault, Quarantined } from './types.js'

/** A reaction matrix at work. */
export interface CompiledMatrix {
  /** The version of the policy that it was made from. */
  version: number
  /** Patterns that are out of service, with the first thing that is wrong with each. */
  quarantined: readonly Quarantined[]
  /** The rules for an event type, in the order of the policy. */
  rulesFor(type: string): readonly Rule[]
}

/**
 * Prepares a reaction matrix for matching, once for each version of the policy. Never throws: a pattern that is not
 * valid is listed in `quarantined`, decides `error` about its events, and the others work.
 */
export function compileMatrix(value: unknown, of: { version: number }): CompiledMatrix {
  return atOnce(compiling(value, of))
}

/** Goes through all the steps of something that could also be done with pauses. */
export function atOnce<Result>(steps: Iterator<unknown, Result, void>): Result {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

/** The same pattern by pattern, for a caller who does other things between them: each costs a bounded amount of work. */
export function* compiling(
  value: unknown,
  { version }: { version: number },
): Generator<void, CompiledMatrix, void> {
  const index = new TypeIndex<Rule>()
  const quarantined: Quarantined[] = []
  const ids = new Set<string>()
  const matrix = matrixSketch.safeParse(value)
  if (!matrix.success) {
    const [problem] = problemsOf(matrix.error, {})
    quarantined.push({
      pattern_id: 'reaction_matrix',
      code: 'OPS_008',
      path: '',
      message: 'is not valid',
      ...problem,
    })
  }
  for (const [position, raw] of (matrix.data?.patterns ?? []).entries()) {
    const path = joinPath('patterns', position)
    const sketch = patternSketch.parse(raw)
    try {
      const { types, rule } = readRule(raw, path, matrix.data?.salt ?? '')
      if (ids.has(rule.id))
        throw new PolicyFault(joinPath(path, 'id'), `"${rule.id}" is the id of another pattern`)
      ids.add(rule.id)
      index.add(types, rule)
    } catch (error) {
      const own = sketch.id ?? sketch.name ?? path
      const broken = { pattern_id: ids.has(own) ? path : own, ...faultOf(error, path) }
      quarantined.push(broken)
      index.add(sketch.types, brokenRule(broken, sketch))
    }
    yield
  }
  return { version, quarantined, rulesFor: (type) => (type.startsWith('heartbeat:') ? [] : index.find(type)) }
}

/** What went wrong, with a path into the policy. */
export function faultOf(error: unknown, path: string): Fault {
  const message = error instanceof Error ? error.message : String(error)
  return { code: 'OPS_008', path: error instanceof PolicyFault ? error.path : path, message }
}

function readRule(raw: unknown, path: string, salt: string): { types: string[]; rule: Rule } {
  const parsed = patternSchema.safeParse(raw)
  if (parsed.success) return { types: parsed.data.event_types, rule: compileRule(parsed.data, path, salt) }
  const [problem] = problemsOf(parsed.error, jsonSchemaOf(patternSchema), path)
  throw new PolicyFault(problem?.path ?? path, problem?.message ?? 'is not valid')
}

/** As much of a matrix as is needed to reach its patterns. */
const matrixSketch = z.object({
  patterns: z.array(z.unknown()).max(MOST_PATTERNS).default([]),
  salt: z.string().catch(''),
})

type Sketch = z.output<typeof patternSketch>

/** What can be made out of a pattern that is not valid: enough to report it where it should have decided. */
const patternSketch = z
  .object({
    id: z.string().min(1).optional().catch(undefined),
    name: z.string().min(1).optional().catch(undefined),
    enabled: z.boolean().catch(true),
    mode: z.enum(['active', 'shadow']).catch('active'),
    event_type: z.unknown().optional(),
    type: z.unknown().optional(),
  })
  .catch({ enabled: true, mode: 'active', event_type: undefined, type: undefined })
  .transform(({ event_type, type, ...rest }) => ({
    ...rest,
    types: [event_type, type].flat().flatMap((glob) => eventGlob().safeParse(glob).data ?? []),
  }))

function brokenRule({ pattern_id, ...detail }: Quarantined, { enabled, mode }: Sketch): Rule {
  return {
    id: pattern_id,
    mode,
    path: detail.path,
    decide: () =>
      enabled ? { pattern_id, mode, decision: 'error', detail } : { pattern_id, mode, decision: 'disabled' },
  }
}
