import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { testApi, UNKNOWN_ID } from '../testing.js'

const { call, policy, propose } = await testApi()

describe('the radar', () => {
  test('takes signals, changes them, and lists them by stage', async () => {
    const added = await call('POST', '/api/ops/radar', { title: 'CSV export', impact_areas: ['reports'] })
    expect(added).toMatchObject({ status: 201, body: { stage: 'watching', created: true } })
    const { id } = z.object({ id: z.string() }).parse(added.body)
    expect(await call('PATCH', `/api/ops/radar/${id}`, { stage: 'building' })).toMatchObject({
      status: 200,
      body: { id, stage: 'building', previous_stage: 'watching' },
    })
    expect(await call('GET', '/api/ops/radar?stage=building')).toMatchObject({
      status: 200,
      body: { items: [{ id, title: 'CSV export', impact_areas: ['reports'] }] },
    })
    expect(await call('GET', '/api/ops/radar?stage=watching')).toMatchObject({ body: { items: [] } })
  })

  test.each([
    ['no title', {}, 'title'],
    ['an unknown stage', { title: 'T', stage: 'done' }, 'stage'],
    ['an unknown field', { title: 'T', titel: 'T' }, ''],
  ])('%s is refused by the name of the field', async (_, body, path) => {
    expect(await call('POST', '/api/ops/radar', body)).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', details: { path } },
    })
  })

  test('a title has at most 300 characters, whether it is new or changed', async () => {
    const refused = { status: 422, body: { code: 'OPS_011', details: { path: 'title' } } }
    const { body } = await call('POST', '/api/ops/radar', { title: 'T'.repeat(300) })
    const { id } = z.object({ id: z.string() }).parse(body)
    expect(await call('POST', '/api/ops/radar', { title: 'T'.repeat(301) })).toMatchObject(refused)
    expect(await call('PATCH', `/api/ops/radar/${id}`, { title: 'T'.repeat(301) })).toMatchObject(refused)
  })

  test('an unknown item is not found', async () => {
    expect(await call('PATCH', `/api/ops/radar/${UNKNOWN_ID}`, { stage: 'shipped' })).toMatchObject({
      status: 404,
      body: { code: 'OPS_013' },
    })
  })
})

describe('GET /api/ops/timeline', () => {
  test('tells what happened since a time, oldest first, as many as asked for', async () => {
    const { proposal_id } = await propose({ risk_level: 'high' })
    const all = await call('GET', '/api/ops/timeline?since=2020-01-01T00:00:00Z')
    expect(all).toMatchObject({
      status: 200,
      body: {
        items: expect.arrayContaining([expect.objectContaining({ entity: 'proposal', id: proposal_id })]),
      },
    })
    await call('POST', '/api/ops/events', { type: 'later:event' })
    const one = z.object({ items: z.array(z.unknown()).length(1) })
    one.parse((await call('GET', '/api/ops/timeline?since=2020-01-01T00:00:00Z&limit=1')).body)
    const later = encodeURIComponent('2999-01-01T00:00:00+00:00')
    expect(await call('GET', `/api/ops/timeline?since=${later}`)).toMatchObject({
      status: 200,
      body: { items: [] },
    })
  })

  test.each([
    ['', 'since'],
    ['since=yesterday', 'since'],
    ['since=2020-01-01T00:00:00Z&limit=5001', 'limit'],
  ])('?%s is refused', async (query, path) => {
    expect(await call('GET', `/api/ops/timeline?${query}`)).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', details: { path } },
    })
  })
})

describe('what holds work back', () => {
  test('caps are shown with what they counted today', async () => {
    await policy('proposal_caps', { daily_limit: 20, per_source: { quiet: 3 } })
    const { body } = await call('GET', '/api/ops/caps')
    expect(body).toMatchObject({
      items: expect.arrayContaining([
        expect.objectContaining({ scope: 'daily', name: '', max_units: 20 }),
        expect.objectContaining({ scope: 'source', name: 'quiet', used: 0, max_units: 3 }),
      ]),
    })
  })

  test('services are shown with their state', async () => {
    await policy('services', { services: { billing: { url: 'https://billing.example/health' } } })
    expect(await call('GET', '/api/ops/services')).toMatchObject({
      status: 200,
      body: { items: [{ name: 'billing', state: 'closed', healthy: null, held_steps: 0 }] },
    })
  })
})
