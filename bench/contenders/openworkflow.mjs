// OpenWorkflow: a durable workflow of one step for each job.
import { OpenWorkflow } from 'openworkflow'
import { BackendPostgres } from 'openworkflow/postgres'
import { paced, untilDone } from './support.mjs'

export default ({ url }) => {
  let handled = 0
  let onStart = () => {}
  let opened

  const open = async () => {
    opened ??= (async () => {
      const backend = await BackendPostgres.connect(url)
      const ow = new OpenWorkflow({ backend })
      const workflow = ow.defineWorkflow({ name: 'nothing' }, async ({ step }) => {
        await step.run({ name: 'nothing' }, async () => {
          handled++
          onStart(performance.now())
          return null
        })
      })
      return { backend, ow, workflow }
    })()
    return opened
  }
  const start = async () => {
    const { ow } = await open()
    const worker = ow.newWorker({ concurrency: 100 })
    await worker.start()
    return worker
  }

  return {
    async prepare() {
      await open()
    },
    async fill({ missions, shape }) {
      if (shape !== 'single') throw new Error('not measured with missions of several steps')
      const { workflow } = await open()
      let left = missions
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          while (left-- > 0) await workflow.run()
        }),
      )
    },
    async drain({ steps }) {
      handled = 0
      const { backend } = await open()
      const began = performance.now()
      const worker = await start()
      await untilDone(
        () => handled >= steps,
        async () => {
          const { pending, running } = await backend.countWorkflowRuns()
          return pending + running === 0
        },
      )
      const ms = performance.now() - began
      await worker.stop()
      return { ms }
    },
    async watch() {
      await start()
    },
    async pickup({ samples, pauseMs }) {
      const { workflow } = await open()
      return paced(samples, pauseMs, async () => {
        const started = new Promise((resolve) => {
          onStart = resolve
        })
        await workflow.run()
        const committed = performance.now()
        return Math.max(0, (await started) - committed)
      })
    },
  }
}
