import { type Condition, compileCondition } from '../conditions/condition.js'
import { EventScope } from '../conditions/scope.js'
import { PolicyFault } from '../fault.js'
import type { Pattern } from '../schemas/reaction_matrix.js'
import { compileTemplate, type ProposalScope } from '../templates/proposal.js'
import { joinPath } from '../templates/scan.js'
import { type CompiledKey, compileKey } from './keys.js'
import { draw } from './probability.js'
import type { Decision, MatchableEvent, MatchContext, Mode, Unmet } from './types.js'

/** A pattern at work: decides about one event. May throw a PolicyFault, or anything on hostile input. */
export interface Rule {
  id: string
  mode: Mode
  path: string
  decide(event: MatchableEvent, context: MatchContext): Decision
}

/**
 * Prepares all that a pattern needs to decide.
 *
 * @param path where the pattern stands in the policy
 * @throws PolicyFault when its condition or one of its templates cannot be compiled
 */
export function compileRule(pattern: Pattern, path: string, salt: string): Rule {
  const { id, mode } = pattern
  const unmet = compileConditions(pattern, path)
  const propose = compileProposal(pattern, path)

  return {
    id,
    mode,
    path,
    decide(event, context) {
      if (!pattern.enabled) return { pattern_id: id, mode, decision: 'disabled' }
      const detail = unmet(event)
      if (detail) return { pattern_id: id, mode, decision: 'not_matched', detail }
      if (pattern.probability < 1) {
        const drawn = draw(event.event_id, id, salt)
        if (drawn >= pattern.probability) {
          return {
            pattern_id: id,
            mode,
            decision: 'probability',
            detail: { probability: pattern.probability, draw: drawn },
          }
        }
      }
      return propose(scopeOf(event, context))
    },
  }
}

/** Tags, source and condition, cheapest first. */
function compileConditions(pattern: Pattern, path: string): (event: MatchableEvent) => Unmet | undefined {
  const { tags, source, when } = pattern
  const wanted = new Set<unknown>(tags)
  const whenPath = joinPath(path, 'when')
  const condition = when === undefined ? undefined : compileWhen(when, whenPath)

  return (event) => {
    if (tags) {
      const given = ownField(event, 'tags')
      if (!Array.isArray(given) || !given.some((tag) => wanted.has(tag)))
        return { condition: 'tags', expected: tags }
    }
    if (source !== undefined) {
      const given = ownField(event, 'source')
      if (given !== source) {
        return {
          condition: 'source',
          expected: source,
          actual: typeof given === 'string' ? given.slice(0, 200) : null,
        }
      }
    }
    if (condition) {
      const verdict = condition(celScope(event))
      if (!verdict.ok) throw new PolicyFault(whenPath, verdict.message)
      if (!verdict.met) return { condition: 'when', expression: when ?? '' }
    }
    return undefined
  }
}

function compileWhen(expression: string, path: string): Condition {
  try {
    return compileCondition(expression)
  } catch (error) {
    throw new PolicyFault(path, error instanceof Error ? error.message : String(error))
  }
}

type Matched = Extract<Decision, { decision: 'matched' }>

function compileProposal(pattern: Pattern, path: string): (scope: ProposalScope) => Matched {
  const { id, mode, cooldown_minutes: minutes, threshold, proposal_source } = pattern
  const key = (source: string | undefined, ...at: string[]): CompiledKey | undefined =>
    source === undefined ? undefined : compileKey(source, at.reduce(joinPath, path))
  const cooldownKey = key(pattern.cooldown_key, 'cooldown_key')
  const thresholdKey = key(threshold?.key, 'threshold', 'key')
  const dedupeKey = key(pattern.dedupe_key, 'dedupe_key')
  const template = compileTemplate(pattern.template, joinPath(path, 'template'))

  // Field by field: spreading what may be missing takes longer than all the rest.
  return (scope) => {
    const cooldown = minutes > 0 ? { minutes, key: cooldownKey?.(scope) ?? '' } : undefined
    const filled = threshold && { ...threshold, key: thresholdKey?.(scope) ?? '' }
    const dedupe = dedupeKey?.(scope)
    const matched: Matched = {
      pattern_id: id,
      mode,
      decision: 'matched',
      proposal_source,
      template: template(scope),
    }
    if (cooldown) matched.cooldown = cooldown
    if (filled) matched.threshold = filled
    if (dedupe !== undefined) matched.dedupe_key = dedupe
    return matched
  }
}

const ownField = (event: MatchableEvent, name: string): unknown =>
  Object.hasOwn(event.data, name) ? event.data[name] : undefined

const celScope = ({ event_id, type, data, depth, created_at }: MatchableEvent): EventScope =>
  new EventScope(event_id, type, data, BigInt(depth), new Date(created_at))

const scopeOf = (event: MatchableEvent, { policies }: MatchContext): ProposalScope => ({
  event: {
    id: event.event_id,
    type: event.type,
    data: event.data,
    depth: event.depth,
    created_at: event.created_at,
  },
  policy: policies,
})
