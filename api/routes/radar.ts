import { z } from '@hono/zod-openapi'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const stage = z.enum(['watching', 'validating', 'building', 'shipped'])
const title = z.string().min(1).max(300)
const text = z.string().max(10_000).optional()

const changes = z.strictObject({
  title: title.optional(),
  description: text,
  stage: stage.optional(),
  notes: text,
  topic: text,
  source_url: text,
  evidence_snippet: text,
  confidence: z.enum(['low', 'medium', 'high']).optional(),
})

const item = changes
  .extend({
    title,
    entity: text,
    event_type: text,
    impact_areas: z.array(z.string().min(1).max(200)).max(100).optional(),
    curator_name: text,
  })
  .openapi('RadarItemInput')

const stored = z
  .looseObject({
    id: http.id,
    title: z.string(),
    description: z.string().nullable(),
    stage,
    notes: z.string().nullable(),
    created_at: http.timestamp,
    updated_at: http.timestamp,
  })
  .openapi('RadarItem')

const list = http.guardedRoute('radar:read', {
  method: 'get',
  path: '/',
  tags: ['radar'],
  summary: 'List what is on the radar, the last changed first',
  request: {
    query: z.strictObject({
      stage: stage.optional().openapi({ example: 'watching' }),
      limit: z.coerce.number().int().min(1).max(200).default(50),
    }),
  },
  responses: {
    200: http.json(z.object({ items: z.array(stored) }), 'The items.'),
    ...http.guarded,
    ...http.invalid,
  },
})

const add = http.guardedRoute('radar:write', {
  method: 'post',
  path: '/',
  tags: ['radar'],
  summary: 'Put a signal on the radar',
  request: {
    body: http.body(item, {
      title: 'CSV export',
      topic: 'reports',
      confidence: 'high',
    }),
  },
  responses: {
    201: http.json(z.object({ id: http.id, stage, created: z.boolean() }), 'It is there.'),
    ...http.guarded,
    ...http.invalidBody,
  },
})

const update = http.guardedRoute('radar:write', {
  method: 'patch',
  path: '/{id}',
  tags: ['radar'],
  summary: 'Change an item of the radar',
  description: 'Fields that are left out stay as they are.',
  request: {
    params: http.idParam,
    body: http.body(changes, { stage: 'validating', notes: 'three asked for it' }),
  },
  responses: {
    200: http.json(z.object({ id: http.id, stage, previous_stage: stage }), 'Its stage now and before.'),
    ...http.guarded,
    ...http.notFound,
    ...http.invalidBody,
  },
})

export function radarRoutes({ engine }: Services) {
  return router()
    .openapi(list, async (c) => {
      const { stage, limit } = c.req.valid('query')
      return c.json({ items: await engine.radarList(stage, limit) }, 200)
    })
    .openapi(add, async (c) => c.json(await engine.radarAdd(c.req.valid('json')), 201))
    .openapi(update, async (c) =>
      c.json(await engine.radarUpdate(c.req.valid('param').id, c.req.valid('json')), 200),
    )
}
