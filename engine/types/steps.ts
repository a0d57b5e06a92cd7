import { z } from 'zod'
import { Constants } from '../database.types.js'
import type { EventInput } from './events.js'
import { count, id, type JsonObject, jsonObject, timestamp } from './json.js'

export const missionStatus = z.enum(Constants.public.Enums.ops_mission_status)
export type MissionStatus = z.infer<typeof missionStatus>

export const stepStatus = z.enum(Constants.public.Enums.ops_step_status)
export type StepStatus = z.infer<typeof stepStatus>

/** How a worker is, as it tells with each sign of life. */
/** What a worker may be handed while it sleeps: one step of one of these executors, leased for so long (default: as policy has it). */
export interface HandedSteps {
  executors: readonly string[]
  /** Where it listens for it: `ops_hand_` and 32 hexadecimal digits. Whoever knows them may listen too. */
  channel: string
  lease_seconds?: number | undefined
}

export interface WorkerHealth {
  /** Of what its machine or container allows it, in percent. */
  memory_percent: number
}

export interface WorkerRegistration {
  name: string
  /** The program's version. */
  version: string
  /** Names of the executors that this worker can run. */
  executors: string[]
  /** Steps it runs at the same time. */
  concurrency: number
  /** The newest database schema this program knows; a newer database refuses the worker (`OPS_011`). */
  schema_version: number
  /** What the worker's environment says; the step and the policy come first. */
  settings?: { max_retries?: number | undefined; lease_minutes?: number | undefined } | undefined
}

/** What a worker needs to know from the database; read again with every heartbeat. */
export const workerSettings = z.object({
  worker_id: id,
  schema_version: count,
  worker_policy: jsonObject,
  agent_roles: jsonObject,
  control: jsonObject,
})
export type WorkerSettings = z.infer<typeof workerSettings>

export interface ClaimRequest {
  worker_id: string
  executors: string[]
  /** At most this many steps. */
  limit: number
  /** Default: the worker policy's `lease_minutes`. */
  lease_seconds?: number | undefined
  /** Of these executors at most so many, 0 to 1000, so that a busy one leaves room for the others. */
  room?: Readonly<Record<string, number>> | undefined
  /**
   * Where to begin in the order of these executors: behind the last step that was given. Saves reading over thousands of
   * claimed ones while much is drained; what came to stand before it is not seen, so leave it out now and then.
   */
  past?: Readonly<Record<string, ClaimPlace>> | undefined
}

/** A step's place in the order in which its executor's steps are claimed. */
export type ClaimPlace = Pick<ClaimedStep, 'priority' | 'run_at' | 'step_id'>

/** A step under lease. */
export const claimedStep = z.object({
  /** Also the idempotency key for the outside world: it stays the same over all attempts. */
  step_id: id,
  /** Proves that the lease is still held; every write carries it. */
  token: id,
  mission_id: id,
  key: z.string(),
  kind: z.string(),
  executor: z.string(),
  agent: z.string().nullable(),
  params: jsonObject,
  /** Results by step key of the mission's succeeded steps; null when `params` refers to none. */
  inputs: jsonObject.nullable(),
  /** From 1; every claim counts. */
  attempt: count,
  failure_count: count,
  max_retries: count,
  timeout_seconds: count.nullable(),
  /** By the database's clock. */
  lease_expires_at: timestamp,
  lease_seconds: count,
  mission_title: z.string().nullable(),
  depth: count,
  priority: count,
  run_at: timestamp,
})
export type ClaimedStep = z.infer<typeof claimedStep>

/** The right to write one step. */
export interface Lease {
  step_id: string
  token: string
}

/** `lost`: the token is no longer the step's; what was sent has changed nothing. */
export const leaseOutcome = z.enum(['ok', 'lost'])
export type LeaseOutcome = z.infer<typeof leaseOutcome>

export const renewedStep = z.object({
  step_id: id,
  /** `busy`: somebody else holds the row at this moment; ask again. */
  outcome: z.enum(['ok', 'lost', 'busy']),
  lease_expires_at: timestamp.nullable(),
})
export type RenewedStep = z.infer<typeof renewedStep>

/** What a run may report besides its outcome. */
interface RunReport extends Lease {
  /** Kept with the run: usage, durations, exit codes. */
  meta?: JsonObject | undefined
  /** Money spent, in US dollars, at least 0. */
  cost_usd?: number | undefined
  /** Events that the executor emits; stored only if the lease is still held. */
  events?: EventInput[] | undefined
}

export interface StepResult extends RunReport {
  /** Any JSON value. */
  result?: unknown
}

export const completedStep = z.object({
  step_id: id,
  outcome: leaseOutcome,
  mission_id: id.nullable(),
  mission_status: missionStatus.nullable(),
})
export type CompletedStep = z.infer<typeof completedStep>

export interface StepFailure extends RunReport {
  /** For people; must not hold secrets. */
  error: string
  /** No further attempt. */
  permanent?: boolean | undefined
  /** Not before this many seconds; default: the policy's backoff. */
  retry_after_seconds?: number | undefined
}

export const failedStep = z.object({
  step_id: id,
  outcome: leaseOutcome,
  /** What the step is now. `queued`: tried again at `run_at`; `failed`: out of attempts, kept as a dead letter. */
  step_status: stepStatus.nullable(),
  run_at: timestamp.nullable(),
  mission_id: id.nullable(),
  mission_status: missionStatus.nullable(),
})
export type FailedStep = z.infer<typeof failedStep>

/** Run this step later; costs no failure. */
export interface StepSnooze extends Lease {
  seconds: number
  reason?: string | undefined
}

export const snoozedStep = z.object({ step_id: id, outcome: leaseOutcome, run_at: timestamp.nullable() })
export type SnoozedStep = z.infer<typeof snoozedStep>

export const releasedStep = z.object({ step_id: id, outcome: leaseOutcome })
export type ReleasedStep = z.infer<typeof releasedStep>

export const leaseRecovery = z.object({ requeued_steps: count, failed_steps: count })
export type LeaseRecovery = z.infer<typeof leaseRecovery>

export const staleRecovery = z.object({ recovered_steps: count })
export type StaleRecovery = z.infer<typeof staleRecovery>
