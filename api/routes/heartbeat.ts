import { z } from '@hono/zod-openapi'
import { beat } from '../heartbeat.js'
import { phases } from '../phases/index.js'
import { router, type Services } from '../router.js'
import { guarded, guardedRoute, json } from '../schemas.js'

const problem = z.object({ phase: z.string(), code: z.string(), message: z.string() })

/** Widened on purpose: which phases there are is known when the program runs, not when it is compiled. */
const results: object = Object.fromEntries(
  phases.map(({ result, counts }) => [
    result,
    z.object(Object.fromEntries(Object.keys(counts).map((name) => [name, z.int()]))),
  ]),
)

const beatReport = z
  .looseObject({
    ok: z.boolean().openapi({ description: 'False when a phase failed; see `errors`.' }),
    ...results,
    drained: z.boolean().openapi({ description: 'False when work was left to the next beat.' }),
    durations_ms: z.record(z.string(), z.number()),
    errors: z.array(problem),
    warnings: z.array(problem),
  })
  .openapi('Heartbeat', {
    example: {
      ok: true,
      ...Object.fromEntries(phases.map(({ result, counts }) => [result, counts])),
      drained: true,
      durations_ms: { trigger: 12, reactions: 9, leases: 3, total: 28 },
      errors: [],
      warnings: [],
    },
  })

const route = (method: 'get' | 'post') =>
  guardedRoute('heartbeat:run', {
    method,
    path: '/',
    tags: ['heartbeat'],
    summary: method === 'post' ? 'Beat once' : 'Beat once, for schedulers that can only GET',
    description:
      'Turns events into reactions and reactions into proposals, and recovers what hangs, until all is done or time is up. ' +
      'Safe to repeat and to overlap. Opens with `OPS_API_KEY` or `CRON_SECRET`.',
    responses: {
      ...guarded,
      200: json(beatReport, 'What the beat did.'),
      500: json(beatReport, 'A phase failed; the others did their work.'),
      503: json(beatReport, 'The database is away.'),
    },
  })

export function heartbeatRoutes({ engine, config, now }: Services) {
  const routes = router()
  for (const method of ['get', 'post'] as const) {
    routes.openapi(route(method), async (c) => {
      const report = await beat({ engine, config, log: c.get('log'), now })
      if (report.ok) return c.json(report, 200)
      return c.json(report, report.errors.some(({ code }) => code === 'OPS_001') ? 503 : 500)
    })
  }
  return routes
}
