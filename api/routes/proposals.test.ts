import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { appOver, testApi, UNKNOWN_ID } from '../testing.js'

const { call, engine, policy, propose } = await testApi()
await policy('auto_approve', { enabled: false })

const template = { title: 'Test', steps: [{ kind: 'noop' }] }
const decide = (id: string, decision: 'approve' | 'reject', body: unknown = { actor: 'ada' }) =>
  call('POST', `/api/ops/proposals/${id}/${decision}`, body)

describe('POST /api/ops/proposals', () => {
  test('what the policy does not admit waits for approval', async () => {
    const answer = await call('POST', '/api/ops/proposals', { template })
    expect(answer).toMatchObject({ status: 201, body: { status: 'pending', mission_id: null } })
  })

  test('what the policy admits becomes a mission at once', async () => {
    await policy('auto_approve', { enabled: true, allowed_step_kinds: ['noop'] })
    const answer = await call('POST', '/api/ops/proposals', { template })
    await policy('auto_approve', { enabled: false })
    expect(answer).toMatchObject({
      status: 201,
      body: { status: 'auto_approved', mission_id: expect.any(String) },
    })
  })

  test('what goes beyond a cap is a rejected proposal with a code, not an error', async () => {
    await policy('proposal_caps', { per_source: { capped: 0 } })
    const answer = await call('POST', '/api/ops/proposals', { template, source: 'capped' })
    expect(answer).toMatchObject({ status: 201, body: { status: 'rejected', code: 'cap_source' } })
  })

  test('a dedupe_key that live work holds answers 200 with that proposal', async () => {
    const first = await call('POST', '/api/ops/proposals', { template, dedupe_key: 'live' })
    const second = await call('POST', '/api/ops/proposals', { template, dedupe_key: 'live' })
    expect(first.status).toBe(201)
    expect(second).toMatchObject({ status: 200, body: { proposal_id: idOf(first.body), code: 'duplicate' } })
  })

  test('Idempotency-Key makes a repeated call answer as the first did', async () => {
    const headers = { 'Idempotency-Key': 'again' }
    const first = await call('POST', '/api/ops/proposals', { template }, headers)
    const second = await call('POST', '/api/ops/proposals', { template }, headers)
    expect(idOf(second.body)).toBe(idOf(first.body))
  })

  test('is described with the limits that the gate has', async () => {
    const { components } = appOver(engine).getOpenAPI31Document({
      openapi: '3.1.0',
      info: { title: '', version: '' },
    })
    expect(components?.schemas?.ProposalInput).toMatchObject({
      properties: {
        source: { pattern: '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$', maxLength: 100 },
        dedupe_minutes: { exclusiveMinimum: 0, maximum: 525_600 },
      },
    })
    for (const beyond of [{ source: 'a b' }, { dedupe_minutes: 525_601 }]) {
      const [path] = Object.keys(beyond)
      expect(await call('POST', '/api/ops/proposals', { template, ...beyond })).toMatchObject({
        status: 422,
        body: { code: 'OPS_011', details: { path } },
      })
    }
  })

  test('a template that cannot run is refused with the reason', async () => {
    const answer = await call('POST', '/api/ops/proposals', { template: { title: 'Test', steps: [] } })
    expect(answer).toMatchObject({
      status: 422,
      body: { code: 'OPS_004', error: expect.stringContaining('steps') },
    })
  })

  test.each([
    ['no template', {}, 'template'],
    ['a template that is no object', { template: 'x' }, 'template'],
    ['an empty source', { template, source: '' }, 'source'],
  ])('%s is refused by the name of the field', async (_, body, path) => {
    const answer = await call('POST', '/api/ops/proposals', body)
    expect(answer).toMatchObject({ status: 422, body: { code: 'OPS_011', details: { path } } })
  })
})

describe('POST /api/ops/proposals/batch', () => {
  test('decides about each by itself, in order, and knows an item again', async () => {
    await policy('proposal_caps', { per_source: { capped: 0 } })
    const proposals = [
      { template, idempotency_key: 'batch-1' },
      { template: { title: 'Test', steps: [] } },
      { template, source: 'capped' },
    ]
    const answer = await call('POST', '/api/ops/proposals/batch', { proposals })
    expect(answer).toMatchObject({
      status: 200,
      body: {
        results: [
          { ordinal: 1, status: 'pending' },
          { ordinal: 2, status: 'invalid', code: 'OPS_004', proposal_id: null },
          { ordinal: 3, status: 'rejected', code: 'cap_source' },
        ],
      },
    })
    const again = await call('POST', '/api/ops/proposals/batch', { proposals: proposals.slice(0, 1) })
    expect(firstOf(again.body)).toBe(firstOf(answer.body))
  })

  test.each([
    ['nothing', { proposals: [] }, 'proposals'],
    ['too many', { proposals: Array(1001).fill({ template }) }, 'proposals'],
    ['an unknown field', { proposals: [{ template, key: 'x' }] }, 'proposals[0]'],
  ])('%s is refused by the name of the field', async (_, body, path) => {
    const answer = await call('POST', '/api/ops/proposals/batch', body)
    expect(answer).toMatchObject({ status: 422, body: { code: 'OPS_011', details: { path } } })
  })
})

describe('POST /api/ops/proposals/gate', () => {
  const gate = (body: unknown) => call('POST', '/api/ops/proposals/gate', body)

  test('says what would become of a template, and makes nothing', async () => {
    const before = await engine.listProposals()
    expect(await gate({ template })).toMatchObject({
      status: 200,
      body: { ok: false, code: 'pending_approval' },
    })
    await policy('auto_approve', { enabled: true, allowed_step_kinds: ['noop'] })
    expect(await gate({ template })).toMatchObject({ status: 200, body: { ok: true, code: 'auto_approved' } })
    await policy('auto_approve', { enabled: false })
    expect(await gate({ template: { title: 'Test', steps: [] } })).toMatchObject({
      status: 200,
      body: { ok: false, code: 'OPS_004', verdict: { path: 'steps' } },
    })
    expect(await engine.listProposals()).toEqual(before)
  })

  test('says what would become of a proposal, or what did', async () => {
    const { proposal_id } = await propose()
    expect(await gate({ proposal_id })).toMatchObject({ body: { ok: false, code: 'pending_approval' } })
    await decide(proposal_id, 'approve')
    expect(await gate({ proposal_id })).toMatchObject({ body: { ok: true, code: 'approved' } })
    expect(await gate({ proposal_id: UNKNOWN_ID })).toMatchObject({ status: 404, body: { code: 'OPS_013' } })
    expect(await gate({ template, proposal_id })).toMatchObject({ status: 422, body: { code: 'OPS_011' } })
  })
})

describe('POST /api/ops/proposals/:id/approve', () => {
  test('starts the mission, once', async () => {
    const { proposal_id } = await propose()
    const first = await decide(proposal_id, 'approve', { actor: 'ada', note: 'fine' })
    expect(first).toMatchObject({ status: 200, body: { status: 'approved', mission_id: expect.any(String) } })
    expect(await decide(proposal_id, 'approve')).toMatchObject({ status: 409, body: { code: 'OPS_009' } })
    expect(await decide(proposal_id, 'reject')).toMatchObject({ status: 409, body: { code: 'OPS_009' } })
  })

  test('is bound to the digest that the person saw', async () => {
    const { proposal_id } = await propose()
    const wrong = await decide(proposal_id, 'approve', { actor: 'ada', digest: '0'.repeat(64) })
    expect(wrong).toMatchObject({ status: 409, body: { code: 'OPS_009' } })
    const [proposal] = await engine.listProposals({ id: proposal_id })
    const right = await decide(proposal_id, 'approve', { actor: 'ada', digest: proposal?.digest })
    expect(right).toMatchObject({ status: 200, body: { status: 'approved' } })
  })

  test('is not for the agent that proposed', async () => {
    const { body } = await call('POST', '/api/ops/proposals', { template, proposed_by: 'scout' })
    const own = await decide(idOf(body), 'approve', { actor: 'scout' })
    expect(own).toMatchObject({ status: 409, body: { code: 'OPS_009' } })
  })

  test('answers 503 while approvals are paused', async () => {
    const { proposal_id } = await propose()
    await policy('control', { pause: { approvals: true } })
    const answer = await decide(proposal_id, 'approve')
    await policy('control', { pause: { approvals: false } })
    expect(answer).toMatchObject({ status: 503, body: { code: 'OPS_015' } })
  })

  test('needs to know who decides', async () => {
    const answer = await decide(UNKNOWN_ID, 'approve', {})
    expect(answer).toMatchObject({ status: 422, body: { code: 'OPS_011', details: { path: 'actor' } } })
  })

  test('an unknown proposal is not found', async () => {
    expect(await decide(UNKNOWN_ID, 'approve')).toMatchObject({ status: 404, body: { code: 'OPS_013' } })
  })
})

test('POST /api/ops/proposals/:id/reject ends it without a mission', async () => {
  const { proposal_id } = await propose()
  const answer = await decide(proposal_id, 'reject', { actor: 'ada', note: 'not now' })
  expect(answer).toMatchObject({ status: 200, body: { status: 'rejected', mission_id: null } })
  expect(await decide(UNKNOWN_ID, 'reject')).toMatchObject({ status: 404, body: { code: 'OPS_013' } })
})

describe('GET /api/ops/proposals', () => {
  test('lists by status and source', async () => {
    const { proposal_id } = await propose({ title: 'Newest' })
    const pending = await call('GET', '/api/ops/proposals?status=pending&source=api&limit=1')
    expect(pending).toMatchObject({ status: 200, body: { items: [{ id: proposal_id }], next: proposal_id } })
    expect(await call('GET', '/api/ops/proposals?source=nobody')).toMatchObject({
      body: { items: [], next: null },
    })
    expect(await call('GET', '/api/ops/proposals?status=odd')).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', details: { path: 'status' } },
    })
  })

  test('shows one with its digest', async () => {
    const { proposal_id } = await propose({ title: 'Shown' })
    expect(await call('GET', `/api/ops/proposals/${proposal_id}`)).toMatchObject({
      status: 200,
      body: { id: proposal_id, template: { title: 'Shown' }, digest: expect.any(String) },
    })
    expect(await call('GET', `/api/ops/proposals/${UNKNOWN_ID}`)).toMatchObject({
      status: 404,
      body: { code: 'OPS_013', details: { path: 'id' } },
    })
  })
})

function idOf(body: unknown): string {
  expect(body).toMatchObject({ proposal_id: expect.any(String) })
  return typeof body === 'object' && body !== null && 'proposal_id' in body ? String(body.proposal_id) : ''
}

function firstOf(body: unknown): string | null | undefined {
  const { results } = z
    .object({ results: z.array(z.object({ proposal_id: z.string().nullable() })) })
    .parse(body)
  return results[0]?.proposal_id
}
