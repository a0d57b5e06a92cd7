/** What becomes of work whose worker dies at chosen points, or is asked to leave. */
import { expect, test } from 'vitest'
import { Site } from './support/site.js'
import { until } from './support/until.js'

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

test('a worker that vanishes asleep takes nothing from the step that it is handed: another does it, and it may still not fail', async () => {
  const site = await Site.open()
  const vanished = await site.worker({ name: 'vanished' })
  await until(
    'it sleeps',
    async () => (await site.sql`select from ops.sleepers where takes is not null`).length === 1,
  )
  vanished.send('SIGSTOP')
  const steps = await site.enqueue({ max_retries: 1 })
  expect(await site.counts()).toEqual({ running: steps })
  await vanished.end('SIGKILL')
  site.beating()
  await site.worker({ name: 'other' })
  await site.drained()
  await site.expectOneSuccessEach(steps)
  const runs = await site.sql`select attempt, status, error from ops_action_runs order by attempt`
  expect(runs).toEqual([
    { attempt: 1, status: 'released', error: 'handed to a worker that did not begin it' },
    { attempt: 2, status: 'succeeded', error: null },
  ])
  expect(site.executions()).toHaveLength(1)
})

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
