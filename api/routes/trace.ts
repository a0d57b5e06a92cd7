import { z } from '@hono/zod-openapi'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const link = z
  .object({
    position: z.int(),
    entity: z.string(),
    id: http.id,
    parent_id: http.id.nullable(),
    at: http.timestamp.nullable(),
    status: z.string().nullable(),
    summary: z.string().nullable(),
    details: http.jsonObject.nullable(),
  })
  .openapi('TraceEntry')

const trace = http.guardedRoute('traces:read', {
  method: 'get',
  path: '/{id}',
  tags: ['trace'],
  summary: 'The whole chain around any event, reaction, proposal, mission, step or run',
  request: { params: http.idParam },
  responses: {
    200: http.json(z.object({ items: z.array(link) }), 'Causes before effects.'),
    ...http.guarded,
    ...http.notFound,
    ...http.invalid,
  },
})

const timeline = http.guardedRoute('traces:read', {
  method: 'get',
  path: '/',
  tags: ['trace'],
  summary: 'What happened since a time, oldest first',
  description:
    'One entry for each thing that reached a state. Transactions commit late: poll with an overlap, and skip what was seen by ' +
    '`entity`, `id` and `status`.',
  request: {
    query: z.strictObject({
      since: z.iso.datetime({ offset: true }).openapi({ example: '2026-01-31T09:00:00Z' }),
      limit: z.coerce.number().int().min(1).max(5000).default(500),
    }),
  },
  responses: {
    200: http.json(
      z.object({
        items: z.array(
          z
            .object({
              at: http.timestamp,
              entity: z.enum(['event', 'reaction', 'proposal', 'step', 'mission']),
              id: http.id,
              root_event_id: http.id.nullable(),
              status: z.string(),
              summary: z.string().nullable(),
              details: http.jsonObject,
            })
            .openapi('TimelineEntry'),
        ),
      }),
      'What happened.',
    ),
    ...http.guarded,
    ...http.invalid,
  },
})

export function timelineRoutes({ engine }: Services) {
  return router().openapi(timeline, async (c) => {
    const { since, limit } = c.req.valid('query')
    return c.json({ items: await engine.timeline(since, limit) }, 200)
  })
}

export function traceRoutes({ engine }: Services) {
  return router().openapi(trace, async (c) =>
    c.json({ items: await engine.trace(c.req.valid('param').id) }, 200),
  )
}
