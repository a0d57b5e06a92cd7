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

export function traceRoutes({ engine }: Services) {
  return router().openapi(trace, async (c) =>
    c.json({ items: await engine.trace(c.req.valid('param').id) }, 200),
  )
}
