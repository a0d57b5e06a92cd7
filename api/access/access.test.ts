import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { connectEngine, type Engine } from '../../engine/index.js'
import { stopClock } from '../../supabase/tests/world.js'
import { urlFor } from '../../test/support/database.js'
import { appOver, CRON_KEY, caller, KEY, TOKEN_SECRET, testApi, UNKNOWN_ID } from '../testing.js'
import { SCOPES } from './scopes.js'
import { mintToken } from './tokens.js'

const { db, call, engine, policy, propose } = await testApi()
const app = appOver(engine)

const operation = z.looseObject({ 'x-scope': z.string().optional() })
const { paths } = z
  .object({ paths: z.record(z.string(), z.record(z.string(), operation)) })
  .parse(
    JSON.parse(
      JSON.stringify(app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: '', version: '' } })),
    ),
  )
const routes = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => ({
    method: method.toUpperCase(),
    path: path.replace('{id}', UNKNOWN_ID).replace('{key}', 'control'),
    scope: described['x-scope'],
  })),
)
const guarded = routes.filter(({ path }) => path.startsWith('/api/') && !path.includes('webhooks'))

async function bearer(scopes: string[], name = 'ada'): Promise<Record<string, string>> {
  const { token } = await mintToken(TOKEN_SECRET, { name, scopes, ttlSeconds: 60 })
  return { authorization: `Bearer ${token}` }
}

describe('scopes', () => {
  test('every route behind a key needs one, and every scope opens something', () => {
    expect(guarded.filter(({ scope }) => scope === undefined)).toEqual([])
    expect(new Set([...guarded.map(({ scope }) => scope), 'observe:read'])).toEqual(
      new Set(Object.keys(SCOPES)),
    )
  })

  test.each(guarded)('$method $path opens with $scope alone', async ({ method, path, scope = '' }) => {
    const others = Object.keys(SCOPES).filter((other) => other !== scope)
    expect(await call(method, path, undefined, await bearer(others))).toMatchObject({
      status: 403,
      body: { code: 'OPS_012', details: { scope } },
    })
    const { status } = await call(method, path, undefined, await bearer([scope]))
    expect([401, 403]).not.toContain(status)
  })

  test('an expired token, one of another secret and one in a second header are nobody’s', async () => {
    const headers = await bearer(['*'])
    const late = caller(appOver(engine, {}, () => Date.now() + 61_000))
    expect((await call('GET', '/api/ops/events', undefined, headers)).status).toBe(200)
    expect((await late('GET', '/api/ops/events', undefined, headers)).status).toBe(401)
    const rotated = caller(appOver(engine, { tokenSecrets: ['x'.repeat(40)] }))
    expect((await rotated('GET', '/api/ops/events', undefined, headers)).status).toBe(401)
    const twice = { authorization: `${headers.authorization}, ${headers.authorization}` }
    expect((await call('GET', '/api/ops/events', undefined, twice)).status).toBe(401)
  })

  test('the whole of /health opens with observe:read, or any key but the cron’s', async () => {
    const fields = async (headers: Record<string, string>) =>
      Object.keys(Object((await call('GET', '/health', undefined, headers)).body)).length
    expect(await fields(await bearer(['observe:read']))).toBeGreaterThan(5)
    expect(await fields({ authorization: `Bearer ${KEY}` })).toBeGreaterThan(5)
    expect(await fields(await bearer(['events:read']))).toBe(1)
    expect(await fields({ authorization: `Bearer ${CRON_KEY}` })).toBe(1)
  })
})

describe('whatever stands in the headers', () => {
  /** What HTTP lets through in a header, and what looks like a token or begins like the key. */
  const odd = fc.oneof(
    fc.string({
      unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
      maxLength: 300,
    }),
    fc
      .tuple(fc.base64String(), fc.base64String(), fc.base64String())
      .map((parts) => `Bearer ${parts.join('.')}`),
    fc
      .tuple(fc.json(), fc.json(), fc.string())
      .map((parts) => `Bearer ${parts.map((part) => Buffer.from(part).toString('base64url')).join('.')}`),
    fc.string({ unit: 'grapheme-ascii', minLength: 1 }).map((more) => `Bearer ${KEY}${more.trim() || 'x'}`),
  )

  test('is nobody’s key: 401, and never a defect', async () => {
    await fc.assert(
      fc.asyncProperty(odd, fc.constantFrom('authorization', 'x-api-key'), async (value, name) => {
        const headers = new Headers()
        headers.set(name, value)
        for (const path of ['/api/ops/heartbeat', '/api/ops/events', '/metrics']) {
          expect((await app.request(path, { headers })).status).toBe(401)
        }
        expect((await app.request('/health', { headers })).status).toBe(200)
      }),
      { numRuns: 150 },
    )
  })
})

describe('X-API-Key', () => {
  const send = async (headers: [string, string][]) =>
    (await app.request('/api/ops/events', { headers: new Headers(headers) })).status

  test('opens what the same key or token opens as a bearer', async () => {
    expect(await send([['x-api-key', KEY]])).toBe(200)
    const token = (await bearer(['events:read'])).authorization?.replace('Bearer ', '') ?? ''
    expect(await send([['x-api-key', token]])).toBe(200)
    const cron: [string, string][] = [['x-api-key', CRON_KEY]]
    expect(await send(cron)).toBe(401)
    expect((await app.request('/api/ops/heartbeat', { headers: new Headers(cron) })).status).toBe(200)
  })

  test.each<[string, [string, string][]]>([
    ['empty', [['x-api-key', '']]],
    ['wrong', [['x-api-key', `${KEY}x`]]],
    ['with a scheme', [['x-api-key', `Bearer ${KEY}`]]],
    [
      'twice',
      [
        ['x-api-key', KEY],
        ['x-api-key', KEY],
      ],
    ],
    [
      'beside a bearer',
      [
        ['x-api-key', KEY],
        ['authorization', `Bearer ${KEY}`],
      ],
    ],
    ['very long', [['x-api-key', 'x'.repeat(100_000)]]],
  ])('%s is nobody’s', async (_, headers) => {
    expect(await send(headers)).toBe(401)
  })
})

describe('the holder of a token', () => {
  test('decides as who it was minted for', async () => {
    await policy('auto_approve', { enabled: false })
    const { proposal_id } = await propose()
    const headers = await bearer(['proposals:approve'], 'ada')
    const approve = (body: unknown) =>
      call('POST', `/api/ops/proposals/${proposal_id}/approve`, body, headers)
    expect(await approve({ actor: 'somebody-else' })).toMatchObject({
      status: 403,
      body: { code: 'OPS_012', details: { path: 'actor' } },
    })
    expect(await approve({})).toMatchObject({ status: 200, body: { status: 'approved' } })
    expect(await engine.listProposals({ id: proposal_id })).toMatchObject([{ decided_by: 'ada' }])
  })

  test('never approves what it proposed, whatever it says', async () => {
    const headers = await bearer(['proposals:*'], 'scout')
    const template = { title: 'Mine', steps: [{ kind: 'noop' }] }
    const made = await call('POST', '/api/ops/proposals', { template }, headers)
    const { proposal_id } = z.object({ proposal_id: z.string() }).parse(made.body)
    expect(await engine.listProposals({ id: proposal_id })).toMatchObject([{ proposed_by: 'scout' }])
    expect(await call('POST', `/api/ops/proposals/${proposal_id}/approve`, {}, headers)).toMatchObject({
      status: 409,
      body: { code: 'OPS_009' },
    })
    const other = { template, proposed_by: 'somebody-else' }
    expect((await call('POST', '/api/ops/proposals', other, headers)).status).toBe(403)
  })

  test('a key must say who decides', async () => {
    const { proposal_id } = await propose()
    expect(await call('POST', `/api/ops/proposals/${proposal_id}/approve`, {})).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', details: { path: 'actor' } },
    })
  })
})

describe('rate limits', () => {
  test('hold for each key over all instances, and begin anew with the minute', async () => {
    const clock = await stopClock(db.sql, '2026-03-01T12:00:10Z')
    let time = Date.now()
    const instances = ['a', 'b'].map(() => {
      const own = connectEngine({ databaseUrl: urlFor(db, 'service_role'), maxConnections: 1 })
      return { own, call: caller(appOver(own, { requestsPerMinute: 5 }, () => time)) }
    })
    const [one, two] = instances
    if (!one || !two) throw new Error('two instances')
    // Each moment is later than the last comparison, so that both know of each other.
    const get = (instance: typeof one, headers = {}) => {
      time += 1100
      return instance.call('GET', '/api/ops/policies', undefined, headers)
    }
    for (const instance of [one, two, one, two]) expect((await get(instance)).status).toBe(200)
    const last = await get(one)
    expect([last.status, last.headers.get('ratelimit-remaining')]).toEqual([200, '0'])
    for (const instance of [one, two]) {
      const refused = await get(instance)
      expect(refused).toMatchObject({ status: 429, body: { code: 'OPS_016' } })
      expect(refused.headers.get('retry-after')).toBe('50')
    }
    expect((await get(one, await bearer(['*']))).status).toBe(200)
    await clock.advance(50)
    time += 50_000
    for (const instance of [one, two]) expect((await get(instance)).status).toBe(200)
    await Promise.all(instances.map(({ own }) => own.close()))
  })

  test('within a second an instance counts alone, and asks the database once', async () => {
    let asked = 0
    const counting: Engine = {
      ...engine,
      countRequests: (caller, requests) => {
        asked += 1
        return engine.countRequests(caller, requests)
      },
    }
    const frozen = Date.now()
    const call = caller(appOver(counting, { requestsPerMinute: 10, apiKeys: ['another'] }, () => frozen))
    const headers = { authorization: 'Bearer another' }
    const answers = []
    for (let n = 0; n < 12; n++)
      answers.push((await call('GET', '/api/ops/policies', undefined, headers)).status)
    expect(answers).toEqual([...Array(10).fill(200), 429, 429])
    expect(asked).toBe(1)
  })

  test('hold for every route behind a key, and count them together', async () => {
    const own = appOver(engine, { requestsPerMinute: 2, apiKeys: ['a-third'] }, () => 0)
    const statuses = []
    for (const path of ['/metrics', '/api/ops/caps', '/metrics', '/api/ops/caps'])
      statuses.push((await own.request(path, { headers: { authorization: 'Bearer a-third' } })).status)
    expect(statuses).toEqual([200, 200, 429, 429])
  })

  test('a database that cannot count limits nobody', async () => {
    const silent: Engine = { ...engine, countRequests: () => Promise.reject(new Error('away')) }
    const call = caller(appOver(silent, { requestsPerMinute: 3 }))
    expect((await call('GET', '/api/ops/policies')).status).toBe(200)
  })
})

describe('browsers', () => {
  const preflight = (on: ReturnType<typeof appOver>, origin: string) =>
    on.request('/api/ops/proposals', {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      },
    })

  test('of a configured origin may call, of another may not', async () => {
    const open = appOver(engine, { corsOrigins: ['https://ops.example'] })
    const ours = await preflight(open, 'https://ops.example')
    expect([ours.status, ours.headers.get('access-control-allow-origin')]).toEqual([
      204,
      'https://ops.example',
    ])
    const theirs = await preflight(open, 'https://elsewhere.example')
    expect(theirs.headers.get('access-control-allow-origin')).toBeNull()
  })

  test('get nothing where no origin is configured', async () => {
    const answer = await preflight(app, 'https://ops.example')
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    expect(answer.status).not.toBe(204)
  })
})
