import { describe, expect, test } from 'vitest'
import { connectEngine } from '../../engine/index.js'
import packageJson from '../../package.json' with { type: 'json' }
import { answerOf, appOver, CRON_KEY, caller, KEY, testApi } from '../testing.js'

const { call, db, engine, policy } = await testApi()
const away = connectEngine({ databaseUrl: 'postgresql://nobody@127.0.0.1:1/none' })
const open = { authorization: '' }

test('/health tells the details to who has the key, to others only the status', async () => {
  await call('POST', '/api/ops/heartbeat')
  expect(await call('GET', '/health')).toMatchObject({
    status: 200,
    body: {
      status: 'healthy',
      version: expect.any(String),
      schema_version: expect.any(Number),
      queues: { events: 0, reactions: 0, steps: 0, proposals_pending: 0 },
      workers: { live: 0 },
      last_heartbeat_at: expect.any(String),
      last_heartbeat_ok: true,
      alerts: { critical: 0, high: 0, warning: 0, info: 0 },
    },
  })
  for (const headers of [open, { authorization: 'Bearer wrong' }, { authorization: `Bearer ${CRON_KEY}` }]) {
    expect((await call('GET', '/health', undefined, headers)).body).toEqual({ status: 'healthy' })
  }
})

describe('the daily guide’s queries', () => {
  /** As the guide sends them, with `X-API-Key`. */
  const health = async (variables: Record<string, string> = {}) => {
    const app = appOver(engine, { channels: { variables } })
    const { status, body } = await answerOf(await app.request('/health', { headers: { 'x-api-key': KEY } }))
    expect(status).toBe(200)
    return body
  }

  test('find a healthy loop as the guide expects it', async () => {
    expect(await health()).toMatchObject({
      status: 'healthy',
      version: packageJson.version,
      system_count: 1,
      database: 'connected',
      circuit_breakers: { overall_health: 'healthy', total: 0, open: [] },
    })
  })

  test('count the services and the live workers, and name a breaker that is open', async () => {
    await policy('services', {
      services: {
        billing: { url: 'https://billing.example/health', breaker: { failures: 1 } },
        mail: { url: 'https://mail.example/' },
      },
    })
    // As a beat does before it asks them.
    await engine.takeServiceChecks(10)
    await engine.registerWorker({
      name: 'test',
      version: '0.0.0',
      executors: ['noop', 'http'],
      concurrency: 1,
      schema_version: 1_000_000,
    })
    const calm = { overall_health: 'healthy', total: 2, open: [] }
    expect(await health()).toMatchObject({ system_count: 4, circuit_breakers: calm })
    await engine.recordServiceCheck({ name: 'billing', ok: false, error: 'answered 500, not 200' })
    expect(await health()).toMatchObject({
      circuit_breakers: { overall_health: 'degraded', total: 2, open: ['billing'] },
      capabilities: { executors: ['http', 'noop'] },
    })
  })

  test('tell whether Slack is set up', async () => {
    await policy('alerts', {
      channels: { slack: { type: 'slack', url_variable: 'SLACK_WEBHOOK_URL' } },
    })
    const told = (slack: string) => ({ capabilities: { channels: { slack } } })
    expect(await health()).toMatchObject(told('SLACK_WEBHOOK_URL is not set'))
    const variables = { SLACK_WEBHOOK_URL: 'https://hooks.example/x' }
    expect(await health(variables)).toMatchObject(told('configured'))
  })

  test('count open alerts', async () => {
    await db.sql`insert into ops.alerts (rule, severity, summary) values ('example', 'high', 'An example')`
    expect(await health()).toMatchObject({ alerts: { critical: 0, high: 1 } })
  })
})

test('/health is degraded by a heartbeat that failed, that fell silent, and by a hold', async () => {
  const status = async () => (await engine.health()).status
  await engine.recordHeartbeat(false, {})
  expect(await engine.health()).toMatchObject({ status: 'degraded', last_heartbeat_ok: false })
  await engine.recordHeartbeat(true, {})
  expect(await status()).toBe('healthy')
  await db.sql`update ops.heartbeats set at = at - interval '14 minutes'`
  expect(await status()).toBe('healthy')
  await db.sql`update ops.heartbeats set at = at - interval '2 minutes'`
  expect(await status()).toBe('degraded')
  await engine.recordHeartbeat(true, {})
  expect(await status()).toBe('healthy')
  await db.sql`insert into ops.homes (identity, actor) values ('elsewhere', '{}')`
  expect(await engine.health()).toMatchObject({ status: 'degraded', held: true })
})

test('/livez and /readyz are open', async () => {
  expect(await call('GET', '/livez', undefined, open)).toMatchObject({ status: 200, body: { status: 'ok' } })
  expect(await call('GET', '/readyz', undefined, open)).toMatchObject({ status: 200, body: { status: 'ok' } })
})

test('without its database the app is alive but not ready', async () => {
  const lonely = appOver(away)
  const get = async (path: string) => answerOf(await lonely.request(path))
  expect(await get('/livez')).toMatchObject({ status: 200 })
  expect(await get('/readyz')).toMatchObject({ status: 503, body: { code: 'OPS_001' } })
  expect(await get('/health')).toMatchObject({ status: 503, body: { code: 'OPS_001' } })
  expect(await caller(lonely)('GET', '/api/ops/missions')).toMatchObject({
    status: 503,
    body: { code: 'OPS_001' },
  })
  await away.close()
  expect(await engine.health()).toMatchObject({ database: 'connected' })
})
