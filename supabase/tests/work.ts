/**
 * The engine's verbs for tests: missions, claims and outcomes, each one call of the SQL function of the same name.
 *
 * They take any connection, so that a test can say who does what inside which transaction.
 */
import type postgres from 'postgres'

export type Connection = postgres.Sql

export interface StepTemplate {
  key?: string
  kind?: string
  depends_on?: string[]
  params?: Record<string, unknown>
  priority?: number
  run_at?: string
  delay_seconds?: number
  timeout_seconds?: number
  max_retries?: number
  cost_usd?: number
  agent?: string
  executor?: string
  service?: string
}

export interface Step {
  id: string
  mission_id: string
  key: string
  status: 'waiting' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
  run_at: Date
  ready: boolean
  held: boolean
  attempt: number
  failure_count: number
  max_retries: number | null
  lease_token: string | null
  lease_expires_at: Date | null
  reserved_at: Date | null
  completed_at: Date | null
  timeout_seconds: number | null
  last_error: string | null
  end_reason: string | null
  result: unknown
}

export interface Claim {
  step_id: string
  token: string
  mission_id: string
  key: string
  inputs: Record<string, unknown> | null
  attempt: number
  failure_count: number
  max_retries: number
  timeout_seconds: number | null
  lease_expires_at: Date
  lease_seconds: number
}

/** What an outcome call takes for one step; `step_id` and `token` may come from a claim. */
export interface Outcome extends Lease {
  result?: unknown
  error?: string
  permanent?: boolean
  retry_after_seconds?: number
  seconds?: number
  reason?: string
  cost_usd?: number
  meta?: Record<string, unknown>
  events?: { type: string; data?: Record<string, unknown>; dedupe_key?: string }[]
}

export interface Lease {
  step_id: string
  token: string
}

export interface Mission {
  id: string
  proposalId: string
  /** The id of a step by its key. */
  step(key: string): string
}

/** A steps' argument as JSON text, so that postgres.js does not encode it twice. */
const json = (value: unknown) => JSON.stringify(value)

/** Proposes a mission that policy admits at once. Steps without a kind are `noop`. */
export async function startMission(
  sql: Connection,
  steps: StepTemplate[],
  rest: { title?: string; priority?: number; dedupeKey?: string; source?: string; agent?: string } = {},
): Promise<Mission> {
  const { dedupeKey, source = 'api', title = 'a mission', ...fields } = rest
  const template = { title, risk_level: 'low', ...fields, steps: steps.map((s) => ({ kind: 'noop', ...s })) }
  const [proposal] = await sql<{ proposal_id: string; mission_id: string | null; reason: string }[]>`
    select * from ops_create_proposal_and_maybe_autoapprove(${dedupeKey ?? null}, ${source}, ${json(template)}::text::jsonb)`
  if (!proposal?.mission_id) throw new Error(`no mission: ${proposal?.reason}`)
  const id = proposal.mission_id
  const byKey = new Map(Object.values(await stepsOf(sql, id)).map((step) => [step.key, step.id]))
  return {
    id,
    proposalId: proposal.proposal_id,
    step(key) {
      const found = byKey.get(key)
      if (!found) throw new Error(`the mission has no step ${key}`)
      return found
    },
  }
}

/** A mission's steps by key, in their order. */
export async function stepsOf(sql: Connection, missionId: string): Promise<Record<string, Step>> {
  const rows = await sql<
    Step[]
  >`select * from ops_mission_steps where mission_id = ${missionId} order by position, id`
  return Object.fromEntries(rows.map((step) => [step.key, step]))
}

/** A mission's steps as `{key: status}`. */
export async function statusesOf(sql: Connection, missionId: string): Promise<Record<string, string>> {
  const steps = await stepsOf(sql, missionId)
  return Object.fromEntries(Object.values(steps).map((step) => [step.key, step.status]))
}

export async function stepById(sql: Connection, id: string): Promise<Step> {
  const [step] = await sql<Step[]>`select * from ops_mission_steps where id = ${id}`
  if (!step) throw new Error(`there is no step ${id}`)
  return step
}

export interface MissionRow {
  status: string
  round: number
  steps_open: number
  started_at: Date | null
  completed_at: Date | null
  ended_by: string | null
  end_reason: string | null
}

export async function missionRow(sql: Connection, id: string): Promise<MissionRow> {
  const [mission] = await sql<MissionRow[]>`select * from ops_missions where id = ${id}`
  if (!mission) throw new Error(`there is no mission ${id}`)
  return mission
}

/** The types of the roll-up events that a mission has emitted, oldest first. */
export async function endsOf(sql: Connection, missionId: string): Promise<string[]> {
  const rows = await sql<{ type: string }[]>`
    select type from ops_agent_events where mission_id = ${missionId} and type like 'mission:%' order by created_at, id`
  return rows.map((row) => row.type)
}

/** The runs of a step as `[attempt, status]`. */
export async function runsOf(sql: Connection, stepId: string): Promise<[number, string][]> {
  const rows = await sql<{ attempt: number; status: string }[]>`
    select attempt, status from ops_action_runs where step_id = ${stepId} order by attempt`
  return rows.map((row) => [row.attempt, row.status])
}

export async function registerWorker(
  sql: Connection,
  name = 'worker-1',
  executors = ['noop'],
  settings: Record<string, number> = {},
): Promise<string> {
  const [row] = await sql<{ orders: { worker_id: string } }[]>`
    select ops_register_worker(${name}, '1.0.0', ${executors}, 8, 99, ${json(settings)}::text::jsonb) as orders`
  if (!row) throw new Error('no answer')
  return row.orders.worker_id
}

export function claim(
  sql: Connection,
  workerId: string | null,
  {
    executors = ['noop'],
    limit = 10,
    leaseSeconds = null,
  }: { executors?: string[]; limit?: number; leaseSeconds?: number | null } = {},
): Promise<Claim[]> {
  return sql<Claim[]>`select * from ops_claim_steps(${workerId}, ${executors}, ${limit}, ${leaseSeconds})`
}

/** Claims exactly one step. */
export async function claimOne(
  sql: Connection,
  workerId: string | null,
  options: { executors?: string[]; leaseSeconds?: number } = {},
): Promise<Claim> {
  const [claimed] = await claim(sql, workerId, { ...options, limit: 1 })
  if (!claimed) throw new Error('nothing to claim')
  return claimed
}

/** Leaves of a claim what an outcome call needs. */
export const lease = ({ step_id, token }: Lease): Lease => ({ step_id, token })

export function complete(
  sql: Connection,
  items: Outcome[],
): Promise<{ step_id: string; outcome: string; mission_status: string | null }[]> {
  return sql`select step_id, outcome, mission_status from ops_complete_steps(${json(items)}::text::jsonb)`
}

export function fail(
  sql: Connection,
  items: Outcome[],
): Promise<
  {
    step_id: string
    outcome: string
    step_status: string | null
    run_at: Date | null
    mission_status: string | null
  }[]
> {
  return sql`select step_id, outcome, step_status, run_at, mission_status from ops_fail_steps(${json(items)}::text::jsonb)`
}

export function snooze(
  sql: Connection,
  items: Outcome[],
): Promise<{ step_id: string; outcome: string; run_at: Date | null }[]> {
  return sql`select * from ops_snooze_steps(${json(items)}::text::jsonb)`
}

export function release(sql: Connection, items: Lease[]): Promise<{ step_id: string; outcome: string }[]> {
  return sql`select * from ops_release_steps(${json(items)}::text::jsonb)`
}

export function renew(
  sql: Connection,
  items: Lease[],
  leaseSeconds: number | null = null,
): Promise<{ step_id: string; outcome: string; lease_expires_at: Date | null }[]> {
  return sql`select * from ops_renew_steps(${json(items)}::text::jsonb, ${leaseSeconds})`
}

export async function recoverExpired(
  sql: Connection,
  limit = 500,
): Promise<{ requeued_steps: number; failed_steps: number }> {
  const [row] = await sql<{ requeued_steps: number; failed_steps: number }[]>`
    select * from ops_recover_expired_leases(${limit})`
  if (!row) throw new Error('no answer')
  return row
}

export async function recoverStale(
  sql: Connection,
  thresholdMinutes: number | null = null,
  limit = 500,
): Promise<number> {
  const [row] = await sql<{ recovered_steps: number }[]>`
    select * from ops_recover_stale_steps(${thresholdMinutes}, ${limit})`
  if (!row) throw new Error('no answer')
  return row.recovered_steps
}

export async function cancelMission(sql: Connection, id: string, reason: string | null = null) {
  const [row] = await sql<{ status: string; cancelled_steps: number }[]>`
    select status, cancelled_steps from ops_cancel_mission(${id}, 'dana', ${reason})`
  return row
}

export async function cancelStep(sql: Connection, id: string, reason: string | null = null) {
  const [row] = await sql<{ status: string; mission_status: string }[]>`
    select status, mission_status from ops_cancel_step(${id}, 'dana', ${reason})`
  return row
}

export async function retryStep(sql: Connection, id: string) {
  const [row] = await sql<{ status: string; mission_status: string; reopened_steps: number }[]>`
    select status, mission_status, reopened_steps from ops_retry_step(${id}, 'dana')`
  return row
}
