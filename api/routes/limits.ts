import { z } from '@hono/zod-openapi'
import { actorOf } from '../access/require.js'
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

const hold = http.guardedRoute('observe:read', {
  method: 'get',
  path: '/hold',
  tags: ['observation'],
  summary: 'Whether this is a restored copy that waits for an operator',
  responses: {
    200: http.json(
      z
        .object({
          held: z.boolean().openapi({ description: 'True: no step is handed out.' }),
          home: z.string().nullable().openapi({ description: 'The database in which the work is at home.' }),
          home_since: http.timestamp.nullable(),
          here: z.string().openapi({ description: 'This database.' }),
          steps_running: z.int().openapi({ description: 'In flight when the copy was taken.' }),
          steps_queued: z.int(),
          counted_up_to: z.int().openapi({ description: 'Where the count of what is queued ends.' }),
        })
        .openapi('Hold'),
      'What waits in it.',
    ),
    ...http.guarded,
  },
})

const release = http.guardedRoute('hold:release', {
  method: 'post',
  path: '/hold/release',
  tags: ['observation'],
  summary: 'Say that the work goes on in this database, and nowhere else',
  description:
    'Cancel first what must not run again (`docs/reliability.md`). Steps are handed out again, and those whose lease is over are taken back.',
  request: {
    body: http.optionalBody(z.strictObject({ actor: http.actor.optional() })),
  },
  responses: {
    200: http.json(
      z.object({
        released: z.boolean().openapi({ description: 'False when nothing was held.' }),
        steps_running: z.int(),
      }),
      'It goes on.',
    ),
    ...http.guarded,
    ...http.invalidBody,
  },
})

/** What holds work back: caps that are used up, services that are down, a copy that was restored. */
export function limitRoutes({ engine }: Services) {
  return router()
    .openapi(caps, async (c) => c.json({ items: await engine.capUsage() }, 200))
    .openapi(services, async (c) => c.json({ items: await engine.listServices() }, 200))
    .openapi(hold, async (c) => c.json(await engine.hold(), 200))
    .openapi(release, async (c) => {
      const { actor } = c.req.valid('json')
      return c.json(await engine.releaseHold({ actor: actorOf(c, actor) }), 200)
    })
}
