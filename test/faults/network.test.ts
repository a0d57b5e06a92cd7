/** A network that delays, cuts, goes silent and swallows answers, between the worker and Postgres, or PostgREST. */
import { describe, expect, test } from 'vitest'
import { connectEngine, isRetryable } from '../../engine/index.js'
import { proxied, type Way } from './support/proxied.js'
import { type Stopped, TcpProxy } from './support/proxy.js'
import { Site } from './support/site.js'

const stops: [Stopped, string][] = [
  ['call', 'ops_complete_steps'],
  ['answer', 'ops_complete_steps'],
  ['call', 'ops_claim_steps'],
  ['answer', 'ops_claim_steps'],
]

describe.each<Way>(['Postgres', 'PostgREST'])('in front of %s', (way) => {
  test('calls and answers that are cut off on their way, COMMIT done or not: one success for each step', async () => {
    const { site, proxy, env } = await proxied(way)
    site.beating()
    const worker = await site.worker({ env, concurrency: 3 })
    let steps = 0
    for (const [what, fn] of stops) {
      const caught = proxy.catch(fn, what)
      steps += await site.enqueue({ missions: 3, params: { ms: 20 } })
      ;(await caught).cut()
      await site.drained()
    }
    await site.expectOneSuccessEach(steps)
    expect(await worker.end('SIGTERM')).toBe(0)
    // What it did twice for want of an answer is known as such.
    const [late] = await site.sql<
      { n: number }[]
    >`select count(*)::int as n from ops.late_results where outcome = 'succeeded'`
    expect(late?.n).toBeGreaterThan(0)
  })
})

test('a connection that dies without a word is given up, and the next call has a new one', async () => {
  const site = await Site.open()
  const url = site.database.urlFor('service_role')
  const proxy = await TcpProxy.before(url)
  const engine = connectEngine({ databaseUrl: proxy.url(url), callTimeoutMs: 500 })
  await engine.health()
  proxy.halfOpen()
  const error = await engine.health().catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'OPS_001' })
  expect(isRetryable(error)).toBe(true)
  expect(await engine.health()).toMatchObject({ database: 'connected' })
  await engine.close()
})

test('a worker killed before and after the COMMIT of its results loses nothing and doubles nothing', async () => {
  const { site, proxy, env } = await proxied('Postgres')
  site.beating()
  let steps = 0
  for (const what of ['call', 'answer'] as const) {
    const worker = await site.worker({ env, concurrency: 3 })
    const caught = proxy.catch('ops_complete_steps', what)
    steps += await site.enqueue({ missions: 3 })
    const { cut } = await caught
    await worker.end('SIGKILL')
    cut()
  }
  await site.worker({ env })
  await site.drained()
  await site.expectOneSuccessEach(steps)
})
