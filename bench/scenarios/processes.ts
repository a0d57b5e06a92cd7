import postgres from 'postgres'
import { median } from '../harness/numbers.js'
import type { Contender, Context, Scenario, Subject } from '../harness/types.js'

const STEPS = 60_000

/** Worker processes side by side on one database. */
export const processes: Scenario = {
  name: 'processes',
  question: 'does throughput hold when two, four and eight worker processes share a database?',
  async run(context) {
    const subjects: Subject[] = []
    let deadlocks = 0
    let leastShare = 1
    for (const workers of [1, 2, 4, 8]) {
      const rounds: number[] = []
      for (let round = 0; round < context.rounds; round++) {
        const shared = await shareDrain(context, workers)
        rounds.push(shared.speed)
        deadlocks += shared.deadlocks
        leastShare = Math.min(leastShare, shared.leastShare)
        context.log(`  ${workers} processes: ${shared.speed.toPrecision(4)} steps/s`)
      }
      subjects.push({ name: workers === 1 ? 'one process' : `${workers} processes`, rounds })
    }
    const [alone = 0, ...together] = subjects.map(({ rounds }) => median(rounds))
    const worst = Math.min(...together) / alone
    return [
      {
        metric: 'Drain by several worker processes',
        unit: 'steps/s',
        better: 'higher',
        subjects,
        goals: [
          {
            goal: 'throughput does not fall',
            measured: `at worst ${worst.toFixed(2)} of one`,
            reached: worst >= 0.95,
          },
          { goal: 'no deadlock', measured: `${deadlocks} deadlocks`, reached: deadlocks === 0 },
          {
            goal: 'no starved worker: each gets at least a quarter of its fair share',
            measured: `the least got ${leastShare.toFixed(2)} of it`,
            reached: leastShare >= 0.25,
          },
        ],
      },
    ]
  },
}

async function shareDrain(context: Context, workers: number) {
  const first = await context.contender('ops-loop')
  const others: Contender[] = []
  try {
    await first.call('prepare', {})
    await first.call('fill', { missions: context.quick ? STEPS / 20 : STEPS, shape: 'single' })
    for (let i = 1; i < workers; i++) others.push(await context.contender('ops-loop', first.database))
    const all = [first, ...others]
    // Each has loaded its program before the clock starts.
    await Promise.all(all.map((worker) => worker.memory()))
    const began = performance.now()
    const shares = await Promise.all(all.map((worker) => worker.call('share', {})))
    const seconds = (performance.now() - began) / 1000
    const steps = shares.reduce((sum, share) => sum + share.steps, 0)
    const leastShare = (Math.min(...shares.map((share) => share.steps)) * workers) / steps
    return { speed: steps / seconds, deadlocks: await deadlocksIn(first), leastShare }
  } finally {
    for (const worker of [...others, first]) await worker.stop()
  }
}

async function deadlocksIn({ database }: Contender): Promise<number> {
  const sql = postgres(database.adminUrl, { max: 1 })
  const [row] = await sql<{ deadlocks: number }[]>`
    select deadlocks::integer from pg_stat_database where datname = current_database()`
  await sql.end()
  return row?.deadlocks ?? 0
}
