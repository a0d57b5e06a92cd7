/** A service's health endpoint, asked over real HTTP. */
import { createServer, type RequestListener } from 'node:http'
import { describe, expect, test } from 'vitest'
import { type PolicyValue, parsePolicy } from '../../policies/index.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { probe } from './probe.js'

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onFileEnd(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${address.port}/health`
}

const answering = (status: number, body: string) =>
  serve((_request, response) => response.writeHead(status, { 'content-type': 'application/json' }).end(body))

function serviceAt(url: string, more: object = {}): PolicyValue<'services'>['services'][string] {
  const parsed = parsePolicy('services', { services: { it: { url, ...more } } })
  const service = parsed.ok ? parsed.value.services.it : undefined
  if (!service) throw new Error('not a service')
  return service
}

const ask = (url: string, more: object = {}, secrets: Record<string, string> = {}) =>
  probe('it', serviceAt(url, more), secrets)

describe('an answer', () => {
  const healthy = '{"status":"healthy","database":{"state":"connected"},"system_count":19}'

  test('with the status and values that are expected is health', async () => {
    const expect_json = { status: 'healthy', 'database.state': 'connected', system_count: 19 }
    expect(await ask(await answering(200, healthy), { expect_json })).toEqual({
      name: 'it',
      ok: true,
      http_status: 200,
      latency_ms: expect.any(Number),
      error: undefined,
    })
  })

  test.each([
    ['another status', 503, healthy, {}, 'answered 503, not 200'],
    ['a redirect, which is not followed', 302, '', {}, 'answered 302, not 200'],
    ['another value', 200, healthy, { expect_json: { status: 'ok' } }, 'status is "healthy", not "ok"'],
    [
      'a missing value',
      200,
      healthy,
      { expect_json: { 'database.role': 'x' } },
      'database.role is missing, not "x"',
    ],
    [
      'an inherited value',
      200,
      '{}',
      { expect_json: { constructor: 'x' } },
      'constructor is missing, not "x"',
    ],
    ['no JSON', 200, '<html>', { expect_json: { status: 'ok' } }, 'did not answer in JSON'],
    [
      'more than a megabyte',
      200,
      ' '.repeat(2_000_000),
      { expect_json: { a: 1 } },
      'answered with more than 1 MiB of JSON',
    ],
  ])('with %s says so', async (_, status, body, more, error) => {
    expect(await ask(await answering(status, body), more)).toMatchObject({
      ok: false,
      http_status: status,
      error,
    })
  })

  test('that does not come in time is not waited for', async () => {
    const url = await serve(() => undefined)
    expect(await ask(url, { timeout_ms: 100 })).toMatchObject({ ok: false, error: 'no answer within 100 ms' })
  })

  test('that never ends is cut off', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(200).write('{')
    })
    expect(await ask(url, { timeout_ms: 100, expect_json: { a: 1 } })).toMatchObject({
      ok: false,
      error: 'no answer within 100 ms',
    })
  })

  test('of nobody is a failure', async () => {
    expect(await ask('http://127.0.0.1:1/')).toMatchObject({
      ok: false,
      error: expect.stringContaining('ECONNREFUSED'),
    })
  })
})

describe('a request', () => {
  test('carries the method, the headers, and secrets by the name of their variable', async () => {
    const seen: unknown[] = []
    const url = await serve((request, response) => {
      seen.push(request.method, request.headers['x-plain'], request.headers['x-key'])
      response.end()
    })
    const more = {
      method: 'POST',
      headers: { 'X-Plain': 'a' },
      secret_headers: { 'X-Key': 'OPS_SERVICE_KEY' },
    }
    expect(await ask(url, more, { OPS_SERVICE_KEY: 'hush' })).toMatchObject({ ok: true })
    expect(seen).toEqual(['POST', 'a', 'hush'])
  })

  test('is not made without its secret', async () => {
    const more = { secret_headers: { 'X-Key': 'OPS_SERVICE_KEY' } }
    expect(await ask('http://127.0.0.1:1/', more)).toEqual({
      name: 'it',
      ok: false,
      error: 'the control plane has no environment variable OPS_SERVICE_KEY',
    })
  })

  test.each([
    'http://169.254.169.254/latest',
    'http://[::ffff:169.254.169.254]/',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://[fe80::1]/',
    'http://[fd00:ec2::254]/',
    'http://[fd20:ce::254]/',
    'http://[fd00:c1::a9fe:a9fe]/',
    'http://100.100.100.200/',
    'http://168.63.129.16/',
  ])('to %s, where clouds keep credentials, is refused', async (url) => {
    expect(await ask(url)).toMatchObject({
      ok: false,
      error: expect.stringContaining('not a public address'),
    })
  })

  test('can name no other secret of the process', () => {
    const headers = { secret_headers: { 'X-Key': 'SUPABASE_SECRET_KEY' } }
    expect(parsePolicy('services', { services: { it: { url: 'http://x', ...headers } } })).toMatchObject({
      ok: false,
      problems: [{ path: 'services.it.secret_headers.X-Key' }],
    })
  })
})
