// pg-boss with batches of 1,000, four workers that fetch on without a pause while their batches are full, and NOTIFY to wake them.

import pg from 'pg'
import { PgBoss } from 'pg-boss'
import { paced, untilDone } from './support.mjs'

const QUEUE = 'nothing'
const work = {
  batchSize: 1000,
  localConcurrency: 4,
  burstWhenBatchFull: true,
  pollingIntervalSeconds: 0.5,
  notifyPollingIntervalSeconds: 2,
}

export default ({ url }) => {
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  let handled = 0
  let onStart = () => {}
  let boss

  const open = async () => {
    if (boss) return boss
    boss = new PgBoss({ connectionString: url, max: 20, schedule: false, useListenNotify: true })
    boss.on('error', (error) => console.error(error))
    await boss.start()
    if (!(await boss.getQueue(QUEUE))) await boss.createQueue(QUEUE, { notify: true })
    return boss
  }
  const start = async () => {
    await open()
    await boss.work(QUEUE, work, async (jobs) => {
      handled += jobs.length
      onStart(performance.now())
    })
  }

  return {
    async prepare() {
      await open()
    },
    async fill({ missions, shape }) {
      if (shape !== 'single') throw new Error('not measured with missions of several steps')
      await open()
      for (let left = missions; left > 0; left -= 10_000) {
        await boss.insert(
          QUEUE,
          Array.from({ length: Math.min(left, 10_000) }, () => ({ data: {} })),
        )
      }
    },
    async drain({ steps }) {
      handled = 0
      const began = performance.now()
      await start()
      await untilDone(
        () => handled >= steps,
        async () =>
          (await pool.query(`select from pgboss.job where state < 'completed' limit 1`)).rowCount === 0,
      )
      const ms = performance.now() - began
      await boss.offWork(QUEUE)
      return { ms }
    },
    watch: start,
    async pickup({ samples, pauseMs }) {
      return paced(samples, pauseMs, async () => {
        const started = new Promise((resolve) => {
          onStart = resolve
        })
        await boss.send(QUEUE, {})
        const committed = performance.now()
        return Math.max(0, (await started) - committed)
      })
    },
  }
}
