/** The gate's verbs for tests: proposals, decisions on them, and what the counters say. */
import postgres from 'postgres'
import type { TestDatabase } from '../../test/support/database.js'
import type { Connection, StepTemplate } from './work.js'

export interface Template {
  title: string
  description?: string
  risk_level?: string
  agent?: string
  priority?: number
  steps: StepTemplate[]
}

/** What every function of the gate answers for one proposal. */
export interface Answer {
  proposal_id: string
  status: string
  mission_id: string | null
  reason: string
  code: string
  verdict: Record<string, unknown>
}

export interface Item {
  template: unknown
  source?: unknown
  dedupe_key?: string
  dedupe_minutes?: unknown
  idempotency_key?: string
  proposed_by?: string
}

/** A template of so many steps that do nothing. */
export function noop(steps = 1, rest: Partial<Template> = {}): Template {
  return {
    title: 'a mission',
    risk_level: 'low',
    steps: Array.from({ length: steps }, () => ({ kind: 'noop' })),
    ...rest,
  }
}

/** Through the single entry. */
export async function propose(
  sql: Connection,
  template: unknown = noop(),
  options: { source?: string; dedupeKey?: string } = {},
): Promise<Answer> {
  const { source = 'api', dedupeKey = null } = options
  return only(
    await sql<Answer[]>`
      select * from ops_create_proposal_and_maybe_autoapprove(
        ${dedupeKey}, ${source}, ${JSON.stringify(template)}::text::jsonb)`,
  )
}

/** Through the batch entry. Items without a source come from `api`. */
export async function proposeAll(sql: Connection, items: Item[]): Promise<Answer[]> {
  const withSource = items.map((item) => ({ source: 'api', ...item }))
  return sql<Answer[]>`
    select proposal_id, status, mission_id, reason, code, verdict
    from ops_create_proposals(${JSON.stringify(withSource)}::text::jsonb) order by ordinal`
}

export async function proposeOne(sql: Connection, item: Item): Promise<Answer> {
  return only(await proposeAll(sql, [item]))
}

export async function approve(
  sql: Connection,
  proposalId: string,
  {
    actor = 'dana',
    digest = null,
    note = null,
  }: { actor?: string; digest?: string | null; note?: string | null } = {},
): Promise<Answer> {
  return only(
    await sql<Answer[]>`select * from ops_approve_proposal(${proposalId}, ${actor}, ${digest}, ${note})`,
  )
}

export async function reject(sql: Connection, proposalId: string, actor = 'dana'): Promise<Answer> {
  return only(await sql<Answer[]>`select * from ops_reject_proposal(${proposalId}, ${actor})`)
}

export async function expire(sql: Connection, limit = 500): Promise<number> {
  return only(await sql<{ count: number }[]>`select ops_expire_proposals(${limit}) as count`).count
}

export type Foresight = Pick<Answer, 'reason' | 'code' | 'verdict'> & { ok: boolean }

/** What the gate would answer. */
export async function ask(sql: Connection, subject: Template | string): Promise<Foresight> {
  return only(
    typeof subject === 'string'
      ? await sql<Foresight[]>`select * from ops_gate_proposal(p_proposal_id => ${subject})`
      : await sql<Foresight[]>`
          select * from ops_gate_proposal(p_template => ${JSON.stringify(subject)}::text::jsonb)`,
  )
}

/** Units used today, by `scope` or `scope name`; counters that stand at zero are left out. */
export async function used(sql: Connection): Promise<Record<string, number>> {
  const rows = await sql<{ scope: string; name: string; used: number }[]>`
    select scope, name, used from ops_cap_usage() where used <> 0`
  return Object.fromEntries(rows.map((row) => [`${row.scope} ${row.name}`.trim(), row.used]))
}

/** Dollars reserved or spent today. */
export async function usedUsd(sql: Connection): Promise<number> {
  return only(
    await sql<{ usd: number }[]>`select used_usd::float8 as usd from ops_cap_usage() where scope = 'daily'`,
  ).usd
}

export async function proposalRow(sql: Connection, id: string): Promise<Record<string, unknown>> {
  return only(await sql<Record<string, unknown>[]>`select * from ops_mission_proposals where id = ${id}`)
}

export async function count(sql: Connection, relation: string): Promise<number> {
  return only(await sql<{ n: number }[]>`select count(*)::integer as n from ${sql.unsafe(relation)}`).n
}

/** An error as the engine raises it: its code, the sentence, the field at fault and the fix. */
export interface Refusal {
  code: string
  message: string
  path: string | null
  hint: string
}

/** What a call that must fail was refused with. */
export async function refusal(call: PromiseLike<unknown>): Promise<Refusal> {
  try {
    await call
  } catch (error) {
    if (!(error instanceof postgres.PostgresError)) throw error
    const detail: unknown = error.detail?.startsWith('{') ? JSON.parse(error.detail) : undefined
    const path =
      typeof detail === 'object' && detail !== null && 'path' in detail && typeof detail.path === 'string'
        ? detail.path
        : null
    return { code: error.code, message: error.message, path, hint: error.hint ?? '' }
  }
  throw new Error('the call was not refused')
}

/** A pool of so many connections, which the test ends. */
export function pool(database: Pick<TestDatabase, 'url'>, connections: number): Connection {
  return postgres(database.url, { max: connections, onnotice: () => undefined })
}

/** Resolves when so many sessions of this database wait for locks. */
export async function untilBlocked(observer: Connection, sessions: number): Promise<void> {
  const deadline = Date.now() + 10_000
  while (Date.now() < deadline) {
    const [row] = await observer<{ n: number }[]>`
      select count(*)::integer as n from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`
    if (row && row.n >= sessions) return
  }
  throw new Error(`${sessions} sessions should wait for locks, and do not`)
}

export function only<T>(rows: readonly T[]): T {
  const [row] = rows
  if (row === undefined || rows.length > 1) throw new Error(`one row expected, not ${rows.length}`)
  return row
}
