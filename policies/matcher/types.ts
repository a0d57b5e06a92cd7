import type { Template } from '../schemas/template.js'

/** The part of an event that patterns look at; what `ops_pending_events` gives fits. */
export interface MatchableEvent {
  event_id: string
  type: string
  data: Readonly<Record<string, unknown>>
  /** Missions between the event that began the chain and this one. */
  depth: number
  /** ISO 8601. */
  created_at: string
}

export interface MatchContext {
  /** The policies in force, by key, for `{{policy.…}}` and `{{role.…}}`. */
  policies: Readonly<Record<string, unknown>>
}

export type Mode = 'active' | 'shadow'

/** What is wrong with a pattern. */
export interface Fault {
  code: 'OPS_008'
  /** Where in the policy: `patterns[3].when`. */
  path: string
  message: string
}

/** Which condition an event did not meet. */
export type Unmet =
  | { condition: 'tags'; expected: readonly string[] }
  | { condition: 'source'; expected: string; actual: string | null }
  | { condition: 'when'; expression: string }

/** What one pattern decided about one event, as `settleEvents` takes it. */
export type Decision = { pattern_id: string; mode: Mode } & (
  | { decision: 'disabled' }
  | { decision: 'not_matched'; detail: Unmet }
  | { decision: 'probability'; detail: { probability: number; draw: number } }
  | { decision: 'error'; detail: { code: Fault['code']; path: string; message: string } }
  | {
      decision: 'matched'
      cooldown?: { minutes: number; key: string }
      threshold?: { count: number; within_minutes: number; key: string }
      dedupe_key?: string
      proposal_source: string
      template: Template
    }
)

/** A pattern that is out of service until someone mends it. */
export interface Quarantined extends Fault {
  /** Its id, or `patterns[3]` where it has none. */
  pattern_id: string
}
