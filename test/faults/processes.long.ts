/** What becomes of work whose worker dies at chosen points, blocks, or is asked to leave. */
import { expect, test } from 'vitest'
import { LEASE_SECONDS, Site } from './support/site.js'
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

test('a worker that blocks its event loop longer than its lease gives up what it lost', async () => {
  const site = await Site.open()
  await site.enqueue({ params: { block_ms: (LEASE_SECONDS + 1.5) * 1000, bad_attempts: 1 }, max_retries: 10 })
  site.beating()
  const blocked = await site.worker({ name: 'blocked', concurrency: 1 })
  await site.executed('that the step has begun', (all) => all.length > 0)
  await until('the lease is taken away', async () => {
    const [step] = await site.sql`select failure_count from ops_mission_steps`
    return step?.failure_count > 0
  })
  // Its next attempt would block as well: the step is dead as soon as its operator says so.
  await site.sql`select ops_cancel_step(id, 'dana') from ops_mission_steps`
  expect(await blocked.end('SIGTERM')).toBe(0)
  await site.expectSound({ outlivesLease: true })
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
