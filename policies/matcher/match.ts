import { type CompiledMatrix, faultOf } from './compile.js'
import type { Decision, MatchableEvent, MatchContext } from './types.js'

/**
 * What every pattern that answers events of this type decides about the event: an item for `settleEvents`. A pure
 * function of matrix, event and policies. Never throws: a pattern that fails decides `error`, and the others work.
 *
 * Cooldown, threshold, dedupe and depth are settled by the database, which alone knows what went before.
 *
 * @example
 * const matrix = compileMatrix(policies.reaction_matrix, { version })
 * await engine.settleEvents(matrix.version, events.map((event) => matchEvent(matrix, event, { policies })))
 */
export function matchEvent(
  matrix: CompiledMatrix,
  event: MatchableEvent,
  context: MatchContext,
): { event_id: string; type: string; decisions: Decision[] } {
  const { event_id, type } = event
  return { event_id, type, decisions: [...decisionsAbout(matrix, event, context)] }
}

/** The same one decision at a time, for a caller who does other things between them: each costs a bounded amount of work. */
export function* decisionsAbout(
  matrix: CompiledMatrix,
  event: MatchableEvent,
  context: MatchContext,
): Generator<Decision, void> {
  for (const rule of matrix.rulesFor(event.type)) {
    try {
      yield rule.decide(event, context)
    } catch (error) {
      yield { pattern_id: rule.id, mode: rule.mode, decision: 'error', detail: faultOf(error, rule.path) }
    }
  }
}
