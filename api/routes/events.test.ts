import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { testApi, UNKNOWN_ID } from '../testing.js'

const { call, db, engine, policy } = await testApi()

const idOf = async (type: string) => (await engine.listEvents({ type }))[0]?.id

describe('POST /api/ops/events', () => {
  test('stores one event and says so', async () => {
    const answer = await call('POST', '/api/ops/events', {
      type: 'deploy:finished',
      data: { service: 'shop' },
    })
    expect(answer).toMatchObject({ status: 202, body: { results: [{ ordinal: 1, outcome: 'accepted' }] } })
    const [stored] = await engine.listEvents({ type: 'deploy:finished' })
    expect(stored).toMatchObject({ data: { service: 'shop' }, processed_at: null, depth: 0 })
    expect(answer.body).toMatchObject({ results: [{ event_id: stored?.id }] })
  })

  test('a repeated dedupe_key answers 200 with the first event, and 409 for another event', async () => {
    const event = { type: 'deploy:once', data: { n: 1 }, dedupe_key: 'once' }
    const first = await call('POST', '/api/ops/events', event)
    const again = await call('POST', '/api/ops/events', event)
    const event_id = await idOf('deploy:once')
    expect(first).toMatchObject({ status: 202, body: { results: [{ event_id, outcome: 'accepted' }] } })
    expect(again).toMatchObject({ status: 200, body: { results: [{ event_id, outcome: 'duplicate' }] } })
    const other = await call('POST', '/api/ops/events', { ...event, data: { n: 2 } })
    expect(other).toMatchObject({
      status: 409,
      body: { code: 'OPS_014', details: { path: 'dedupe_key', event_id } },
    })
  })

  test('Idempotency-Key is the dedupe_key of a single event', async () => {
    const event = { type: 'deploy:keyed' }
    const headers = { 'Idempotency-Key': 'keyed-1' }
    expect(await call('POST', '/api/ops/events', event, headers)).toMatchObject({ status: 202 })
    expect(await call('POST', '/api/ops/events', event, headers)).toMatchObject({ status: 200 })
    expect(await call('POST', '/api/ops/events', { ...event, dedupe_key: 'keyed-1' })).toMatchObject({
      status: 200,
    })
    expect(await call('POST', '/api/ops/events', { ...event, dedupe_key: 'other' }, headers)).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', details: { path: 'dedupe_key' } },
    })
    expect(await call('POST', '/api/ops/events', { events: [event, event] }, headers)).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', details: { path: 'Idempotency-Key' } },
    })
  })

  test('takes 1,000 at once and answers for each', async () => {
    const events = Array.from({ length: 1000 }, (_, n) => ({
      type: 'bulk:event',
      dedupe_key: `bulk-${n % 999}`,
    }))
    const answer = await call('POST', '/api/ops/events', { events })
    expect(answer).toMatchObject({ status: 202 })
    const outcomes = outcomesOf(answer.body)
    expect(outcomes.filter((outcome) => outcome === 'accepted')).toHaveLength(999)
    expect(outcomes.filter((outcome) => outcome === 'duplicate')).toHaveLength(1)
    expect(await call('POST', '/api/ops/events', { events })).toMatchObject({ status: 200 })
  })

  test('a conflict inside a batch is told by its result and stops nothing', async () => {
    await call('POST', '/api/ops/events', { type: 'batch:a', dedupe_key: 'batch' })
    const events = [{ type: 'batch:b', dedupe_key: 'batch' }, { type: 'batch:c' }]
    const answer = await call('POST', '/api/ops/events', { events })
    expect(answer).toMatchObject({ status: 202 })
    expect(outcomesOf(answer.body)).toEqual(['conflict', 'accepted'])
  })

  test.each([
    ['no type', {}, 'type'],
    ['an odd type', { type: 'has space' }, 'type'],
    ['data that is no object', { type: 'a', data: [1] }, 'data'],
    ['an empty key', { type: 'a', dedupe_key: '' }, 'dedupe_key'],
    ['an unknown field', { type: 'a', dedupeKey: 'x' }, ''],
    ['an empty batch', { events: [] }, 'events'],
    ['too many', { events: Array(1001).fill({ type: 'a' }) }, 'events'],
    ['one bad event of many', { events: [{ type: 'a' }, { type: 'b', data: 1 }] }, 'events[1].data'],
    ["the engine's own type", { type: 'mission:succeeded' }, 'type'],
    ["the engine's own type in a batch", { events: [{ type: 'mission:succeeded' }] }, 'events[0].type'],
    ['no object', [], ''],
  ])('%s is refused by the name of the field', async (_, body, path) => {
    const answer = await call('POST', '/api/ops/events', body)
    expect(answer).toMatchObject({ status: 422, body: { code: 'OPS_011', details: { path } } })
  })

  test('characters that Postgres cannot hold are replaced', async () => {
    const text = 'a\u0000b'
    expect(await call('POST', '/api/ops/events', { type: 'odd:text', data: { text } })).toMatchObject({
      status: 202,
    })
    expect(await engine.listEvents({ type: 'odd:text' })).toMatchObject([{ data: { text: 'a\ufffdb' } }])
  })

  test('a paused intake answers 503 and stores nothing', async () => {
    await policy('control', { pause: { intake: true } })
    const answer = await call('POST', '/api/ops/events', { type: 'paused:event' })
    await policy('control', { pause: { intake: false } })
    expect(answer).toMatchObject({
      status: 503,
      body: { code: 'OPS_015', details: { path: 'control.pause.intake' } },
    })
    expect(await idOf('paused:event')).toBeUndefined()
  })
})

describe('GET /api/ops/events', () => {
  test('pages through the newest first, by type', async () => {
    const events = [1, 2, 3].map((n) => ({ type: 'page:event', data: { n } }))
    for (const event of events) await call('POST', '/api/ops/events', event)
    const first = await call('GET', '/api/ops/events?type=page:event&limit=2')
    expect(first).toMatchObject({ status: 200, body: { items: [{ data: { n: 3 } }, { data: { n: 2 } }] } })
    const { next } = z.object({ next: z.string() }).parse(first.body)
    const second = await call('GET', `/api/ops/events?type=page:event&limit=2&after=${next}`)
    expect(second).toMatchObject({ status: 200, body: { items: [{ data: { n: 1 } }], next: null } })
  })

  test('filters by whether events were processed', async () => {
    expect(await call('GET', '/api/ops/events?processed=true')).toMatchObject({
      body: { items: [], next: null },
    })
    const waiting = await call('GET', '/api/ops/events?processed=false&limit=1')
    expect(waiting).toMatchObject({ body: { items: [{ processed_at: null }] } })
  })

  test('leaves the engine’s heartbeats out when asked to', async () => {
    await call('POST', '/api/ops/heartbeat')
    const newest = z.object({ items: z.array(z.object({ type: z.string() })) })
    const typesOf = async (query: string) =>
      newest.parse((await call('GET', `/api/ops/events?${query}`)).body).items.map(({ type }) => type)
    expect(await typesOf('limit=1')).toEqual(['heartbeat:success'])
    expect(await typesOf('limit=1&heartbeats=true')).toEqual(['heartbeat:success'])
    expect(await typesOf('limit=1&heartbeats=false')).toEqual(['page:event'])
  })

  test('and proposals and missions leave the engine’s canaries out when asked to', async () => {
    await db.sql`delete from ops.watch where part = 'canary'`
    await call('POST', '/api/ops/heartbeat')
    for (const list of ['events?heartbeats=false&', 'proposals?', 'missions?']) {
      const canaries = async (query: string) =>
        JSON.stringify((await call('GET', `/api/ops/${list}${query}`)).body).includes('"canary"')
      expect({ list, all: await canaries('limit=200') }).toEqual({ list, all: true })
      expect({ list, left: await canaries('limit=200&canaries=false') }).toEqual({ list, left: false })
    }
  })

  test.each([
    'events?tpye=a',
    'missions?stauts=failed',
    'proposals?state=pending',
    'steps?mission=1',
    'alerts?open=true',
    'radar?stages=watching',
    'policies?keys=control',
    'invariants/violations?check=order',
  ])('and no list takes a filter that it does not know: %s', async (list) => {
    const name = /\?(\w+)=/.exec(list)?.[1]
    expect(await call('GET', `/api/ops/${list}`)).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', error: expect.stringContaining(`"${name}"`) },
    })
  })

  test.each([
    'canaries=no',
    'heartbeats=no',
    'limit=0',
    'limit=201',
    'limit=x',
    'after=x',
    'processed=maybe',
    'root_event_id=1',
  ])('%s is refused', async (query) => {
    const [path] = query.split('=')
    const answer = await call('GET', `/api/ops/events?${query}`)
    expect(answer).toMatchObject({ status: 422, body: { code: 'OPS_011', details: { path } } })
  })
})

describe('GET /api/ops/events/:id/why', () => {
  test('says what each pattern decided', async () => {
    await policy('reaction_matrix', {
      patterns: [
        { id: 'wanted', event_type: 'why:event', template: { title: 'T', steps: [{ kind: 'noop' }] } },
        { id: 'other', event_type: 'else:event', template: { title: 'T', steps: [{ kind: 'noop' }] } },
      ],
    })
    await call('POST', '/api/ops/events', { type: 'why:event' })
    const id = await idOf('why:event')
    expect(await call('GET', `/api/ops/events/${id}/why`)).toMatchObject({
      status: 200,
      body: { event_id: id, decisions: [] },
    })
    await call('POST', '/api/ops/heartbeat')
    expect(await call('GET', `/api/ops/events/${id}/why`)).toMatchObject({
      status: 200,
      body: {
        decisions: expect.arrayContaining([
          expect.objectContaining({
            pattern_id: 'wanted',
            decision: 'matched',
            reaction_id: expect.any(String),
          }),
          expect.objectContaining({ pattern_id: 'other', decision: 'not_matched' }),
        ]),
      },
    })
  })

  test('an unknown event is not found, an odd id is invalid', async () => {
    expect(await call('GET', `/api/ops/events/${UNKNOWN_ID}/why`)).toMatchObject({
      status: 404,
      body: { code: 'OPS_013' },
    })
    expect(await call('GET', '/api/ops/events/x/why')).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', details: { path: 'id' } },
    })
  })
})

/** The outcomes in the order of the events. */
function outcomesOf(body: unknown): string[] {
  const { results } = z
    .object({ results: z.array(z.object({ ordinal: z.int(), outcome: z.string() })) })
    .parse(body)
  return results.sort((a, b) => a.ordinal - b.ordinal).map(({ outcome }) => outcome)
}
