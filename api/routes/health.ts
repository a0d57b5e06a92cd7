import { createRoute, z } from '@hono/zod-openapi'
import packageJson from '../../package.json' with { type: 'json' }
import { credentialsOf, mayObserve } from '../access/require.js'
import { channelStates } from '../monitors/notices.js'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const status = z.object({ status: z.string() })

const health = z
  .looseObject({
    status: z.enum(['healthy', 'degraded']).openapi({
      description:
        '`degraded` when the last heartbeat failed or is more than 15 minutes ago, and while the work is held.',
    }),
    version: z.string().openapi({ description: 'Of this program.' }),
    database: z.string(),
    schema_version: z.int(),
    queues: z.looseObject({
      events: z.int(),
      reactions: z.int(),
      proposals_pending: z.int(),
      steps: z.int(),
      steps_running: z.int(),
      missions_open: z.int(),
    }),
    counted_up_to: z.int().openapi({
      description: 'How far each of `queues` is counted: as many mean as many or more. `/metrics` counts on.',
    }),
    oldest_queued_seconds: z.number(),
    workers: z.looseObject({ live: z.int() }),
    last_heartbeat_at: http.timestamp.nullable(),
    last_heartbeat_ok: z.boolean().nullable(),
    alerts: z.record(z.string(), z.int()).openapi({ description: 'Open ones, by severity.' }),
    paused: http.jsonObject.openapi({ description: 'What the control switch pauses.' }),
    system_count: z
      .int()
      .openapi({ description: 'Services in the registry, live workers, and this control plane.' }),
    circuit_breakers: http.jsonObject.openapi({
      description: '`overall_health` is `healthy` while no breaker of a service is open.',
    }),
    capabilities: http.jsonObject.openapi({
      description: 'Executors that live workers offer, and whether each alert channel is set up.',
    }),
    held: z.boolean().openapi({
      description:
        'True in a restored copy of the database that waits for an operator: no step is handed out.',
    }),
  })
  .openapi('Health')

const details = createRoute({
  method: 'get',
  path: '/health',
  tags: ['observation'],
  summary: 'The state of the loop',
  description: 'Without a key only `status`.',
  security: [{ key: [] }, { header: [] }, {}],
  responses: {
    200: http.json(z.union([health, status]), 'It is well enough to answer.'),
    ...http.unavailable,
  },
})

const live = createRoute({
  method: 'get',
  path: '/livez',
  tags: ['observation'],
  summary: 'Whether this process answers',
  security: [],
  responses: { 200: http.json(status, 'It does.') },
})

const ready = createRoute({
  method: 'get',
  path: '/readyz',
  tags: ['observation'],
  summary: 'Whether the database answers too',
  security: [],
  responses: { 200: http.json(status, 'It does.'), ...http.unavailable },
})

export function healthRoutes({ engine, config, identify }: Services) {
  return router()
    .openapi(details, async (c) => {
      const report = await engine.health()
      const known = mayObserve(await identify(credentialsOf(c)))
      if (!known) return c.json({ status: report.status }, 200)
      const [alerts] = await engine.policies(['alerts'])
      const capabilities = {
        ...Object(report.capabilities),
        channels: channelStates(alerts?.value, config.channels.variables),
      }
      return c.json({ version: packageJson.version, ...report, capabilities }, 200)
    })
    .openapi(live, (c) => c.json({ status: 'ok' }, 200))
    .openapi(ready, async (c) => {
      await engine.health()
      return c.json({ status: 'ok' }, 200)
    })
}
