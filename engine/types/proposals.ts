import { z } from 'zod'
import { Constants } from '../database.types.js'
import { count, id, type JsonObject, jsonObject } from './json.js'

export type RiskLevel = 'low' | 'medium' | 'high' | 'critical'

/** One unit of work in a template. Steps run in order unless any of them says `depends_on`. */
export interface TemplateStep {
  /** Default `step-<n>`, counted from 1. */
  key?: string | undefined
  /** `executor` or `executor:agent`, 1 to 100 characters. */
  kind: string
  /** Default: the part of `kind` before `:`. */
  executor?: string | undefined
  agent?: string | undefined
  /** May hold `{{steps.<key>.result.<path>}}`. */
  params?: JsonObject | undefined
  /** Keys of steps that must have succeeded; `[]` means at once. */
  depends_on?: string[] | undefined
  /** -100 to 100, the lower runs first. Default: the template's. */
  priority?: number | undefined
  /** Not before this time; or `delay_seconds` after the mission starts. */
  run_at?: string | undefined
  delay_seconds?: number | undefined
  /** 1 to 86400. */
  timeout_seconds?: number | undefined
  /** 0 to 100. Default: the worker policy's. */
  max_retries?: number | undefined
  /** Estimated cost in US dollars, counted against the daily budget. */
  cost_usd?: number | undefined
}

/** The mission that a proposal asks for. */
export interface ProposalTemplate {
  /** 1 to 200 characters. */
  title: string
  description?: string | undefined
  /** Left out, it counts as `medium`. */
  risk_level?: RiskLevel | undefined
  agent?: string | undefined
  /** -100 to 100, the lower runs first. Default 0. */
  priority?: number | undefined
  /** 1 to 100. */
  steps: TemplateStep[]
}

/** A template may come from outside: the gate checks it and answers `OPS_004` with the path at fault. */
export type TemplateInput = ProposalTemplate | JsonObject

export interface ProposalInput {
  template: TemplateInput
  /** Who asks: `api`, `trigger`, `reaction`, `manual`, `schedule`, … Caps can be set per source. */
  source: string
  /** The same key while its proposal is live answers with that proposal. */
  dedupe_key?: string | undefined
}

export interface ProposalBatchItem extends ProposalInput {
  /** Keeps `dedupe_key` taken for this long, also when its proposal has ended. */
  dedupe_minutes?: number | undefined
  /** The same key always answers with the first proposal. */
  idempotency_key?: string | undefined
  /** The agent that asks; it cannot approve its own proposal. */
  proposed_by?: string | undefined
}

export const proposalStatus = z.enum(Constants.public.Enums.ops_proposal_status)
export type ProposalStatus = z.infer<typeof proposalStatus>

/** What the gate, or a person, decided about a proposal. */
export const proposalOutcome = z.object({
  proposal_id: id,
  status: proposalStatus,
  /** Set when a mission was made. */
  mission_id: id.nullable(),
  /** A sentence for people. */
  reason: z.string().nullable(),
  /**
   * The same for programs: `auto_approved`, `approved`, `pending_approval`, `rejected`, `expired`; `duplicate` when live work
   * holds the dedupe key; or what had no room: `cap_daily`, `budget`, `depth`, …
   */
  code: z.string().nullable(),
  /** The numbers behind a cap's `code`. */
  verdict: jsonObject,
})
export type ProposalOutcome = z.infer<typeof proposalOutcome>

/** One item of a batch. An `invalid` one stops none of the others: its `code` is `OPS_004` or `OPS_011`, it has no proposal. */
export const proposalBatchOutcome = z.object({
  ...proposalOutcome.shape,
  /** Position in the batch, from 1. */
  ordinal: count,
  proposal_id: id.nullable(),
  status: z.enum([...proposalStatus.options, 'invalid']),
})
export type ProposalBatchOutcome = z.infer<typeof proposalBatchOutcome>

/** What the gate would say now. Asking changes nothing. */
export const gateVerdict = z.object({
  ok: z.boolean(),
  reason: z.string().nullable(),
  code: z.string().nullable(),
  verdict: jsonObject,
})
export type GateVerdict = z.infer<typeof gateVerdict>

/** A cap's counter today beside its limit; the limit is null where policy sets none. */
export const capUsage = z.object({
  /** The day that counts now, in the time zone of policy `proposal_caps`. */
  day: z.string(),
  /** `daily`, `source`, `agent`, `step_kind` or `pattern`. */
  scope: z.string(),
  /** Of the source, agent, … Empty for `daily`. */
  name: z.string(),
  used: count,
  max_units: count.nullable(),
  used_usd: count,
  max_usd: count.nullable(),
})
export type CapUsage = z.infer<typeof capUsage>

export interface Approval {
  /** The person who decides; never the agent that proposed. */
  actor: string
  /** The digest that was shown to the actor; if the proposal holds another, approval fails (`OPS_009`). */
  digest?: string | undefined
  note?: string | undefined
}

export interface Rejection {
  actor: string
  note?: string | undefined
}
