// graphile-worker: as it comes, and with everything batched that can be (its own documentation's advice for throughput).
import { Logger, makeWorkerUtils, run, runMigrations } from 'graphile-worker'
import pg from 'pg'
import { paced, untilDone } from './support.mjs'

const settings = {
  default: { concurrentJobs: 24, maxPoolSize: 24 },
  best: {
    concurrentJobs: 24,
    maxPoolSize: 4,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
}

export default ({ url, setting }) => {
  const pool = new pg.Pool({ connectionString: url, max: 20 })
  const logger = new Logger(() => () => {})
  let handled = 0
  let onStart = () => {}
  const taskList = {
    nothing: async () => {
      handled++
      onStart(performance.now())
    },
  }
  const start = () =>
    run({
      preset: { worker: { ...settings[setting], connectionString: url, logger, pollInterval: 2000 } },
      taskList,
      noHandleSignals: true,
    })

  return {
    async prepare() {
      await runMigrations({ connectionString: url, logger })
    },
    async fill({ missions, shape }) {
      if (shape !== 'single') throw new Error('has no missions of several steps')
      for (let left = missions; left > 0; left -= 10_000) {
        await pool.query(
          `select graphile_worker.add_jobs(array(select ('nothing', '{}', null, null, null, null, null, null)::graphile_worker.job_spec from generate_series(1, $1::int)))`,
          [Math.min(left, 10_000)],
        )
      }
    },
    async drain({ steps }) {
      handled = 0
      const began = performance.now()
      const runner = await start()
      await untilDone(
        () => handled >= steps,
        async () => (await pool.query('select from graphile_worker._private_jobs limit 1')).rowCount === 0,
      )
      const ms = performance.now() - began
      await runner.stop()
      return { ms }
    },
    async watch() {
      await start()
    },
    async pickup({ samples, pauseMs }) {
      const utils = await makeWorkerUtils({ pgPool: pool, logger })
      return paced(samples, pauseMs, async () => {
        const started = new Promise((resolve) => {
          onStart = resolve
        })
        await utils.addJob('nothing', {})
        const committed = performance.now()
        return Math.max(0, (await started) - committed)
      })
    },
    async add({ jobs, connections }) {
      const utils = await makeWorkerUtils({
        pgPool: new pg.Pool({ connectionString: url, max: connections }),
        logger,
      })
      const began = performance.now()
      let left = jobs
      await Promise.all(
        Array.from({ length: connections }, async () => {
          while (left-- > 0) await utils.addJob('nothing', {})
        }),
      )
      return { ms: performance.now() - began }
    },
  }
}
