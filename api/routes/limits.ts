import { z } from '@hono/zod-openapi'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const cap = z
  .object({
    day: z
      .string()
      .openapi({ description: 'In the time zone of policy `proposal_caps`.', example: '2026-01-31' }),
    scope: z.string().openapi({ description: '`daily`, `source`, `agent`, `step_kind` or `pattern`.' }),
    name: z.string().openapi({ description: 'Of the source, agent, …; empty for `daily`.' }),
    used: z.int(),
    max_units: z
      .int()
      .nullable()
      .openapi({ description: 'Null where policy sets no limit. So is `max_usd`.' }),
    used_usd: z.number(),
    max_usd: z.number().nullable(),
  })
  .openapi('CapUsage')

const service = z
  .looseObject({
    name: z.string(),
    url: z.string(),
    state: z.enum(['closed', 'open']).openapi({ description: '`open`: steps that name it wait.' }),
    healthy: z.boolean().nullable().openapi({ description: 'Null before the first check.' }),
    failures: z.int().openapi({ description: 'Failed checks in a row.' }),
    error: z.string().nullable(),
    checked_at: http.timestamp.nullable(),
    next_check_at: http.timestamp.nullable(),
    held_steps: z.int().openapi({ description: 'Steps that wait for it.' }),
  })
  .openapi('Service')

const caps = http.guardedRoute('observe:read', {
  method: 'get',
  path: '/caps',
  tags: ['observation'],
  summary: 'What the caps counted today, beside their limits',
  responses: { 200: http.json(z.object({ items: z.array(cap) }), 'All of them.'), ...http.guarded },
})

const services = http.guardedRoute('observe:read', {
  method: 'get',
  path: '/services',
  tags: ['observation'],
  summary: 'The services that policy `services` lists, and how they are',
  responses: { 200: http.json(z.object({ items: z.array(service) }), 'By name.'), ...http.guarded },
})

/** What holds work back: caps that are used up, services that are down. */
export function limitRoutes({ engine }: Services) {
  return router()
    .openapi(caps, async (c) => c.json({ items: await engine.capUsage() }, 200))
    .openapi(services, async (c) => c.json({ items: await engine.listServices() }, 200))
}
