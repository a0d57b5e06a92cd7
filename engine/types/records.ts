import { z } from 'zod'
import { count, id, jsonObject, timestamp } from './json.js'
import { type ProposalStatus, proposalStatus } from './proposals.js'
import { type MissionStatus, missionStatus, type StepStatus, stepStatus } from './steps.js'

/** What all but steps can be asked for. */
interface Filter {
  id?: string | undefined
  /** False leaves the engine's own synthetic canaries out. */
  canaries?: boolean | undefined
}

export interface EventFilter extends Filter {
  type?: string | undefined
  processed?: boolean | undefined
  root_event_id?: string | undefined
  /** False leaves the engine's own heartbeats out. */
  heartbeats?: boolean | undefined
}

export interface ProposalFilter extends Filter {
  status?: ProposalStatus | undefined
  source?: string | undefined
}

export interface MissionFilter extends Filter {
  status?: MissionStatus | undefined
}

export interface StepFilter {
  id?: string | undefined
  status?: StepStatus | undefined
  mission_id?: string | undefined
  kind?: string | undefined
  executor?: string | undefined
}

const text = z.string()

/** A table's row as JSON: the columns named here, and all others as they are. */
const record = z.looseObject({ id, created_at: timestamp })

export const eventRecord = record.extend({
  type: text,
  data: jsonObject,
  dedupe_key: text.nullable(),
  /** The mission, and the run, that caused it. */
  mission_id: id.nullable(),
  run_id: id.nullable(),
  root_event_id: id.nullable(),
  depth: count,
  processed_at: timestamp.nullable(),
})
export type EventRecord = z.infer<typeof eventRecord>

export const proposalRecord = record.extend({
  title: text.nullable(),
  source: text,
  status: proposalStatus,
  code: text.nullable(),
  reason: text.nullable(),
  template: jsonObject,
  /** What an approval is bound to. */
  digest: text.nullable(),
  dedupe_key: text.nullable(),
  proposed_by: text.nullable(),
  pattern_id: text.nullable(),
  reaction_id: id.nullable(),
  root_event_id: id.nullable(),
  expires_at: timestamp.nullable(),
  decided_at: timestamp.nullable(),
  decided_by: text.nullable(),
  mission_id: id.nullable(),
})
export type ProposalRecord = z.infer<typeof proposalRecord>

export const missionRecord = record.extend({
  title: text.nullable(),
  status: missionStatus,
  proposal_id: id,
  source: text.nullable(),
  agent: text.nullable(),
  root_event_id: id.nullable(),
  steps_total: count,
  /** Steps that have not ended. */
  steps_open: count,
  started_at: timestamp.nullable(),
  completed_at: timestamp.nullable(),
  ended_by: text.nullable(),
  end_reason: text.nullable(),
})
export type MissionRecord = z.infer<typeof missionRecord>

export const stepRecord = record.extend({
  mission_id: id,
  key: text,
  position: count,
  kind: text,
  executor: text.nullable(),
  agent: text.nullable(),
  status: stepStatus,
  params: jsonObject,
  /** Any JSON value; null until it succeeded. */
  result: z.unknown(),
  last_error: text.nullable(),
  depends_on: z.array(text),
  run_at: timestamp,
  attempt: count,
  failure_count: count,
  max_retries: count.nullable(),
  reserved_at: timestamp.nullable(),
  lease_expires_at: timestamp.nullable(),
  completed_at: timestamp.nullable(),
  end_reason: text.nullable(),
  cost_usd: count.nullable(),
})
export type StepRecord = z.infer<typeof stepRecord>
