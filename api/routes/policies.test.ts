import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { appOver, caller, testApi } from '../testing.js'

const { db, call, engine, policy } = await testApi()
const versioned = z.object({ version: z.int() })

test('policies are listed and shown', async () => {
  await policy('control', { pause: { claims: true } })
  expect(await call('GET', '/api/ops/policies')).toMatchObject({
    status: 200,
    body: {
      items: expect.arrayContaining([
        expect.objectContaining({ key: 'control', version: expect.any(Number) }),
      ]),
    },
  })
  expect(await call('GET', '/api/ops/policies/control')).toMatchObject({
    status: 200,
    body: { key: 'control', value: { pause: { claims: true } } },
  })
  expect(await call('GET', '/api/ops/policies/unheard-of')).toMatchObject({
    status: 404,
    body: { code: 'OPS_013' },
  })
})

test('a rollback brings an earlier version back as the newest', async () => {
  await policy('proposal_caps', { daily_limit: 7 })
  const { version } = versioned.parse((await call('GET', '/api/ops/policies/proposal_caps')).body)
  await policy('proposal_caps', { daily_limit: 8 })
  const answer = await call('POST', '/api/ops/policies/proposal_caps/rollback', { version })
  expect(answer).toMatchObject({ status: 200, body: { key: 'proposal_caps', version: version + 2 } })
  expect(await call('GET', '/api/ops/policies/proposal_caps')).toMatchObject({
    body: { value: { daily_limit: 7 }, version: version + 2 },
  })
})

test('a version that never was is not found, an odd one is invalid', async () => {
  const path = '/api/ops/policies/proposal_caps/rollback'
  expect(await call('POST', path, { version: 9999 })).toMatchObject({
    status: 404,
    body: { code: 'OPS_013' },
  })
  for (const version of [0, 2 ** 31]) {
    expect(await call('POST', path, { version })).toMatchObject({
      status: 422,
      body: { details: { path: 'version' } },
    })
  }
  expect(await call('POST', path, {})).toMatchObject({ status: 422, body: { details: { path: 'version' } } })
})

test('a policy is put in force, once for each change, and says who did it', async () => {
  const before = versioned.parse((await call('GET', '/api/ops/policies/proposal_caps')).body).version
  const put = (body: unknown) => call('PUT', '/api/ops/policies/proposal_caps', body)
  const change = { value: { daily_limit: 3 }, expected_version: before, actor: 'ada' }
  expect(await put(change)).toMatchObject({ status: 200, body: { outcome: 'changed', version: before + 1 } })
  expect(await put(change)).toMatchObject({ status: 409, body: { code: 'OPS_014' } })
  expect(await put({ value: { daily_limit: 3 } })).toMatchObject({ body: { outcome: 'unchanged' } })
  const history = await call('GET', '/api/ops/policies/proposal_caps/history?limit=1')
  expect(history).toMatchObject({
    status: 200,
    body: { items: [{ version: before + 1, changed_by: expect.stringContaining('ada') }] },
  })
})

test('a policy is taken out of force, which its history shows and a rollback undoes', async () => {
  await policy('approvals', { expires_minutes: 9 })
  const { version } = versioned.parse((await call('GET', '/api/ops/policies/approvals')).body)
  const remove = (query: string) => call('DELETE', `/api/ops/policies/approvals?${query}`)
  expect(await remove(`expected_version=${version + 1}`)).toMatchObject({
    status: 409,
    body: { code: 'OPS_014' },
  })
  expect(await call('GET', '/api/ops/policies/approvals')).toMatchObject({ status: 200 })
  expect(await remove(`expected_version=${version}&actor=ada`)).toMatchObject({
    status: 200,
    body: { key: 'approvals', outcome: 'deleted', version: 0, previous_version: version },
  })
  for (const gone of [await call('GET', '/api/ops/policies/approvals'), await remove('')])
    expect(gone).toMatchObject({ status: 404, body: { code: 'OPS_013' } })
  expect(await call('GET', '/api/ops/policies/approvals/history?limit=1')).toMatchObject({
    body: { items: [{ action: 'delete', value: null, changed_by: expect.stringContaining('ada') }] },
  })
  expect(await call('POST', '/api/ops/policies/approvals/rollback', { version })).toMatchObject({
    body: { version: version + 1 },
  })
})

test('the policies of another time are those that were in force then', async () => {
  await policy('approvals', { expires_minutes: 11 })
  const { now } = z
    .object({ now: z.string() })
    .parse(
      (await db.sql`select to_char(ops.now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as now`)[0],
    )
  await policy('approvals', { expires_minutes: 12 })
  const answer = await call('GET', `/api/ops/policies?at=${now}`)
  expect(answer).toMatchObject({
    body: {
      items: expect.arrayContaining([
        expect.objectContaining({ key: 'approvals', value: { expires_minutes: 11 } }),
      ]),
    },
  })
  for (const at of [
    'yesterday',
    '0000-01-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-01-01T00:00:00+99:00',
  ]) {
    const answer = await call('GET', `/api/ops/policies?at=${encodeURIComponent(at)}`)
    expect(answer, at).toMatchObject({ status: 422, body: { code: 'OPS_011' } })
  }
})

test('what makes no sense is not put in force, and says where', async () => {
  const wrong = { value: { daily_limt: 3 } }
  expect(await call('PUT', '/api/ops/policies/proposal_caps', wrong)).toMatchObject({
    status: 422,
    body: { code: 'OPS_011', details: { path: 'daily_limt' } },
  })
  expect(await call('POST', '/api/ops/policies/proposal_caps/validate', wrong)).toMatchObject({
    status: 200,
    body: { ok: false, problems: [{ path: 'daily_limt' }] },
  })
  expect(await call('POST', '/api/ops/policies/schedules/validate', { value: {} })).toMatchObject({
    body: { ok: true, problems: [] },
  })
})

test('an event is tried on the matrix in force, or on a candidate', async () => {
  const pattern = (id: string, event_type: string) => ({
    id,
    event_type,
    template: { title: 'T', risk_level: 'low', steps: [{ kind: 'noop' }] },
  })
  await policy('reaction_matrix', { patterns: [pattern('mine', 'app:x')] })
  const attempt = (body: unknown) => call('POST', '/api/ops/policies/reaction_matrix/test', body)
  const event = { type: 'app:x' }
  expect(await attempt({ event })).toMatchObject({
    status: 200,
    body: { patterns: [{ pattern_id: 'mine', decision: 'matched' }], quarantined: [] },
  })
  expect(await attempt({ event, value: { patterns: [pattern('other', 'app:y')] } })).toMatchObject({
    body: { patterns: [{ pattern_id: 'other', decision: 'not_matched' }] },
  })
})

test.each([
  ['POST', '/api/ops/policies/reaction_matrix/validate', {}],
  ['POST', '/api/ops/policies/reaction_matrix/test', { event: { type: 'app:done' } }],
  ['PUT', '/api/ops/policies/reaction_matrix', {}],
])(
  '%s %s lets everything else have its turn between the patterns of a large matrix',
  async (method, path, rest) => {
    const template = { title: 'Test', steps: [{ kind: 'noop' }] }
    const patterns = Array.from({ length: 50 }, (_, n) => ({ id: `p${n}`, event_type: 'app:done', template }))
    const version = { key: 'reaction_matrix', outcome: 'changed' as const, version: 2, previous_version: 1 }
    const app = appOver({ ...engine, policies: async () => [], applyPolicies: async () => [version] })
    let clock = 0
    const spy = vi.spyOn(performance, 'now').mockImplementation(() => {
      clock += 1000
      return clock
    })
    let turns = 0
    let next = setImmediate(function count() {
      turns += 1
      next = setImmediate(count)
    })
    const answer = await caller(app)(method, path, { ...rest, value: { patterns } })
    clearImmediate(next)
    spy.mockRestore()
    expect(answer.status).toBe(200)
    expect(turns).toBeGreaterThanOrEqual(patterns.length)
  },
)
