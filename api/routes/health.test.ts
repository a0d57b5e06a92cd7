import { expect, test } from 'vitest'
import { connectEngine } from '../../engine/index.js'
import { answerOf, appOver, CRON_KEY, caller, testApi } from '../testing.js'

const { call, engine } = await testApi()
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
    },
  })
  for (const headers of [open, { authorization: 'Bearer wrong' }, { authorization: `Bearer ${CRON_KEY}` }]) {
    expect((await call('GET', '/health', undefined, headers)).body).toEqual({ status: 'healthy' })
  }
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
  expect(await engine.health()).toMatchObject({ status: 'healthy' })
})
