import { z } from '@hono/zod-openapi'
import { actorOf } from '../access/require.js'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const severity = z.enum(['critical', 'high', 'warning', 'info'])
const status = z.enum(['open', 'resolved'])

const alert = z
  .looseObject({
    id: http.id,
    rule: z.string(),
    subject: z.string(),
    severity,
    priority: z.string().openapi({ description: 'P0 critical, P1 high, P2 warning, P3 info.' }),
    status,
    summary: z.string(),
    value: z.number().nullable(),
    threshold: z.number().nullable(),
    opened_at: http.timestamp,
    resolved_at: http.timestamp.nullable(),
    acknowledged_at: http.timestamp.nullable(),
    acknowledged_by: z.string().nullable(),
    silenced: z.boolean(),
  })
  .openapi('Alert')

const list = http.guardedRoute('alerts:read', {
  method: 'get',
  path: '/',
  tags: ['alerts'],
  summary: 'List alerts',
  request: {
    query: http.pageQuery.extend({
      status: status.optional(),
      rule: z.string().max(100).optional(),
      severity: severity.optional(),
    }),
  },
  responses: { 200: http.json(http.pageOf(alert), 'A page.'), ...http.guarded, ...http.invalid },
})

const acknowledge = http.guardedRoute('alerts:write', {
  method: 'post',
  path: '/{id}/acknowledge',
  tags: ['alerts'],
  summary: 'Take an alert on',
  description: 'It is told again only when it gets worse, or ends.',
  request: {
    params: http.idParam,
    body: http.optionalBody(
      z.strictObject({ actor: http.actor.optional(), note: z.string().max(2000).optional() }),
    ),
  },
  responses: {
    200: http.json(alert, 'The alert.'),
    ...http.guarded,
    ...http.notFound,
    ...http.conflict,
    ...http.invalidBody,
  },
})

const silence = http.guardedRoute('alerts:write', {
  method: 'post',
  path: '/silences',
  tags: ['alerts'],
  summary: 'Keep a rule quiet for a time',
  request: {
    body: http.body(
      z.strictObject({
        rule: z.string().min(1).max(100).openapi({ description: '`*` for all.' }),
        subject: z.string().max(500).optional().openapi({ description: 'Only this one of the rule.' }),
        minutes: z.int().min(1).max(43_200),
        reason: z.string().trim().min(1).max(1000),
        actor: http.actor.optional(),
      }),
      { rule: 'queued_steps', minutes: 60, reason: 'a load test' },
    ),
  },
  responses: {
    200: http.json(z.object({ silence_id: http.id, until: http.timestamp }), 'Silent until then.'),
    ...http.guarded,
    ...http.invalidBody,
  },
})

export function alertRoutes({ engine }: Services) {
  return router()
    .openapi(list, async (c) => {
      const { limit, after, ...filter } = c.req.valid('query')
      return c.json(http.page(await engine.listAlerts(filter, limit, after), limit), 200)
    })
    .openapi(silence, async (c) => {
      const { actor, ...what } = c.req.valid('json')
      return c.json(await engine.silenceAlerts({ ...what, actor: actorOf(c, actor) }), 200)
    })
    .openapi(acknowledge, async (c) => {
      const { actor, note } = c.req.valid('json')
      const by = { actor: actorOf(c, actor), note }
      return c.json(await engine.acknowledgeAlert(c.req.valid('param').id, by), 200)
    })
}
