import postgres from 'postgres'
import { median, show } from '../harness/numbers.js'
import type { Contender, Context, Database, Scenario, Subject } from '../harness/types.js'

const STEPS = 200_000
/** Each process does some of the work before the clock starts. */
const WARM_UP_STEPS = 2_000
const COUNTS = [1, 2, 4, 8]

/** What one drain by several processes has shown. */
interface Shared {
  /** Steps per second. */
  speed: number
  deadlocks: number
  /** What the least busy process did, of what would be fair. */
  leastShare: number
}

/** Worker processes side by side on one database. */
export const processes: Scenario = {
  name: 'processes',
  question: 'does throughput hold when two, four and eight worker processes share a database?',
  async run(context) {
    const all = new Map<number, Shared[]>(COUNTS.map((count) => [count, []]))
    for (let round = 1; round <= context.rounds; round++) {
      for (const [count, drains] of all) {
        const shared = await shareDrain(context, count)
        drains.push(shared)
        context.log(
          `  round ${round}: ${name(count)} ${show(shared.speed)} steps/s, the least busy did ${shared.leastShare.toFixed(2)} of its share, ${shared.deadlocks} deadlocks`,
        )
      }
    }
    const subjects = (of: (shared: Shared) => number): Subject[] =>
      [...all].map(([count, drains]) => ({ name: name(count), rounds: drains.map(of) }))
    const speeds = subjects(({ speed }) => speed)
    const [alone = Number.NaN, ...together] = speeds.map(({ rounds }) => median(rounds))
    const worst = Math.min(...together) / alone
    const drains = [...all.values()].flat()
    const deadlocks = drains.reduce((sum, shared) => sum + shared.deadlocks, 0)
    const leastShare = Math.min(...drains.map((shared) => shared.leastShare))
    return [
      {
        metric: 'Drain by several worker processes',
        unit: 'steps/s',
        better: 'higher',
        subjects: speeds,
        goals: [
          {
            goal: 'throughput does not fall',
            measured: `at worst ${worst.toFixed(2)} of one`,
            reached: worst >= 0.95,
          },
          { goal: 'no deadlock', measured: `${deadlocks} deadlocks`, reached: deadlocks === 0 },
        ],
      },
      {
        metric: 'What the least busy process did',
        unit: 'of a fair share',
        better: 'higher',
        subjects: subjects((shared) => shared.leastShare),
        goals: [
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

function name(count: number): string {
  return count === 1 ? 'one process' : `${count} processes`
}

async function shareDrain(context: Context, count: number): Promise<Shared> {
  const first = await context.contender('ops-loop')
  const others: Contender[] = []
  try {
    await first.call('prepare', {})
    for (let i = 1; i < count; i++) others.push(await context.contender('ops-loop', first.database))
    const all = [first, ...others]
    const together = () => Promise.all(all.map((worker) => worker.call('share', {})))
    await first.call('fill', { missions: WARM_UP_STEPS * count, shape: 'single' })
    await together()
    const steps = context.quick ? STEPS / 20 : STEPS
    await first.call('fill', { missions: steps, shape: 'single' })
    const began = performance.now()
    const shares = (await together()).map((share) => share.steps)
    const seconds = (performance.now() - began) / 1000
    const done = shares.reduce((sum, share) => sum + share, 0)
    if (done !== steps) throw new Error(`${done} of ${steps} steps succeeded`)
    return {
      speed: steps / seconds,
      deadlocks: await deadlocksIn(first.database),
      leastShare: (Math.min(...shares) * count) / steps,
    }
  } finally {
    for (const worker of [...others, first]) await worker.stop()
  }
}

/** Sessions tell what they have counted when they end, at the latest. */
async function deadlocksIn(database: Database): Promise<number> {
  const sql = postgres(database.adminUrl, { max: 1 })
  await sql`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`
  const [row] = await sql<{ deadlocks: number }[]>`
    select deadlocks::integer from pg_stat_database where datname = current_database()`
  await sql.end()
  return row?.deadlocks ?? 0
}
