/**
 * What the BrainOps SOP has checked: the lines of its health check script, its table of metrics with their thresholds, its channels, and the
 * commands of its quick reference, each by what does it here.
 */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { answering, type Handler, serve, type TestServer } from '../../channels/testing.js'
import { run } from '../../cli/testing.js'
import alertDefaults from '../../policies/default/alerts.json' with { type: 'json' }
import { onFileEnd } from '../support/fileEnd.js'
import { type Loop, startLoop } from './loop.js'

let loop: Loop
let backend: TestServer
let answer: Handler

/** A service of the registry, as healthy as `answer` says. */
beforeAll(async () => {
  loop = await startLoop()
  backend = await serve((request, response) => answer(request, response))
  onFileEnd(() => backend.close())
  answer = answering(200, { 'content-type': 'application/json' }, '{"status": "healthy"}')
  await loop.policy('services', {
    services: {
      backend: { url: `${backend.url}/health`, expect_json: { status: 'healthy' }, breaker: { failures: 2 } },
      erp: { url: `${backend.url}/api/health` },
    },
  })
  await loop.policy('schedules', {
    schedules: [{ id: 'daily-report', cron: '0 9 * * *', event: { type: 'app:daily-report' } }],
  })
  await loop.beat()
  await loop.beat()
})
const later = async (minutes: number) => {
  await loop.clock.advance(minutes * 60)
  return loop.beat()
}

describe('the health check script, line by line', () => {
  test('all services, and all apps: the registry asks each, verify has a line for them', async () => {
    expect(backend.received.map(({ path }) => path).sort()).toEqual(['/api/health', '/health'])
    expect((await loop.verify()).services).toMatchObject([{ status: 'ok', message: '2 services well' }])
    expect(
      await loop.rows('select name, healthy, state, http_status from ops_services order by name'),
    ).toEqual([
      { name: 'backend', healthy: true, state: 'closed', http_status: 200 },
      { name: 'erp', healthy: true, state: 'closed', http_status: 200 },
    ])
  })

  test('database connectivity', async () => {
    expect(await loop.curl('/readyz')).toMatchObject({ status: 200 })
    expect((await loop.verify()).connection).toMatchObject([{ status: 'ok' }])
  })

  test('orchestrator status: heartbeats come, and a worker lives', async () => {
    const { heartbeat, workers } = await loop.verify()
    expect({ heartbeat, workers }).toMatchObject({
      heartbeat: [{ status: 'ok' }],
      workers: [{ status: 'ok' }],
    })
    const { body } = await loop.curl('/health')
    expect(body).toMatchObject({
      status: 'healthy',
      workers: { live: 1 },
      last_heartbeat_at: expect.any(String),
    })
  })

  test('scheduler job count, and what comes next', async () => {
    expect(
      await loop.rows(
        'select id, cron, next_at > ops.now() as ahead from ops_schedules order by next_at limit 5',
      ),
    ).toEqual([{ id: 'daily-report', cron: '0 9 * * *', ahead: true }])
    expect((await loop.verify()).schedules).toMatchObject([{ status: 'ok', message: '1 schedule in time' }])
  })

  test('tool availability: the executors that live workers offer', async () => {
    const { body } = await loop.curl('/health')
    expect(body).toMatchObject({ capabilities: { executors: ['noop'] } })
  })
})

describe('key metrics', () => {
  beforeEach(async () => {
    await loop.db.sql`delete from ops.alerts`
    await loop.db.sql`delete from ops.reports`
  })

  test.each<[string, keyof typeof alertDefaults.rules, number]>([
    ['Error Rate > 5%', 'api_error_percent', 5],
    ['P99 Latency > 1000ms', 'api_p99_ms', 1000],
    ['DB Latency > 500ms', 'database_latency_ms', 500],
  ])('%s', async (_, rule, threshold) => {
    expect(alertDefaults.rules[rule].warning).toBe(threshold)
    for (const [value, expected] of [
      [threshold, []],
      [threshold + 1, [`P2 ${rule}`]],
    ] as const) {
      await loop.clock.advance(60)
      await loop.db.sql`select ops_evaluate_alerts(${loop.db.sql.json({ [rule]: value })})`
      expect(await loop.alerts()).toEqual(expected)
    }
  })

  test('Memory Usage > 80%', async () => {
    expect(alertDefaults.rules.worker_memory_percent.warning).toBe(80)
    await loop.db
      .sql`insert into ops.workers (name, version, executors, concurrency, role, health, last_seen_at)
      values ('heavy', '1', '{noop}', 1, 'ops_worker', '{"memory_percent": 81}', ops.now())`
    await later(1)
    expect(await loop.alerts()).toEqual(['P2 worker_memory_percent heavy'])
    await loop.db.sql`delete from ops.workers where name = 'heavy'`
  })

  test('Scheduler Jobs late', async () => {
    await loop.db.sql`update ops.schedules set next_at = ops.now() - interval '1 hour'`
    expect((await loop.verify()).schedules).toMatchObject([{ status: 'broken', hint: expect.any(String) }])
    await loop.db.sql`update ops.schedules set next_at = ops.now() + interval '1 hour'`
  })

  test('a service that does not answer: found by the second check, and over when it is back', async () => {
    answer = answering(503)
    await later(5)
    expect(await loop.alerts()).toEqual([])
    await later(5)
    expect(await loop.alerts()).toEqual(['P2 service_down_minutes backend'])
    expect((await loop.curl('/health')).body).toMatchObject({
      circuit_breakers: { overall_health: expect.not.stringMatching('^healthy$') },
    })
    answer = answering(200, { 'content-type': 'application/json' }, '{"status": "healthy"}')
    await later(5)
    await later(5)
    expect(await loop.alerts()).toEqual([])
  })

  test('AUREA Running = false: the worker is gone, and steps wait', async () => {
    await loop.stopWorker()
    await loop.propose()
    await loop.clock.advance(11 * 60)
    await loop.curl('/health')
    await loop.db.sql`select ops_evaluate_alerts()`
    expect(await loop.alerts()).toContain('P2 worker_idle_minutes')
    const { workers } = await loop.verify()
    expect(workers).toMatchObject([{ status: 'broken', hint: expect.any(String) }])
  })
})

describe('alert channels', () => {
  test('Slack in real time, e-mail for what is critical and once a day, dashboards all the time', async () => {
    await loop.db.sql`delete from ops.alerts`
    await loop.db.sql`select ops_evaluate_alerts()`
    await loop.policy('alerts', { digest: { channels: ['mail'], hour: 0 } })
    await loop.clock.advance(25 * 60)
    await loop.db.sql`delete from ops.watch where part = 'digest'`
    await loop.post('/api/ops/heartbeat')
    expect(loop.chat.received.map(({ body }) => body).join()).toContain('P0 worker_idle_minutes')
    const subjects = loop.mail.letters.map(({ text }) => /^Subject: (.*)$/m.exec(text)?.[1])
    expect(subjects).toEqual(
      expect.arrayContaining([
        expect.stringContaining('worker_idle_minutes'),
        expect.stringMatching(/open alerts/),
      ]),
    )
    expect((await loop.curl('/metrics')).text).toContain(
      'ops_alerts{rule="worker_idle_minutes",severity="critical"} 1',
    )
  })
})

test('quick reference: full system check, quick health check', async () => {
  expect((await run('verify')).stdout).toContain('services')
  expect((await loop.curl('/health')).body).toMatchObject({ status: expect.any(String) })
})
