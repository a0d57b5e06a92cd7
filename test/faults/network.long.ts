/** A network that keeps breaking, and connections that die without a word: a worker needs a minute to be sure of that. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { proxied, type Way } from './support/proxied.js'
import { TcpProxy } from './support/proxy.js'
import { Site } from './support/site.js'
import { until } from './support/until.js'

test('all connections of a worker die without a word: it finds out, and goes on', async () => {
  const site = await Site.open()
  const url = site.database.urlFor('ops_worker')
  const proxy = await TcpProxy.before(url)
  const worker = await site.worker({ env: { DATABASE_URL: proxy.url(url) } })
  expect(worker.output).toContain('"listening":true')
  await until('it sleeps', async () => (await site.sql`select from ops.sleepers`).length === 1)
  proxy.halfOpen()
  const steps = await site.enqueue({ missions: 3 })
  await site.drained(180_000)
  await site.expectOneSuccessEach(steps)
})

test.each<Way>(['Postgres', 'PostgREST'])(
  'a network in front of %s that breaks, and is slow in between',
  async (way) => {
    const { site, proxy, env } = await proxied(way)
    site.beating()
    await site.worker({ env, concurrency: 5 })
    proxy.delayMs = 20
    const steps = await site.enqueue({ missions: 2000, steps: 2 })
    for (let n = 0; n < 60; n++) {
      await sleep(200)
      proxy.refusing = true
      proxy.cut()
      await sleep(100)
      proxy.refusing = false
    }
    proxy.delayMs = 0
    await site.drained(300_000)
    await site.expectOneSuccessEach(steps)
  },
)
