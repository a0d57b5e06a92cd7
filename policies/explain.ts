import { atOnce, compiling } from './matcher/compile.js'
import { decisionsAbout } from './matcher/match.js'
import type { Decision, MatchableEvent, MatchContext, Mode, Quarantined } from './matcher/types.js'
import { MOST_PATTERNS } from './schemas/reaction_matrix.js'

/** Why a pattern's event types leave an event out. */
export interface OtherType {
  pattern_id: string
  mode: Mode
  decision: 'not_matched'
  detail: { condition: 'event_type'; wanted: unknown; got: string }
}

/** What one pattern of a reaction matrix makes of one event. */
export type Explanation = Decision | OtherType

export interface Explained {
  /** One for each pattern, in the order of the policy. */
  patterns: Explanation[]
  /** Patterns that are out of service, whatever the event. */
  quarantined: readonly Quarantined[]
}

/**
 * What every pattern of a reaction matrix makes of one event, also those that answer other types. A pure function, and
 * never throws. Cooldown, threshold, dedupe and depth depend on what went before: of a match it says by which keys they go.
 *
 * @param matrix the policy `reaction_matrix` as an operator wrote it
 */
export function explainEvent(matrix: unknown, event: MatchableEvent, context: MatchContext): Explained {
  return atOnce(explaining(matrix, event, context))
}

/** The same in steps, for a caller who does other things between them: each costs a bounded amount of work. */
export function* explaining(
  matrix: unknown,
  event: MatchableEvent,
  context: MatchContext,
): Generator<void, Explained, void> {
  const compiled = yield* compiling(matrix, { version: 0 })
  const told = new Map<string, Decision>()
  for (const decision of decisionsAbout(compiled, event, context)) {
    told.set(decision.pattern_id, decision)
    yield
  }
  const patterns = rawPatterns(matrix).map((raw, position): Explanation => {
    const place = `patterns[${position}]`
    // The second pattern of the same id goes by its place.
    const id = [raw.id, place].find((name) => told.has(name)) ?? (raw.id || place)
    const decision = told.get(id) ?? otherType(id, raw, event.type)
    told.delete(id)
    return decision
  })
  return { patterns: [...patterns, ...told.values()], quarantined: compiled.quarantined }
}

interface RawPattern {
  id: string
  mode: unknown
  types: unknown
}

function rawPatterns(matrix: unknown): RawPattern[] {
  const { patterns } = Object(matrix)
  if (!Array.isArray(patterns) || patterns.length > MOST_PATTERNS) return []
  return patterns.map((raw: unknown) => {
    const { id, name, mode, event_type, type } = Object(raw)
    const own = [id, name].find((word) => typeof word === 'string' && word !== '')
    return { id: String(own ?? ''), mode, types: event_type ?? type ?? null }
  })
}

function otherType(pattern_id: string, { mode, types }: RawPattern, got: string): OtherType {
  return {
    pattern_id,
    mode: mode === 'shadow' ? 'shadow' : 'active',
    decision: 'not_matched',
    detail: { condition: 'event_type', wanted: types, got },
  }
}
