/** What the tests of this folder share. */
import webhooks from '@octokit/webhooks-examples/api.github.com/index.json' with { type: 'json' }
import { defaultPolicies } from './defaults.js'
import { compileMatrix } from './matcher/compile.js'
import { matchEvent } from './matcher/match.js'
import type { Decision, MatchableEvent } from './matcher/types.js'

type Data = Readonly<Record<string, unknown>>

let events = 0

/** An event, with an id of its own. */
export function event(type: string, data: Data = {}, rest: Partial<MatchableEvent> = {}): MatchableEvent {
  return { event_id: `event-${events++}`, type, data, depth: 0, created_at: '2026-01-31T09:00:00Z', ...rest }
}

/** Every webhook payload that GitHub documents, as the events that they become. */
export function githubEvents(): MatchableEvent[] {
  return webhooks.flatMap(({ name, examples }) =>
    examples.map((payload: Data) => {
      const type = typeof payload.action === 'string' ? `github:${name}.${payload.action}` : `github:${name}`
      return event(type, { ...payload, source: 'github' })
    }),
  )
}

/** A pattern that answers `app:*` with one noop step, and whatever else it is told. */
export function pattern(fields: Data = {}): Record<string, unknown> {
  return { id: 'p', event_type: 'app:*', template: template(), ...fields }
}

/** A template with one noop step with these params. */
export function template(params: Data = {}, fields: Data = {}): Record<string, unknown> {
  return { title: 'Do it', steps: [{ kind: 'noop', params }], ...fields }
}

/** What patterns decide about an event. */
export function decide(
  patterns: readonly unknown[],
  of: MatchableEvent,
  policies: Data = defaultPolicies,
  salt = '',
): Decision[] {
  return matchEvent(compileMatrix({ patterns, salt }, { version: 1 }), of, { policies }).decisions
}
