/** The way from event to mission for tests: reporting, settling what was matched, running reactions, asking why. */
import type { Decision as MatcherDecision, SettleItem } from '../../engine/index.js'
import { settlement } from '../../engine/settlement.js'
import type { Template } from './proposals.js'
import { noop, only } from './proposals.js'
import type { Connection } from './work.js'

export interface NewEvent {
  type: string
  data?: Record<string, unknown>
  dedupe_key?: string
}

/** What the matcher says about one pattern and one event. */
export interface Decision extends Omit<MatcherDecision, 'template'> {
  template?: Template
}

export interface Settled {
  event_id: string
  outcome: string
  queued: number
}

export interface RanReaction {
  reaction_id: string
  status: string
  proposal_id: string | null
  proposal_status: string | null
  mission_id: string | null
  code: string
  reason: string
}

export interface Traced {
  position: number
  entity: string
  id: string
  parent_id: string | null
  status: string
  summary: string
  details: Record<string, unknown>
}

export interface Why {
  pattern_id: string
  decision: string
  detail: Record<string, unknown>
  reaction_id: string | null
}

/** Reports events and answers their ids, in their order. */
export async function emit(sql: Connection, ...events: NewEvent[]): Promise<string[]> {
  const rows = await sql<{ event_id: string }[]>`
    select event_id from ops_emit_events(${JSON.stringify(events)}::text::jsonb) order by ordinal`
  return rows.map((row) => row.event_id)
}

export async function emitOne(sql: Connection, event: NewEvent): Promise<string> {
  return only(await emit(sql, event))
}

/** An active pattern that matched and answers with a mission of one step. */
export function matched(patternId: string, rest: Partial<Decision> = {}): Decision {
  return { pattern_id: patternId, decision: 'matched', mode: 'active', template: noop(), ...rest }
}

/** Settles events, each with its decisions, under one version of the reaction matrix (0: one without patterns). */
export function settle(
  sql: Connection,
  decisions: Record<string, Decision[]>,
  policyVersion = 0,
): Promise<Settled[]> {
  const items = Object.entries(decisions).map(([event_id, list]) => ({ event_id, decisions: list }))
  return settleItems(sql, items, policyVersion)
}

/** The same in any order, also of decisions that no matcher would make. */
export function settleItems(
  sql: Connection,
  items: readonly { event_id: string; type?: string; decisions: readonly object[]; error?: string }[],
  policyVersion = 0,
): Promise<Settled[]> {
  const whole = items.map((item) => ({ type: 'e', ...item })) as SettleItem[]
  const { p_events, p_matches } = settlement(whole)
  return sql<Settled[]>`
    select * from ops_settle_events(${policyVersion}, ${JSON.stringify(p_events)}::text::jsonb, ${JSON.stringify(p_matches)}::text::jsonb)`
}

export function runReactions(sql: Connection, limit = 50): Promise<RanReaction[]> {
  return sql<RanReaction[]>`select * from ops_run_reactions(${limit})`
}

/** Event → reaction → proposal → mission, in one go. */
export async function respond(
  sql: Connection,
  eventId: string,
  decision: Decision = matched('pattern'),
): Promise<RanReaction> {
  await settle(sql, { [eventId]: [decision] })
  return only(await runReactions(sql))
}

export function trace(sql: Connection, id: string): Promise<Traced[]> {
  return sql<Traced[]>`select * from ops_trace(${id}) order by position`
}

export function why(sql: Connection, eventId: string): Promise<Why[]> {
  return sql<Why[]>`select * from ops_why(${eventId})`
}

/** What was decided about an event, by pattern. */
export async function decisionsOn(sql: Connection, eventId: string): Promise<Record<string, string>> {
  return Object.fromEntries((await why(sql, eventId)).map((row) => [row.pattern_id, row.decision]))
}

/** The oldest events that nobody has settled, by id. */
export async function pending(sql: Connection, limit = 100): Promise<string[]> {
  const rows = await sql<{ event_id: string }[]>`select event_id from ops_pending_events(${limit})`
  return rows.map((row) => row.event_id)
}
