// DBOS Transact: a durable workflow of one step for each job, from a queue with worker concurrency 100.
import { DBOS, DBOSClient } from '@dbos-inc/dbos-sdk'
import { paced } from './support.mjs'

const QUEUE = 'nothing'

export default ({ url }) => {
  let handled = 0
  let onStart = () => {}
  let launched
  let client

  const workflow = DBOS.registerWorkflow(
    async () => {
      await DBOS.runStep(
        async () => {
          handled++
          onStart(performance.now())
        },
        { name: 'nothing' },
      )
    },
    { name: 'nothing' },
  )
  const launch = () => {
    launched ??= (async () => {
      await DBOS.launch()
      await DBOS.registerQueue(QUEUE, { workerConcurrency: 100, minPollingIntervalMs: 100 })
    })()
    return launched
  }
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: url,
    runAdminServer: false,
    logLevel: 'error',
    applicationVersion: 'bench',
  })

  return {
    async prepare() {
      await launch()
      client = await DBOSClient.create({ systemDatabaseUrl: url })
      await DBOS.shutdown()
      launched = undefined
    },
    async fill({ missions, shape }) {
      if (shape !== 'single') throw new Error('not measured with missions of several steps')
      let left = missions
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          while (left-- > 0)
            await client.enqueue({ workflowName: 'nothing', queueName: QUEUE, appVersion: 'bench' })
        }),
      )
    },
    async drain({ steps }) {
      handled = 0
      const began = performance.now()
      await launch()
      while (handled < steps) await new Promise((resolve) => setTimeout(resolve, 1))
      while ((await client.listWorkflows({ status: ['ENQUEUED', 'PENDING'], limit: 1 })).length > 0) {}
      const ms = performance.now() - began
      await DBOS.shutdown()
      launched = undefined
      return { ms }
    },
    watch: launch,
    async pickup({ samples, pauseMs }) {
      return paced(samples, pauseMs, async () => {
        const started = new Promise((resolve) => {
          onStart = resolve
        })
        await DBOS.startWorkflow(workflow, { queueName: QUEUE })()
        const committed = performance.now()
        return Math.max(0, (await started) - committed)
      })
    },
  }
}
