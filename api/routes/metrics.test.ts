import { describe, expect, test } from 'vitest'
import { stopClock } from '../../supabase/tests/world.js'
import { appOver, KEY, testApi } from '../testing.js'

const { db, engine, call, policy, propose, worker } = await testApi()
const app = appOver(engine)
await policy('auto_approve', { enabled: true })
const clock = await stopClock(db.sql)
// The test's clock stands before the day on which the database was made.
await db.sql`delete from ops.totals_until`

async function scrape(): Promise<Map<string, number>> {
  const response = await app.request('/metrics', { headers: { authorization: `Bearer ${KEY}` } })
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      // The text form's own grammar: a name, labels, a number.
      const [, name, value] = /^([a-z_]+(?:\{(?:[a-z]+="[^"]*",?)+\})?) (\S+)$/.exec(line) ?? []
      if (name === undefined) throw new Error(`no sample: ${line}`)
      return [name, Number(value)]
    }),
  )
}

/** A step that takes some seconds. */
async function work(seconds: number): Promise<void> {
  await propose()
  const { step_id, token } = await worker.claim()
  await clock.advance(seconds)
  await engine.completeSteps([{ step_id, token }])
}

const beat = () => call('POST', '/api/ops/heartbeat')

describe('GET /metrics', () => {
  test('before anything happened there is nothing to count', async () => {
    const samples = await scrape()
    expect(samples.get('ops_queue_depth{queue="steps"}')).toBe(0)
    expect(samples.get('ops_dead_letters_total')).toBe(0)
    expect(samples.has('ops_heartbeat_success')).toBe(false)
  })

  test('gauges tell what is', async () => {
    await propose()
    await clock.advance(7)
    await beat()
    expect(Object.fromEntries(await scrape())).toMatchObject({
      'ops_queue_depth{queue="steps"}': 1,
      'ops_queue_depth{queue="events"}': 0,
      ops_oldest_queued_seconds: 7,
      ops_heartbeat_success: 1,
      'ops_heartbeats_total{outcome="success"}': 1,
      // Also what has not happened: Prometheus does not count the step from nothing to one.
      'ops_heartbeats_total{outcome="failure"}': 0,
      'ops_heartbeat_duration_seconds_count{outcome="success"}': 1,
      ops_worker_claims: 0,
    })
    await worker.succeed()
    expect(Object.fromEntries(await scrape())).toMatchObject({
      'ops_queue_depth{queue="steps"}': 0,
      ops_workers_live: 1,
      ops_worker_claims: 1,
    })
  })

  test('totals count each step once, however often and by how many beats they are added up', async () => {
    await work(0.2)
    await work(20)
    await propose()
    await worker.fail()
    await clock.advance(61)
    await Promise.all([beat(), beat(), beat()])
    await beat()
    expect(Object.fromEntries(await scrape())).toMatchObject({
      'ops_steps_finished_total{kind="noop",outcome="succeeded"}': 3,
      'ops_steps_finished_total{kind="noop",outcome="failed"}': 1,
      'ops_attempts_total{kind="noop",outcome="failed"}': 1,
      ops_dead_letters_total: 1,
      'ops_step_duration_seconds_count{kind="noop"}': 3,
      'ops_step_duration_seconds_bucket{kind="noop",le="0.1"}': 1,
      'ops_step_duration_seconds_bucket{kind="noop",le="0.5"}': 2,
      'ops_step_duration_seconds_bucket{kind="noop",le="60"}': 3,
      'ops_step_duration_seconds_bucket{kind="noop",le="+Inf"}': 3,
    })
    expect((await scrape()).get('ops_step_duration_seconds_sum{kind="noop"}')).toBeCloseTo(20.2)
  })

  test('totals outlive the rows that they counted', async () => {
    await db.sql`delete from ops_missions`
    await clock.advance(120)
    await beat()
    expect((await scrape()).get('ops_steps_finished_total{kind="noop",outcome="succeeded"}')).toBe(3)
  })

  test('what ends after a long pause of the heartbeat is counted too', async () => {
    await work(1)
    await clock.advance(3600)
    await beat()
    expect((await scrape()).get('ops_steps_finished_total{kind="noop",outcome="succeeded"}')).toBe(4)
  })

  test('a heartbeat that failed shows', async () => {
    await clock.advance(1)
    await engine.recordHeartbeat(false, { durations_ms: { total: 2500 } })
    expect(Object.fromEntries(await scrape())).toMatchObject({
      ops_heartbeat_success: 0,
      'ops_heartbeats_total{outcome="failure"}': 1,
      'ops_heartbeat_duration_seconds_sum{outcome="failure"}': 2.5,
    })
  })

  test('what watches the loop shows: violations, canary, services, channels, backup', async () => {
    await policy('services', { services: { billing: { url: 'http://localhost', breaker: { failures: 1 } } } })
    await engine.recordServiceCheck({ name: 'billing', ok: false, error: 'down' })
    await policy('alerts', { channels: { chat: { type: 'slack' } } })
    await engine.report('backup', 1)
    await db.sql`insert into ops.canaries (status, legs) values ('returned', '{"total_ms": 1500}')`
    await db.sql`select ops.open_violation('order', 'x', 'critical', 'out of order')`
    const now = (await clock.now()).getTime() / 1000
    expect(Object.fromEntries(await scrape())).toMatchObject({
      'ops_invariant_violations{check="order",severity="critical"}': 1,
      'ops_service_healthy{service="billing"}': 0,
      'ops_service_breaker_open{service="billing"}': 1,
      'ops_canary_leg_seconds{leg="total"}': 1.5,
      ops_canary_returned: 1,
      ops_canary_missing: 0,
      'ops_channel_failures{channel="chat"}': 0,
      ops_notices_waiting: 0,
      ops_backup_timestamp_seconds: now,
    })
  })

  test('needs a key', async () => {
    expect((await app.request('/metrics')).status).toBe(401)
  })
})
