import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { median } from '../harness/numbers.js'
import type { Scenario } from '../harness/types.js'
import { startWorker } from '../harness/worker.js'

const CHUNKS = 20
const MB = 1024 ** 2

/** One worker as users start it, over a long time. What fills the queue is another process. */
export const memory: Scenario = {
  name: 'memory',
  question: 'does the memory of one worker grow over a million steps?',
  async run(context) {
    const chunk = (context.quick ? 40_000 : 1_000_000) / CHUNKS
    const contender = await context.contender('ops-loop')
    const megabytes: number[] = []
    let most = 0
    try {
      await contender.call('prepare', {})
      const worker = startWorker(contender.database)
      try {
        for (let i = 0; i < CHUNKS; i++) {
          await contender.call('fill', { missions: chunk, shape: 'single' })
          await allDone(contender.database.url)
          const held = worker.memory()
          megabytes.push(held.now / MB)
          most = held.most / MB
          context.log(
            `  after ${((i + 1) * chunk).toLocaleString('en')} steps: ${megabytes.at(-1)?.toFixed(0)} MB, ${most.toFixed(0)} at most`,
          )
        }
      } finally {
        await worker.stop()
      }
    } finally {
      await contender.stop()
    }
    // The first tenth warms up.
    const steady = megabytes.slice(CHUNKS / 10)
    const middle = steady.length / 2
    const change = median(steady.slice(middle)) / median(steady.slice(0, middle))
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
          {
            goal: 'below 150 MB at any moment',
            measured: `${most.toFixed(0)} MB at most`,
            reached: most < 150,
          },
        ],
      },
    ]
  },
}

async function allDone(url: string): Promise<void> {
  const sql = postgres(url, { max: 1 })
  while (
    !(await sql<{ done: boolean }[]>`select not exists (select from ops.open_missions) as done`)[0]?.done
  )
    await sleep(50)
  await sql.end()
}
