import { z } from '@hono/zod-openapi'
import type { EmittedEvent, EventInput } from '../../engine/index.js'
import { OpsError } from '../../engine/index.js'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const eventInput = z
  .strictObject({
    type: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$/, 'must be 1 to 200 letters, digits, "_", ".", ":" or "-"'),
    data: http.jsonObject.optional(),
    dedupe_key: z.string().min(1).max(500).optional(),
  })
  .openapi('EventInput')

const batchInput = z.strictObject({ events: z.array(eventInput).min(1).max(1000) }).openapi('EventBatch')

const emitted = z
  .object({
    results: z.array(
      z.object({
        ordinal: z.int().openapi({ description: 'Position among the given events, from 1.' }),
        event_id: http.id.nullable(),
        outcome: z.enum(['accepted', 'duplicate', 'conflict']),
      }),
    ),
  })
  .openapi('EmittedEvents')

const event = z
  .looseObject({
    id: http.id,
    type: z.string(),
    data: http.jsonObject,
    depth: z.int(),
    root_event_id: http.id.nullable(),
    processed_at: http.timestamp.nullable(),
    created_at: http.timestamp,
  })
  .openapi('Event')

const emit = http.guardedRoute('events:write', {
  method: 'post',
  path: '/',
  tags: ['events'],
  summary: 'Report one event, or up to 1,000',
  description:
    'Answers after the events are stored. A `dedupe_key` (or, for one event, an `Idempotency-Key` header) makes repeating ' +
    'harmless: 200 for one that was there before, 409 if the key belongs to a different event.',
  request: {
    headers: http.idempotencyHeader,
    body: http.body(z.union([eventInput, batchInput]), {
      type: 'deploy:finished',
      data: { service: 'shop', version: '2.4.1' },
      dedupe_key: 'deploy-4711',
    }),
  },
  responses: {
    202: http.json(emitted, 'Stored.'),
    200: http.json(emitted, 'Nothing new: all of it was there before.'),
    ...http.guarded,
    ...http.conflict,
    ...http.invalidBody,
  },
})

const list = http.guardedRoute('events:read', {
  method: 'get',
  path: '/',
  tags: ['events'],
  summary: 'List events',
  request: {
    query: http.pageQuery.extend({
      type: z.string().optional(),
      processed: http.flag(),
      root_event_id: http.id.optional(),
      heartbeats: http.flag('False leaves the engine’s heartbeats out.', false),
      canaries: http.canaries,
    }),
  },
  responses: { 200: http.json(http.pageOf(event), 'A page.'), ...http.guarded, ...http.invalid },
})

const show = http.guardedRoute('events:read', {
  method: 'get',
  path: '/{id}',
  tags: ['events'],
  summary: 'Show an event',
  request: { params: http.idParam },
  responses: { 200: http.json(event, 'The event.'), ...http.guarded, ...http.notFound, ...http.invalid },
})

const why = http.guardedRoute('events:read', {
  method: 'get',
  path: '/{id}/why',
  tags: ['events'],
  summary: 'What each pattern decided about an event, and why',
  request: { params: http.idParam },
  responses: {
    200: http.json(
      z.object({
        event_id: http.id,
        decisions: z.array(
          z.object({
            pattern_id: z.string(),
            decision: z.string(),
            detail: http.jsonObject.nullable(),
            reaction_id: http.id.nullable(),
          }),
        ),
      }),
      'The decisions.',
    ),
    ...http.guarded,
    ...http.notFound,
    ...http.invalid,
  },
})

export function eventRoutes({ engine }: Services) {
  return router()
    .openapi(emit, async (c) => {
      const input = c.req.valid('json')
      const key = c.req.valid('header')['idempotency-key']
      const keyed = (events: EventInput[]) => (key === undefined ? events : [withKey(events, key)])
      const results = await ('events' in input
        ? engine.emitEvents(keyed(input.events))
        : Promise.all(keyed([input]).map(engine.emitEvent)))
      return c.json({ results }, statusOf(results))
    })
    .openapi(list, async (c) => {
      const { limit, after, ...filter } = c.req.valid('query')
      return c.json(http.page(await engine.listEvents(filter, limit, after), limit), 200)
    })
    .openapi(show, async (c) => {
      const { id } = c.req.valid('param')
      return c.json(http.found(await engine.listEvents({ id }, 1), 'event', id), 200)
    })
    .openapi(why, async (c) => {
      const { id } = c.req.valid('param')
      return c.json({ event_id: id, decisions: await engine.why(id) }, 200)
    })
}

/** The one event that an `Idempotency-Key` stands for. */
function withKey(events: EventInput[], key: string): EventInput {
  const [event, ...others] = events
  if (event === undefined || others.length > 0) {
    throw new OpsError('OPS_011', 'Idempotency-Key goes with a single event.', {
      details: { path: 'Idempotency-Key' },
      hint: 'give each event of a batch its own dedupe_key',
    })
  }
  if (event.dedupe_key !== undefined && event.dedupe_key !== key) {
    throw new OpsError('OPS_011', 'Idempotency-Key and dedupe_key differ.', {
      details: { path: 'dedupe_key' },
    })
  }
  return { ...event, dedupe_key: key }
}

/** @throws OpsError `OPS_014` for a single event whose key belongs to another; in a batch each result speaks for itself. */
function statusOf(results: EmittedEvent[]): 200 | 202 {
  const [only, ...others] = results
  if (only?.outcome === 'conflict' && others.length === 0) {
    throw new OpsError(
      'OPS_014',
      'The key belongs to an event with another type or other data; nothing was stored.',
      {
        details: { path: 'dedupe_key', event_id: only.event_id },
      },
    )
  }
  return results.every(({ outcome }) => outcome === 'duplicate') ? 200 : 202
}
