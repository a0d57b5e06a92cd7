import postgres from 'postgres'
import { paired } from '../harness/numbers.js'
import { allInTurn, type Measurement } from '../harness/rounds.js'
import { startServer } from '../harness/server.js'
import { inSlices } from '../harness/slices.js'
import { analyze } from '../harness/statistics.js'
import type { Contender, ContenderName, Context, Scenario } from '../harness/types.js'

const JOBS = 400_000
const contenders: ContenderName[] = ['ops-loop', 'graphile-worker, best', 'pg-boss, best']

/** Postgres cannot clean up what an older transaction might still see: each claim then has more to read over. */
export const openTransaction: Scenario = {
  name: 'open-transaction',
  question: 'what does a drain cost while another session keeps a transaction open?',
  async run(context) {
    // A transaction that has written keeps Postgres from tidying up in the server's other databases too.
    const undisturbed = await startServer()
    try {
      const subjects = await allInTurn(
        context,
        contenders.map(
          (contender): Measurement => ({
            contender,
            names: [contender, `${contender}, without that transaction`],
            async measure(open) {
              const held = await open()
              const free = await open(await undisturbed.emptyDatabase())
              const ms = await underTransaction(held, () => drainedInSlices(context, [held, free]))
              return ms.map((one) => jobs(context) / (one / 1000))
            },
          }),
        ),
      )
      const { ratio, low, high } = paired(subjects[0]?.rounds ?? [], subjects[1]?.rounds ?? [])
      return [
        {
          metric: `Drain of ${jobs(context).toLocaleString('en')} under an open transaction`,
          unit: 'jobs/s',
          better: 'higher',
          subjects,
          goals: [
            {
              goal: 'keeps 0.9 of its speed',
              measured: `${ratio.toFixed(2)}, middle half of the rounds ${low.toFixed(2)} to ${high.toFixed(2)}`,
              reached: ratio >= 0.9,
            },
          ],
        },
      ]
    } finally {
      await undisturbed.stop()
    }
  },
}

function jobs({ quick }: Context): number {
  return quick ? JOBS / 20 : JOBS
}

/** Both at the same time, in turns of two seconds: one drain after the other would meet a machine that has become a third slower or faster. */
async function drainedInSlices(context: Context, both: Contender[]): Promise<number[]> {
  const steps = jobs(context)
  for (const contender of both) {
    await contender.call('fill', { missions: steps, shape: 'single' })
    await analyze(contender.database)
  }
  return inSlices(both, (contender) => contender.call('drain', { steps }))
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
