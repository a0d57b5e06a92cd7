import { z } from '@hono/zod-openapi'
import { actorOf } from '../access/require.js'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const statuses = ['approved', 'running', 'succeeded', 'failed', 'cancelled'] as const

const mission = z
  .looseObject({
    id: http.id,
    proposal_id: http.id,
    title: z.string().nullable(),
    status: z.enum(statuses),
    steps_total: z.int(),
    steps_open: z.int().openapi({ description: 'Steps that have not ended.' }),
    started_at: http.timestamp.nullable(),
    completed_at: http.timestamp.nullable(),
    created_at: http.timestamp,
  })
  .openapi('Mission')

const list = http.guardedRoute('missions:read', {
  method: 'get',
  path: '/',
  tags: ['missions'],
  summary: 'List missions',
  request: { query: http.pageQuery.extend({ status: z.enum(statuses).optional(), canaries: http.canaries }) },
  responses: { 200: http.json(http.pageOf(mission), 'A page.'), ...http.guarded, ...http.invalid },
})

const show = http.guardedRoute('missions:read', {
  method: 'get',
  path: '/{id}',
  tags: ['missions'],
  summary: 'Show a mission',
  description:
    'Its steps: `GET /api/ops/steps?mission_id=…`. All that led to it and came of it: `GET /api/ops/trace/{id}`.',
  request: { params: http.idParam },
  responses: {
    200: http.json(mission, 'The mission.'),
    ...http.guarded,
    ...http.notFound,
    ...http.invalid,
  },
})

const cancel = http.guardedRoute('missions:cancel', {
  method: 'post',
  path: '/{id}/cancel',
  tags: ['missions'],
  summary: 'Cancel a mission',
  description: 'Steps that have not started are cancelled; steps in flight are told to stop.',
  request: { params: http.idParam, body: http.cancellation },
  responses: {
    200: http.json(
      z.object({ mission_id: http.id, status: z.string(), cancelled_steps: z.int() }),
      'Cancelled.',
    ),
    ...http.guarded,
    ...http.notFound,
    ...http.invalidBody,
  },
})

export function missionRoutes({ engine }: Services) {
  return router()
    .openapi(list, async (c) => {
      const { limit, after, ...filter } = c.req.valid('query')
      return c.json(http.page(await engine.listMissions(filter, limit, after), limit), 200)
    })
    .openapi(show, async (c) => {
      const { id } = c.req.valid('param')
      return c.json(http.found(await engine.listMissions({ id }, 1), 'mission', id), 200)
    })
    .openapi(cancel, async (c) => {
      const { actor, reason } = c.req.valid('json')
      return c.json(
        await engine.cancelMission(c.req.valid('param').id, { actor: actorOf(c, actor), reason }),
        200,
      )
    })
}
