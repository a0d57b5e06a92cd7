import { z } from '@hono/zod-openapi'
import { actorOf } from '../access/require.js'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const statuses = ['waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled'] as const

const step = z
  .looseObject({
    id: http.id,
    mission_id: http.id,
    key: z.string(),
    kind: z.string(),
    executor: z.string().nullable(),
    status: z.enum(statuses),
    params: http.jsonObject,
    result: z.unknown(),
    failure_count: z.int(),
    last_error: z.string().nullable(),
    created_at: http.timestamp,
  })
  .openapi('Step')

const list = http.guardedRoute('steps:read', {
  method: 'get',
  path: '/',
  tags: ['steps'],
  summary: 'List steps',
  description: 'Dead letters are the steps with `status=failed`.',
  request: {
    query: http.pageQuery.extend({
      status: z.enum(statuses).optional(),
      mission_id: http.id.optional(),
      kind: z.string().optional(),
      executor: z.string().optional(),
    }),
  },
  responses: { 200: http.json(http.pageOf(step), 'A page.'), ...http.guarded, ...http.invalid },
})

const show = http.guardedRoute('steps:read', {
  method: 'get',
  path: '/{id}',
  tags: ['steps'],
  summary: 'Show a step',
  description: 'Its attempts: `GET /api/ops/trace/{id}`.',
  request: { params: http.idParam },
  responses: { 200: http.json(step, 'The step.'), ...http.guarded, ...http.notFound, ...http.invalid },
})

const retry = http.guardedRoute('steps:retry', {
  method: 'post',
  path: '/{id}/retry',
  tags: ['steps'],
  summary: 'Retry a dead step',
  description: 'Reopens its mission and the steps that were cancelled with it.',
  request: {
    params: http.idParam,
    body: http.optionalBody(z.strictObject({ actor: http.actor.optional() })),
  },
  responses: {
    200: http.json(
      z.object({
        step_id: http.id,
        status: z.string(),
        mission_id: http.id,
        mission_status: z.string(),
        reopened_steps: z.int(),
      }),
      'At work again.',
    ),
    ...http.guarded,
    ...http.notFound,
    ...http.conflict,
    ...http.invalidBody,
  },
})

const cancel = http.guardedRoute('steps:cancel', {
  method: 'post',
  path: '/{id}/cancel',
  tags: ['steps'],
  summary: 'Cancel a step',
  request: { params: http.idParam, body: http.cancellation },
  responses: {
    200: http.json(
      z.object({ step_id: http.id, status: z.string(), mission_status: z.string() }),
      'Cancelled.',
    ),
    ...http.guarded,
    ...http.notFound,
    ...http.invalidBody,
  },
})

const retryDead = http.guardedRoute('steps:retry', {
  method: 'post',
  path: '/dead/retry',
  tags: ['steps'],
  summary: 'Retry dead steps in bulk',
  request: {
    body: http.optionalBody(
      z.strictObject({
        kind: z.string().min(1).max(100).optional().openapi({ description: 'Only steps of this kind.' }),
        limit: z.int().min(1).max(1000).optional().openapi({ description: 'Default 100.' }),
        actor: http.actor.optional(),
      }),
    ),
  },
  responses: {
    200: http.json(
      z.object({ items: z.array(z.object({ step_id: http.id, mission_id: http.id })) }),
      'The steps that are at work again.',
    ),
    ...http.guarded,
    ...http.invalidBody,
  },
})

export function stepRoutes({ engine }: Services) {
  return router()
    .openapi(list, async (c) => {
      const { limit, after, ...filter } = c.req.valid('query')
      return c.json(http.page(await engine.listSteps(filter, limit, after), limit), 200)
    })
    .openapi(show, async (c) => {
      const { id } = c.req.valid('param')
      return c.json(http.found(await engine.listSteps({ id }, 1), 'step', id), 200)
    })
    .openapi(retryDead, async (c) => {
      const { actor, ...which } = c.req.valid('json')
      return c.json({ items: await engine.retryDeadSteps({ ...which, actor: actorOf(c, actor) }) }, 200)
    })
    .openapi(retry, async (c) => {
      const { actor } = c.req.valid('json')
      return c.json(await engine.retryStep(c.req.valid('param').id, { actor: actorOf(c, actor) }), 200)
    })
    .openapi(cancel, async (c) => {
      const { actor, reason } = c.req.valid('json')
      return c.json(
        await engine.cancelStep(c.req.valid('param').id, { actor: actorOf(c, actor), reason }),
        200,
      )
    })
}
