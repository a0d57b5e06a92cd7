/** What becomes of work whose worker dies at chosen points, or is asked to leave. */
import { expect, test } from 'vitest'
import { Site } from './support/site.js'

test.each(['before the effect', 'after the effect'] as const)(
  'a worker that dies %s: the next attempt finishes the step, when the lease is over',
  async (dies) => {
    const site = await Site.open()
    const steps = await site.enqueue({ params: { dies, bad_attempts: 1 } })
    const victim = site.startWorker()
    expect(await victim.ended).toBe('SIGKILL')
    site.beating()
    await site.worker()
    await site.drained()
    await site.expectOneSuccessEach(steps)
    const effects = site.executions().filter(({ effect }) => effect !== undefined)
    expect(effects.length).toBe(dies === 'after the effect' ? 2 : 1)
  },
)

test('SIGTERM in flight: what was begun is finished and recorded, nothing is begun, nothing is lost', async () => {
  const site = await Site.open()
  const steps = await site.enqueue({ missions: 30, params: { ms: 300 } })
  const leaving = await site.worker({ concurrency: 5 })
  await site.executed('five steps under way', (all) => all.length >= 5)
  expect(await leaving.end('SIGTERM')).toBe(0)
  const begun = site.executions().length
  expect(await site.counts()).toEqual({ succeeded: begun, queued: steps - begun })
  await site.worker({ concurrency: 30 })
  await site.drained()
  await site.expectOneSuccessEach(steps)
  expect(site.executions().length).toBe(steps)
})
