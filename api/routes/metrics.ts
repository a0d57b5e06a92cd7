import { z } from '@hono/zod-openapi'
import { PROMETHEUS_TYPE, prometheusText } from '../metrics.js'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const scrape = http.guardedRoute('observe:read', {
  method: 'get',
  path: '/metrics',
  tags: ['observation'],
  summary: 'Metrics for Prometheus',
  description:
    'All values come from the database, so that it does not matter which instance is asked. Totals of steps are added up by the ' +
    'heartbeat and follow a minute behind.',
  responses: {
    200: {
      description: 'In Prometheus’ text form.',
      content: {
        'text/plain': {
          schema: z.string(),
          example:
            '# HELP ops_queue_depth What waits, or is under way.\n# TYPE ops_queue_depth gauge\nops_queue_depth{queue="steps"} 3\n',
        },
      },
    },
    ...http.guarded,
  },
})

export function metricsRoutes({ engine }: Services) {
  return router().openapi(scrape, async (c) =>
    c.text(await prometheusText(await engine.metrics()), 200, { 'Content-Type': PROMETHEUS_TYPE }),
  )
}
