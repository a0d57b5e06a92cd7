/** After every case: the engine's invariants, and the ledger beside what the database recorded. */
import type postgres from 'postgres'
import { type Execution, monotonic, readLedger } from './ledger.js'

/** The database's clock and the ledger's are read by different calls. */
const TOLERANCE_MS = 20

interface Lease {
  step: string
  attempt: number
  status: string
  /** As monotonic time. */
  from: number
  /** Undefined while it is held. */
  until: number | undefined
}

/** Breaches of the engine's invariants, as sentences. */
export async function brokenInvariants(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ invariant: string; id: string; problem: string }[]>`
    select * from ops.broken_invariants()`
  return rows.map((row) => `${row.invariant}: ${row.problem} (${row.id})`)
}

export interface LedgerCheck {
  ledger: string
  /** When processes died, by pid: what they had begun ended then. */
  deaths: ReadonlyMap<number, number>
  /** A worker was stopped or cut off past its lease: what it runs on with then is not under a lease. */
  outlivesLease?: boolean
}

/** What the ledger and the database's record of attempts say against each other, as sentences. */
export async function contradictions(sql: postgres.Sql, check: LedgerCheck): Promise<string[]> {
  const executions = readLedger(check.ledger)
  const leases = await leasesOf(sql)
  return [
    ...repeated(executions),
    ...withoutLease(executions, leases),
    ...overlappingLeases(leases),
    ...successesWithoutEffect(executions, leases),
    ...liveTogether(executions, leases, check),
  ]
}

/** An attempt is executed once, by one process. */
function repeated(executions: Execution[]): string[] {
  const seen = new Set<string>()
  return executions.flatMap(({ step, attempt }) => {
    const key = `${step} ${attempt}`
    if (seen.has(key)) return [`attempt ${attempt} of step ${step} was executed twice`]
    seen.add(key)
    return []
  })
}

function withoutLease(executions: Execution[], leases: Map<string, Lease>): string[] {
  return executions.flatMap(({ step, attempt, start }) => {
    const lease = leases.get(`${step} ${attempt}`)
    if (!lease) return [`attempt ${attempt} of step ${step} was executed, but never claimed`]
    return start < lease.from - TOLERANCE_MS
      ? [`attempt ${attempt} of step ${step} was executed before it was claimed`]
      : []
  })
}

function overlappingLeases(leases: Map<string, Lease>): string[] {
  return [...leases.values()].flatMap((lease) => {
    const next = leases.get(`${lease.step} ${lease.attempt + 1}`)
    if (!next || (lease.until !== undefined && lease.until <= next.from)) return []
    return [
      `attempts ${lease.attempt} and ${next.attempt} of step ${lease.step} were leased at the same time`,
    ]
  })
}

/** What is recorded as success has happened. Steps of other executors have nothing in the ledger. */
function successesWithoutEffect(executions: Execution[], leases: Map<string, Lease>): string[] {
  const began = new Set(executions.map(({ step }) => step))
  const effects = new Set(
    executions.filter(({ effect }) => effect !== undefined).map(({ step, attempt }) => `${step} ${attempt}`),
  )
  return [...leases]
    .filter(([key, { step, status }]) => status === 'succeeded' && began.has(step) && !effects.has(key))
    .map(([key]) => `${key} is recorded as a success, but its effect did not happen`)
}

/** No two executions of a step are at work at the same time, both with a lease that holds. */
function liveTogether(
  executions: Execution[],
  leases: Map<string, Lease>,
  { deaths, outlivesLease = false }: LedgerCheck,
): string[] {
  const byStep = grouped(executions)
  const endOf = (execution: Execution) => {
    const end = execution.effect ?? execution.stopped ?? deaths.get(execution.pid) ?? monotonic()
    const lease = leases.get(`${execution.step} ${execution.attempt}`)?.until
    return outlivesLease && lease !== undefined ? Math.min(end, lease) : end
  }
  return [...byStep.values()].flatMap((runs) =>
    runs.flatMap((first, i) =>
      runs
        .slice(i + 1)
        .filter((second) => endOf(first) > second.start + TOLERANCE_MS)
        .map(
          (second) =>
            `attempts ${first.attempt} (process ${first.pid}) and ${second.attempt} (process ${second.pid}) of step ${first.step} were at work at the same time`,
        ),
    ),
  )
}

function grouped(executions: Execution[]): Map<string, Execution[]> {
  const groups = new Map<string, Execution[]>()
  for (const execution of executions) {
    groups.set(execution.step, [...(groups.get(execution.step) ?? []), execution])
  }
  return groups
}

/** Every attempt that was ever claimed, by `step attempt`. */
async function leasesOf(sql: postgres.Sql): Promise<Map<string, Lease>> {
  const rows = await sql<
    { step: string; attempt: number; status: string; from: number; until: number | null }[]
  >`
    select step_id as step, attempt, status, extract(epoch from started_at)::float8 * 1000 as from,
      extract(epoch from completed_at)::float8 * 1000 as until
    from ops_action_runs
    union all
    select id, attempt, 'running', extract(epoch from reserved_at)::float8 * 1000, null
    from ops_mission_steps where status = 'running'`
  const offset = Date.now() - monotonic()
  return new Map(
    rows.map(({ from, until, ...row }) => [
      `${row.step} ${row.attempt}`,
      { ...row, from: from - offset, until: until === null ? undefined : until - offset },
    ]),
  )
}
