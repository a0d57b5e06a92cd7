import { z } from '@hono/zod-openapi'
import { runChecks, wantedChecks } from '../monitors/checks.js'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const severity = z.enum(['critical', 'high', 'warning', 'info'])
const outcome = z.enum(['clean', 'violated', 'failed', 'timed_out'])

const check = z
  .looseObject({
    name: z.string(),
    severity,
    detects: z.string(),
    shipped: z.boolean().openapi({ description: 'False for your own.' }),
    outcome: outcome.nullable(),
    ran_at: http.timestamp.nullable(),
    open: z.int().openapi({ description: 'Violations that are open.' }),
  })
  .openapi('Check')

const violation = z
  .looseObject({
    id: http.id,
    check_name: z.string(),
    subject: z.string(),
    severity,
    message: z.string(),
    occurrences: z.int(),
    resolved: z.boolean(),
    created_at: http.timestamp,
  })
  .openapi('Violation')

const list = http.guardedRoute('invariants:read', {
  method: 'get',
  path: '/',
  tags: ['invariants'],
  summary: 'List the checks, and how each went',
  responses: { 200: http.json(z.object({ items: z.array(check) }), 'All of them.'), ...http.guarded },
})

const violations = http.guardedRoute('invariants:read', {
  method: 'get',
  path: '/violations',
  tags: ['invariants'],
  summary: 'List violations',
  request: {
    query: http.pageQuery.extend({
      check_name: z.string().max(100).optional(),
      resolved: z
        .enum(['true', 'false'])
        .transform((text) => text === 'true')
        .optional(),
    }),
  },
  responses: { 200: http.json(http.pageOf(violation), 'A page.'), ...http.guarded, ...http.invalid },
})

const run = http.guardedRoute('invariants:run', {
  method: 'post',
  path: '/run',
  tags: ['invariants'],
  summary: 'Run checks now',
  request: {
    body: http.optionalBody(
      z.strictObject({ checks: z.array(z.string().min(1).max(100)).min(1).max(500).optional() }),
      {},
    ),
  },
  responses: {
    200: http.json(
      z.object({
        items: z.array(z.looseObject({ name: z.string(), outcome, violations: z.int() })),
        not_reached: z.array(z.string()),
      }),
      'How they went.',
    ),
    ...http.guarded,
    ...http.notFound,
    ...http.invalidBody,
  },
})

/** How long a request may take with checks, in milliseconds. */
const PATIENCE_MS = 20_000
const TIMEOUT_MS = 5000

export function invariantRoutes({ engine, now }: Services) {
  return router()
    .openapi(list, async (c) => c.json({ items: await engine.listChecks() }, 200))
    .openapi(violations, async (c) => {
      const { limit, after, ...filter } = c.req.valid('query')
      return c.json(http.page(await engine.listViolations(filter, limit, after), limit), 200)
    })
    .openapi(run, async (c) => {
      const until = now() + PATIENCE_MS
      const items: Awaited<ReturnType<typeof engine.runChecks>> = []
      const names = await wantedChecks(engine, c.req.valid('json').checks ?? [])
      const not_reached = await runChecks(
        engine,
        names,
        { timeoutMs: TIMEOUT_MS, mayGoOn: () => now() < until },
        (item) => items.push(item),
      )
      return c.json({ items, not_reached: [...not_reached] }, 200)
    })
}
