import { z } from 'zod'
import { count, id, type JsonObject, jsonObject, timestamp } from './json.js'
import { proposalStatus } from './proposals.js'

/** A fact to report. `heartbeat:*`, `mission:*`, `step:*` and `proposal:*` are the engine's own and refused (`OPS_011`). */
export interface EventInput {
  /** 1 to 200 characters of `A-Z a-z 0-9 _ . : -`, beginning with a letter or digit. */
  type: string
  /** At most 1 MiB as JSON. Default `{}`. */
  data?: JsonObject | undefined
  /** The same key twice stores one event; with another type or other data the second is a `conflict`. */
  dedupe_key?: string | undefined
}

/** What became of one reported event. */
export const emittedEvent = z.object({
  /** Position in the batch, from 1. */
  ordinal: count,
  /** The stored event; for a duplicate or conflict the one that holds the key. */
  event_id: id,
  /** `conflict`: the key belongs to an event with another type or other data, nothing was stored. */
  outcome: z.enum(['accepted', 'duplicate', 'conflict']),
})
export type EmittedEvent = z.infer<typeof emittedEvent>

/** An event that waits for the reaction matrix. */
export const pendingEvent = z.object({
  event_id: id,
  type: z.string(),
  data: jsonObject,
  /** How many missions stand between this event and the one that came from outside (0). */
  depth: count,
  /** The event that the chain began with; its own id at depth 0. */
  root_event_id: id,
  created_at: timestamp,
})
export type PendingEvent = z.infer<typeof pendingEvent>

/** What the matcher found for one pattern and one event, before the database settles what depends on state. */
export interface Decision {
  pattern_id: string
  decision: 'matched' | 'not_matched' | 'probability' | 'error' | 'disabled'
  /** Which condition decided, or the error as `{code, path, message}`. */
  detail?: JsonObject | undefined
  /** A shadow match is recorded and starts nothing. */
  mode: 'active' | 'shadow'
  cooldown?: { minutes: number; key: string } | undefined
  threshold?: { count: number; within_minutes: number; key: string } | undefined
  dedupe_key?: string | undefined
  proposal_source?: string | undefined
  /** The rendered template; needed when `matched`. */
  template?: JsonObject | undefined
}

/** All decisions about one event. Patterns that merely name another event type are left out. */
export interface SettleItem {
  event_id: string
  /** The event's. */
  type: string
  decisions: Decision[]
  /** Set when matching as a whole failed; the event is marked processed all the same. */
  error?: string | undefined
}

export const settledEvent = z.object({
  event_id: id,
  /** `skipped`: another heartbeat settled this event first. `early`: the event that was to be settled before is not yet. */
  outcome: z.enum(['settled', 'skipped', 'early']),
  /** Reactions that were queued. */
  queued: count,
})
export type SettledEvent = z.infer<typeof settledEvent>

/** A queued reaction that was taken to the gate. `failed`: it could not become a proposal; `code` and `reason` say why. */
export const reactionOutcome = z.object({
  reaction_id: id,
  status: z.enum(['done', 'failed']),
  proposal_id: id.nullable(),
  proposal_status: proposalStatus.nullable(),
  mission_id: id.nullable(),
  code: z.string().nullable(),
  reason: z.string().nullable(),
})
export type ReactionOutcome = z.infer<typeof reactionOutcome>
