import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { median } from '../harness/numbers.js'
import type { Scenario } from '../harness/types.js'

const CHUNKS = 20

/** One worker, in one process, over a long time. */
export const memory: Scenario = {
  name: 'memory',
  question: 'does the memory of one worker grow over a million steps?',
  async run(context) {
    const chunk = (context.quick ? 20_000 : 1_000_000) / CHUNKS
    const contender = await context.contender('ops-loop')
    const megabytes: number[] = []
    try {
      await contender.call('prepare', {})
      await contender.call('watch', {})
      for (let i = 0; i < CHUNKS; i++) {
        await contender.call('fill', { missions: chunk, shape: 'single' })
        await allDone(contender.database.url)
        megabytes.push((await contender.memory()) / 1024 ** 2)
        context.log(
          `  after ${((i + 1) * chunk).toLocaleString('en')} steps: ${megabytes.at(-1)?.toFixed(0)} MB`,
        )
      }
    } finally {
      await contender.stop()
    }
    // The first tenth warms up.
    const steady = megabytes.slice(CHUNKS / 10)
    const middle = steady.length / 2
    const change = median(steady.slice(middle)) / median(steady.slice(0, middle))
    const most = Math.max(...megabytes)
    return [
      {
        metric: 'Resident memory of one worker',
        unit: 'MB',
        better: 'lower',
        subjects: [{ name: 'ops-loop, after each twentieth', rounds: megabytes }],
        goals: [
          {
            goal: 'flat within 10 %',
            measured: `second half ${change.toFixed(2)} of the first`,
            reached: change <= 1.1,
          },
          { goal: 'below 150 MB', measured: `${most.toFixed(0)} MB at most`, reached: most < 150 },
        ],
      },
    ]
  },
}

async function allDone(url: string): Promise<void> {
  const sql = postgres(url, { max: 1 })
  while ((await sql`select from ops_missions where completed_at is null limit 1`).length > 0) await sleep(50)
  await sql.end()
}
