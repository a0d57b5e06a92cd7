import { Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { Engine } from '../engine/index.js'
import { createApp } from './app.js'
import { createLog } from './log.js'
import { answerOf, appOver, CRON_KEY, caller, KEY, testApi, testConfig, UNKNOWN_ID } from './testing.js'

const { call, engine } = await testApi()
const app = appOver(engine)
const document = app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: '', version: '' } })
const routes = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
  Object.keys(item).map((method) => ({ method: method.toUpperCase(), path })),
)

/** The app's log as text, and an engine whose reads break with something that nobody foresaw. */
function observed(failure: Error) {
  let text = ''
  const sink = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  const broken: Engine = { ...engine, listMissions: () => Promise.reject(failure) }
  const call = caller(createApp({ engine: broken, config: testConfig, log: createLog('debug', sink) }))
  return { call, log: () => text }
}

describe('access', () => {
  const guarded = routes.filter(({ path }) => path.startsWith('/api/') && !path.includes('webhooks'))

  test('there are routes to guard', () => {
    expect(guarded.length).toBeGreaterThan(15)
  })

  test.each(guarded)('$method $path answers 401 without a valid key', async ({ method, path }) => {
    for (const authorization of [
      '',
      'Bearer',
      'Bearer wrong',
      `Basic ${KEY}`,
      `Bearer ${KEY}, Bearer ${KEY}`,
      `${'x'.repeat(9000)}`,
    ]) {
      const answer = await call(method, path.replace('{id}', UNKNOWN_ID), undefined, { authorization })
      expect(answer).toMatchObject({ status: 401, body: { code: 'OPS_012', error: expect.any(String) } })
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    }
  })

  test.each(guarded)(
    '$method $path knows CRON_SECRET only if it is the heartbeat',
    async ({ method, path }) => {
      const answer = await call(method, path.replace('{id}', UNKNOWN_ID), undefined, {
        authorization: `Bearer ${CRON_KEY}`,
      })
      expect(answer.status).toBe(path === '/api/ops/heartbeat' ? 200 : 401)
    },
  )

  test('an empty configuration lets nobody in', async () => {
    const closed = caller(appOver(engine, { apiKeys: [], cronSecret: undefined }))
    for (const authorization of ['', 'Bearer ', 'Bearer undefined', `Bearer ${KEY}`]) {
      expect(await closed('POST', '/api/ops/heartbeat', undefined, { authorization })).toMatchObject({
        status: 401,
      })
    }
  })

  test('both keys are valid while they rotate', async () => {
    const rotating = caller(appOver(engine, { apiKeys: ['new', 'old'] }))
    for (const key of ['new', 'old']) {
      const answer = await rotating('GET', '/api/ops/missions', undefined, { authorization: `Bearer ${key}` })
      expect(answer.status).toBe(200)
    }
  })
})

describe('errors', () => {
  test('an unknown route is JSON, for those with a key', async () => {
    expect(await call('GET', '/nowhere')).toMatchObject({ status: 404, body: { code: 'OPS_013' } })
    expect(await call('GET', '/api/ops/nowhere')).toMatchObject({ status: 404, body: { code: 'OPS_013' } })
    const stranger = await call('GET', '/api/ops/nowhere', undefined, { authorization: '' })
    expect(stranger).toMatchObject({ status: 401 })
  })

  test('a known route with another method says which it knows', async () => {
    const answer = await call('DELETE', '/api/ops/missions')
    expect(answer).toMatchObject({
      status: 405,
      body: { error: '/api/ops/missions knows GET, HEAD, not DELETE.' },
    })
    expect(answer.headers.get('allow')).toBe('GET, HEAD')
  })

  /** Sends text as a body, as it is. */
  const send = async (path: string, body: string, type = 'application/json') =>
    answerOf(
      await app.request(path, {
        method: 'POST',
        headers: { authorization: `Bearer ${KEY}`, 'content-type': type },
        body,
      }),
    )

  test('a body that is not JSON is malformed, one of another type is not read', async () => {
    const events = '/api/ops/events'
    expect(await send(events, '{')).toMatchObject({ status: 400, body: { code: 'OPS_011' } })
    expect(await send(events, '{"type":"a"}', 'text/plain')).toMatchObject({
      status: 415,
      body: { code: 'OPS_011', error: expect.stringContaining('Content-Type: application/json') },
    })
  })

  test.each([
    ['/api/ops/events', '{"type": "a", "data": {"n": 1e400}}', 'data.n'],
    ['/api/ops/events', '{"events": [{"type": "a", "data": {"n": [-1e400]}}]}', 'events[0].data.n[0]'],
    [
      '/api/ops/proposals',
      '{"template": {"title": "t", "steps": [{"kind": "noop", "params": {"n": 1e400}}]}}',
      'template.steps[0].params.n',
    ],
  ])('%s: a number that would become null is refused: %s', async (path, body, at) => {
    expect(await send(path, body)).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', error: expect.stringContaining('send it as text'), details: { path: at } },
    })
  })

  test('a field at fault is named as the request names it', async () => {
    const silence = { rule: 'nothing', minutes: 1, reason: 'a test', actor: 'ada' }
    const version = { version: 9, actor: 'ada' }
    const gate = { proposal_id: UNKNOWN_ID }
    const ask: [string, string, unknown, string][] = [
      ['POST', '/api/ops/alerts/silences', silence, 'rule'],
      ['POST', `/api/ops/alerts/${UNKNOWN_ID}/acknowledge`, { actor: 'ada' }, 'id'],
      ['POST', '/api/ops/policies/control/rollback', version, 'version'],
      ['POST', '/api/ops/proposals/gate', gate, 'proposal_id'],
      ['POST', `/api/ops/proposals/${UNKNOWN_ID}/approve`, { actor: 'ada' }, 'id'],
      ['POST', `/api/ops/steps/${UNKNOWN_ID}/retry`, undefined, 'id'],
      ['PATCH', `/api/ops/radar/${UNKNOWN_ID}`, {}, 'id'],
      ['GET', `/api/ops/events/${UNKNOWN_ID}/why`, undefined, 'id'],
      ['GET', `/api/ops/trace/${UNKNOWN_ID}`, undefined, 'id'],
    ]
    for (const [method, path, body, field] of ask)
      expect((await call(method, path, body)).body, path).toMatchObject({ details: { path: field } })
  })

  test('a body that is too large is refused, whether it says its size or not', async () => {
    const large = { events: [{ type: 'a', data: { text: 'x'.repeat(4_200_000) } }] }
    const said: Record<string, string>[] = [{}, { 'content-length': '4200100' }]
    for (const headers of said) {
      expect(await call('POST', '/api/ops/events', large, headers)).toMatchObject({
        status: 413,
        body: { code: 'OPS_011', error: 'The body is larger than 4 MiB.' },
      })
    }
  })

  test('what nobody foresaw is answered with the request id alone, and logged', async () => {
    const { call, log } = observed(new Error('the inside story'))
    const answer = await call('GET', '/api/ops/missions', undefined, { 'x-request-id': 'req-1' })
    expect(answer).toMatchObject({ status: 500, body: { code: 'OPS_000', details: { request_id: 'req-1' } } })
    expect(JSON.stringify(answer.body)).not.toContain('inside')
    expect(log()).toContain('the inside story')
  })
})

describe('every answer', () => {
  test('carries a request id, the given one if it is sound', async () => {
    expect((await call('GET', '/livez')).headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    const given = await call('GET', '/livez', undefined, { 'x-request-id': 'abc-123' })
    expect(given.headers.get('x-request-id')).toBe('abc-123')
    const odd = await call('GET', '/livez', undefined, { 'x-request-id': 'a b<script>' })
    expect(odd.headers.get('x-request-id')).not.toContain('script')
  })

  test('has security headers and opens itself to no other origin', async () => {
    const { headers } = await call('GET', '/livez', undefined, { origin: 'https://elsewhere.example' })
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('access-control-allow-origin')).toBeNull()
  })

  test('is logged with its id and outcome, without key, query or body', async () => {
    const { call, log } = observed(new Error('x'))
    await call(
      'POST',
      '/api/ops/events?q=query-secret',
      { type: 'body-secret' },
      { 'x-request-id': 'logged' },
    )
    expect(log()).toContain('"request_id":"logged"')
    expect(log()).toContain('"path":"/api/ops/events"')
    expect(log()).not.toMatch(new RegExp(`${KEY}|query-secret|body-secret`))
  })
})
