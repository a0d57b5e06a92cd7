import { z } from '@hono/zod-openapi'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'

const policy = z
  .object({ key: z.string(), value: z.unknown(), version: z.int(), updated_at: http.timestamp })
  .openapi('Policy')

const keyParam = z.object({
  key: z.string().min(1).max(100).openapi({ example: 'proposal_caps' }),
})

const list = http.guardedRoute('policies:read', {
  method: 'get',
  path: '/',
  tags: ['policies'],
  summary: 'List the policies in force',
  responses: { 200: http.json(z.object({ items: z.array(policy) }), 'All of them.'), ...http.guarded },
})

const show = http.guardedRoute('policies:read', {
  method: 'get',
  path: '/{key}',
  tags: ['policies'],
  summary: 'Show a policy',
  request: { params: keyParam },
  responses: {
    200: http.json(policy, 'The policy.'),
    ...http.guarded,
    ...http.notFound,
    ...http.invalid,
  },
})

const rollback = http.guardedRoute('policies:write', {
  method: 'post',
  path: '/{key}/rollback',
  tags: ['policies'],
  summary: 'Bring back an earlier version of a policy',
  description: 'It becomes the newest version; nothing is lost from the history.',
  request: { params: keyParam, body: http.body(z.strictObject({ version: z.int().min(1) }), { version: 1 }) },
  responses: {
    200: http.json(z.object({ key: z.string(), version: z.int() }), 'The new version.'),
    ...http.guarded,
    ...http.notFound,
    ...http.invalidBody,
  },
})

export function policyRoutes({ engine }: Services) {
  return router()
    .openapi(list, async (c) => c.json({ items: await engine.policies() }, 200))
    .openapi(show, async (c) => {
      const { key } = c.req.valid('param')
      return c.json(http.found(await engine.policies([key]), 'policy', key), 200)
    })
    .openapi(rollback, async (c) => {
      const { key } = c.req.valid('param')
      return c.json({ key, version: await engine.rollbackPolicy(key, c.req.valid('json').version) }, 200)
    })
}
