import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { answering, type Handler, serve as startServer } from '../../channels/testing.js'
import { toStorable } from '../../worker/results.js'
import { runExecutor } from '../testing.js'
import http, { createHttpExecutor } from './index.js'

const STEP = '00000000-0000-4000-8000-000000000001'

/** Servers here listen on loopback, which the shipped executor refuses. */
const local = createHttpExecutor({ isAllowed: () => true, maxResponseBytes: 1000 })

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function serve(handler: Handler) {
  const server = await startServer(handler)
  cleanups.push(server.close)
  return server
}

const JSON_TYPE = { 'content-type': 'application/json' }

describe('a request', () => {
  it('posts its body as JSON under the idempotency key and answers with the response', async () => {
    const { url, received } = await serve(answering(201, JSON_TYPE, '{"id":7}'))
    const { outcome } = await runExecutor(local, { url: `${url}/orders?x=1`, body: { amount: 3 } })
    expect(received).toMatchObject([
      {
        method: 'POST',
        path: '/orders?x=1',
        headers: { 'content-type': 'application/json', 'idempotency-key': STEP },
        body: '{"amount":3}',
      },
    ])
    expect(outcome).toMatchObject({
      outcome: 'done',
      result: { status: 201, body: { id: 7 }, headers: JSON_TYPE },
      meta: { status: 201 },
    })
  })

  it('sends text as it is, with headers of its own', async () => {
    const { url, received } = await serve(answering(204))
    await runExecutor(local, { url, method: 'PUT', body: 'a,b', headers: { 'Content-Type': 'text/csv' } })
    expect(received).toMatchObject([{ method: 'PUT', headers: { 'content-type': 'text/csv' }, body: 'a,b' }])
  })

  it('carries a Standard Webhooks signature when a secret is named', async () => {
    const { url, received } = await serve(answering(200))
    const key = Buffer.alloc(24, 7)
    const env = { OPS_HTTP_SECRET: `whsec_${key.toString('base64')}` }
    await runExecutor(local, { url, body: { a: 1 }, secret_env: 'OPS_HTTP_SECRET' }, { env })
    const headers = received[0]?.headers ?? {}
    expect(headers['webhook-id']).toBe(STEP)
    const signed = `${STEP}.${headers['webhook-timestamp']}.{"a":1}`
    const signature = createHmac('sha256', key).update(signed).digest('base64')
    expect(headers['webhook-signature']).toBe(`v1,${signature}`)
  })

  it.each([
    [{}, 'has no OPS_HTTP_SECRET'],
    [{ OPS_HTTP_SECRET: 'whsec_c2hvcnQ=' }, 'must be base64'],
  ])('fails for good, unsent, when the secret in %j is of no use', async (env, message) => {
    const { url, received } = await serve(answering(200))
    const { outcome } = await runExecutor(local, { url, secret_env: 'OPS_HTTP_SECRET' }, { env })
    expect(outcome).toMatchObject({ outcome: 'fail', error: expect.stringContaining(message) })
    expect(received).toEqual([])
  })

  it('ends when its signal is aborted, on the wire too', async () => {
    const abort = new AbortController()
    const ended: Promise<unknown>[] = []
    const { url } = await serve((_request, response) => {
      ended.push(once(response, 'close'))
      abort.abort()
    })
    await expect(runExecutor(local, { url }, { signal: abort.signal })).rejects.toThrow('aborted')
    // The server notices that nobody waits for its answer any more.
    await expect(Promise.all(ended)).resolves.toHaveLength(1)
  })

  it('is tried again when no answer comes in time', async () => {
    const { url } = await serve(() => {})
    const { outcome } = await runExecutor(local, { url, timeout_seconds: 1 })
    expect(outcome).toMatchObject({ outcome: 'retry', error: 'no answer within 1 s' })
  })

  it('throws, to be tried again, when nobody listens', async () => {
    const { url } = await serve(answering(200))
    for (const cleanup of cleanups.splice(0)) await cleanup()
    await expect(runExecutor(local, { url })).rejects.toThrow('ECONNREFUSED')
  })
})

describe('an answer', () => {
  it('that switches protocols, as nobody asked, is tried again and keeps no step waiting', async () => {
    const { url } = await serve(answering(101, { connection: 'upgrade', upgrade: 'websocket' }))
    await expect(runExecutor(local, { url, timeout_seconds: 1 })).rejects.toThrow('without an answer')
  })

  it.each([400, 401, 404, 410, 422])('%i fails for good', async (status) => {
    const { url } = await serve(answering(status, { 'content-type': 'text/plain' }, 'not like this'))
    const { outcome } = await runExecutor(local, { url })
    expect(outcome).toMatchObject({ outcome: 'fail', error: `${status} not like this`, meta: { status } })
  })

  it('that is long is not quoted to the middle of a word: nobody would know half a secret', async () => {
    const body = `${'no '.repeat(95)}sk_live_1234567890abcdef`
    const { url } = await serve(answering(400, { 'content-type': 'text/plain' }, body))
    const { outcome } = await runExecutor(local, { url })
    expect(outcome).toMatchObject({ outcome: 'fail', error: expect.stringMatching(/^400 no .* no$/) })
  })

  it.each([408, 425, 429, 500, 502, 503])('%i is tried again, after Retry-After', async (status) => {
    const { url } = await serve(answering(status, { 'retry-after': '120' }))
    const { outcome } = await runExecutor(local, { url })
    expect(outcome).toMatchObject({ outcome: 'retry', after_seconds: 120 })
  })

  it('that redirects fails for good, and is not followed', async () => {
    const { url, received } = await serve(answering(302, { location: 'https://elsewhere.test/?token=abc' }))
    const { outcome } = await runExecutor(local, { url })
    expect(outcome).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('https://elsewhere.test'),
    })
    expect(JSON.stringify(outcome)).not.toContain('abc')
    expect(received).toHaveLength(1)
  })

  it('that is too long is cut, between two words', async () => {
    const { url } = await serve(
      answering(200, { 'content-type': 'text/plain' }, 'half-a-secret '.repeat(500)),
    )
    const { outcome } = await runExecutor(local, { url })
    const body = 'half-a-secret '.repeat(71)
    expect(outcome).toMatchObject({ outcome: 'done', result: { truncated: true, body } })
  })

  it('that is not text is kept as its size', async () => {
    const { url } = await serve(answering(200, { 'content-type': 'image/png' }, '\0\0\0'))
    const { outcome } = await runExecutor(local, { url })
    expect(outcome).toMatchObject({ outcome: 'done', result: { body: null, body_bytes: 3 } })
  })

  it('that is not the JSON it claims to be is kept as text', async () => {
    const { url } = await serve(answering(200, JSON_TYPE, 'oops\0'))
    const { outcome } = await runExecutor(local, { url })
    expect(outcome).toMatchObject({ outcome: 'done', result: { body: 'oops\uFFFD' } })
  })

  it('may hold what no database can store: the request has been served all the same', async () => {
    const body = '{"id":7,"names":["a\\u0000b","\\ud800"],"\\u0000":1,"large":1e999}'
    const { url } = await serve(answering(200, JSON_TYPE, body))
    const { outcome } = await runExecutor(local, { url })
    expect(outcome).toMatchObject({
      outcome: 'done',
      result: { body: { id: 7, names: ['a\uFFFDb', '\uFFFD'], '\uFFFD': 1, large: null } },
    })
  })

  it('may nest deeper than what can be stored', async () => {
    const { url } = await serve(answering(200, JSON_TYPE, '['.repeat(400) + ']'.repeat(400)))
    const { outcome } = await runExecutor(local, { url })
    if (outcome.outcome !== 'done') throw new Error(JSON.stringify(outcome))
    expect(toStorable(outcome.result, { mask: (text) => text, path: 'result' })).toMatchObject({ ok: true })
  })

  it('keeps no cookies', async () => {
    const { url } = await serve(answering(200, { 'set-cookie': 'session=abc' }))
    const { outcome } = await runExecutor(local, { url })
    expect(JSON.stringify(outcome)).not.toContain('abc')
  })
})

describe('a private address', () => {
  it.each([
    'http://127.0.0.1:1/',
    'http://127.1:1/',
    'http://0x7f000001:1/',
    'http://2130706433:1/',
    'http://[::1]:1/',
    'http://[::ffff:127.0.0.1]:1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://localhost:1/',
  ])('is refused: %s', async (url) => {
    const { outcome } = await runExecutor(http, { url })
    expect(outcome).toMatchObject({ outcome: 'fail', error: expect.stringContaining('not a public address') })
  })

  it('is refused behind a public name, at the moment of connecting', async () => {
    const { port, received } = await serve(answering(200))
    const rebound = createHttpExecutor({
      resolve: (_hostname, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
    })
    const { outcome } = await runExecutor(rebound, { url: `http://public.test:${port}/` })
    expect(outcome).toMatchObject({
      outcome: 'fail',
      error: 'public.test (127.0.0.1) is not a public address',
    })
    expect(received).toEqual([])
  })
})

describe('params', () => {
  it.each([
    [{}, 'params.url'],
    [{ url: 'not an address' }, 'params.url'],
    [{ url: 'file:///etc/passwd' }, 'params.url'],
    [{ url: 'https://user:password@host.test/' }, 'params.url'],
    [{ url: 'https://host.test/', method: 'TRACE' }, 'params.method'],
    [{ url: 'https://host.test/', headers: { Host: 'other.test' } }, 'params.headers.Host'],
    [{ url: 'https://host.test/', headers: { 'x-a': 'a\r\nb: c' } }, 'params.headers.x-a'],
    [{ url: 'https://host.test/', secret_env: 'DATABASE_URL' }, 'params.secret_env'],
    [{ url: 'https://host.test/', timeout_seconds: 0 }, 'params.timeout_seconds'],
    [{ url: 'https://host.test/', extra: 1 }, 'extra'],
  ])('refuses %j, naming %s', async (params, path) => {
    await expect(runExecutor(local, params)).rejects.toThrow(path)
  })
})
