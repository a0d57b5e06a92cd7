import postgres from 'postgres'
import { paired } from '../harness/numbers.js'
import { allInTurn, type Measurement } from '../harness/rounds.js'
import { analyze } from '../harness/statistics.js'
import type { Contender, ContenderName, Context, Scenario } from '../harness/types.js'

const JOBS = 400_000
const contenders: ContenderName[] = ['ops-loop', 'graphile-worker, best', 'pg-boss, best']

/** Postgres cannot clean up what an older transaction might still see: each claim then has more to read over. */
export const openTransaction: Scenario = {
  name: 'open-transaction',
  question: 'what does a drain cost while another session keeps a transaction open?',
  async run(context) {
    const held = contenders.map((contender) => ({
      name: contender,
      contender,
      measure: (running: Contender) => underTransaction(running, () => drained(context, running)),
    }))
    const free = contenders.map((contender) => ({
      name: `${contender}, without that transaction`,
      contender,
      measure: (running: Contender) => drained(context, running),
    }))
    const subjects = await allInTurn(
      context,
      held.flatMap((one, n): Measurement[] => [one, free[n] ?? one]),
    )
    // Within each round: the machine may be a third slower in the next.
    const { ratio: kept } = paired(subjects[0]?.rounds ?? [], subjects[1]?.rounds ?? [])
    return [
      {
        metric: `Drain of ${jobs(context).toLocaleString('en')} under an open transaction`,
        unit: 'jobs/s',
        better: 'higher',
        subjects,
        goals: [{ goal: 'keeps 0.9 of its speed', measured: kept.toFixed(2), reached: kept >= 0.9 }],
      },
    ]
  },
}

function jobs({ quick }: Context): number {
  return quick ? JOBS / 20 : JOBS
}

async function drained(context: Context, contender: Contender): Promise<number> {
  const steps = jobs(context)
  await contender.call('fill', { missions: steps, shape: 'single' })
  await analyze(contender.database)
  const { ms } = await contender.call('drain', { steps })
  return steps / (ms / 1000)
}

/**
 * Keeps a transaction open that has written and has a snapshot, both older than all that happens meanwhile: no row that dies under it can be removed,
 * neither by vacuum nor by who comes across it, and no entry of an index can be marked as dead.
 */
async function underTransaction<T>({ database }: Contender, work: () => Promise<T>): Promise<T> {
  const sql = postgres(database.adminUrl, { max: 1 })
  const session = await sql.reserve()
  try {
    await session`begin isolation level repeatable read`
    const [begun] = await session<{ pid: number }[]>`select pg_backend_pid() as pid, pg_current_xact_id()`
    const before = await oldestSeen(database.adminUrl, begun?.pid)
    const result = await work()
    const after = await oldestSeen(database.adminUrl, begun?.pid)
    if (before === undefined || after !== before) throw new Error('the transaction did not stay open')
    await session`rollback`
    return result
  } finally {
    session.release()
    await sql.end({ timeout: 1 })
  }
}

/** The oldest transaction whose rows a session may still want to see. */
async function oldestSeen(url: string, pid: number | undefined): Promise<string | undefined> {
  const sql = postgres(url, { max: 1 })
  const [row] = await sql<{ xmin: string | null }[]>`
    select backend_xmin::text as xmin from pg_stat_activity where pid = ${pid ?? 0} and state = 'idle in transaction'`
  await sql.end()
  return row?.xmin ?? undefined
}
