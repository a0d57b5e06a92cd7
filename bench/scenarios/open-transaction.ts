import postgres from 'postgres'
import { median } from '../harness/numbers.js'
import { inTurn } from '../harness/rounds.js'
import type { Contender, ContenderName, Context, Scenario } from '../harness/types.js'

const jobs: Partial<Record<ContenderName, number>> = {
  'ops-loop': 400_000,
  'graphile-worker, best': 400_000,
  'pg-boss, best': 400_000,
}

/** Postgres cannot clean up what an older transaction might still see: each claim then has more to read over. */
export const openTransaction: Scenario = {
  name: 'open-transaction',
  question: 'what does a drain cost while another session keeps a transaction open?',
  async run(context) {
    const free = await inTurn(context, ['ops-loop'], (contender) => drained(context, contender))
    const held = await inTurn(
      context,
      ['ops-loop', 'graphile-worker, best', 'pg-boss, best'],
      async (contender) => {
        const release = await holdTransaction(contender.database.adminUrl)
        try {
          return await drained(context, contender)
        } finally {
          await release()
        }
      },
    )
    const kept = median(held[0]?.rounds ?? []) / median(free[0]?.rounds ?? [])
    const goal = { goal: 'keeps 0.9 of its speed', measured: kept.toFixed(2), reached: kept >= 0.9 }
    const unheld = free.map((subject) => ({ ...subject, name: 'ops-loop, without that transaction' }))
    return [
      {
        metric: 'Drain under an open transaction',
        unit: 'jobs/s',
        better: 'higher',
        subjects: [...held, ...unheld],
        goals: [goal],
      },
    ]
  },
}

async function drained(context: Context, contender: Contender): Promise<number> {
  const steps = Math.round((jobs[contender.name] ?? 0) / (context.quick ? 20 : 1))
  await contender.call('fill', { missions: steps, shape: 'single' })
  const { ms } = await contender.call('drain', { steps })
  return steps / (ms / 1000)
}

async function holdTransaction(url: string): Promise<() => Promise<void>> {
  const sql = postgres(url, { max: 1 })
  const session = await sql.reserve()
  await session`begin isolation level repeatable read`
  await session`select txid_current()`
  return async () => {
    await session`rollback`
    session.release()
    await sql.end()
  }
}
