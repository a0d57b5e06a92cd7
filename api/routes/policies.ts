import { z } from '@hono/zod-openapi'
import { OpsError } from '../../engine/index.js'
import { explaining, parsing } from '../../policies/index.js'
import { actorOf } from '../access/require.js'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'
import { inTurns } from '../turns.js'

const policy = z
  .object({ key: z.string(), value: z.unknown(), version: z.int(), updated_at: http.timestamp })
  .openapi('Policy')

const applied = z
  .object({
    key: z.string(),
    outcome: z.enum(['created', 'changed', 'deleted', 'unchanged']),
    version: z.int().openapi({ description: 'Now in force; 0: none.' }),
    previous_version: z.int(),
  })
  .openapi('AppliedPolicy')

const keyParam = z.object({
  key: z.string().min(1).max(100).openapi({ example: 'proposal_caps' }),
})

const list = http.guardedRoute('policies:read', {
  method: 'get',
  path: '/',
  tags: ['policies'],
  summary: 'List the policies in force',
  request: {
    query: z.strictObject({
      at: z.iso
        .datetime({ offset: true })
        .optional()
        .openapi({ description: 'Those that were in force at that time.', example: '2026-01-31T09:00:00Z' }),
    }),
  },
  responses: {
    200: http.json(z.object({ items: z.array(policy) }), 'All of them.'),
    ...http.guarded,
    ...http.invalid,
  },
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
  request: {
    params: keyParam,
    body: http.body(z.strictObject({ version: z.int32().min(1), actor: http.actor.optional() }), {
      version: 1,
    }),
  },
  responses: {
    200: http.json(z.object({ key: z.string(), version: z.int() }), 'The new version.'),
    ...http.guarded,
    ...http.notFound,
    ...http.invalidBody,
  },
})

const candidate = http.jsonObject.openapi({ description: 'The policy as an operator writes it.' })

const put = http.guardedRoute('policies:write', {
  method: 'put',
  path: '/{key}',
  tags: ['policies'],
  summary: 'Put a policy in force',
  description:
    'As a new version, when it passes all that `validate` looks at. With `expected_version` only while that version (0: none) is the one ' +
    'in force: 409 otherwise, and nothing changes.',
  request: {
    params: keyParam,
    body: http.body(
      z.strictObject({
        value: candidate,
        expected_version: z.int().min(0).optional(),
        actor: http.actor.optional(),
      }),
      { value: { daily_limit: 20 } },
    ),
  },
  responses: {
    200: http.json(applied, 'The version in force.'),
    ...http.guarded,
    ...http.conflict,
    ...http.invalidBody,
  },
})

const remove = http.guardedRoute('policies:write', {
  method: 'delete',
  path: '/{key}',
  tags: ['policies'],
  summary: 'Take a policy out of force',
  description:
    'What it said falls back to its default (`docs/policies.md`). Its history stays, and `rollback` brings it back. With `expected_version` only ' +
    'while that version is the one in force.',
  request: {
    params: keyParam,
    query: z.strictObject({
      expected_version: z.coerce.number().int().min(1).optional(),
      actor: http.actor.optional().openapi({ example: undefined }),
    }),
  },
  responses: {
    200: http.json(applied, 'It is not in force any more.'),
    ...http.guarded,
    ...http.notFound,
    ...http.conflict,
    ...http.invalid,
  },
})

const history = http.guardedRoute('policies:read', {
  method: 'get',
  path: '/{key}/history',
  tags: ['policies'],
  summary: 'Who changed a policy, when and how; newest first',
  request: {
    params: keyParam,
    query: z.strictObject({ limit: z.coerce.number().int().min(1).max(1000).default(50) }),
  },
  responses: {
    200: http.json(
      z.object({
        items: z.array(
          z.looseObject({
            action: z.string(),
            version: z.int().nullable(),
            value: z.unknown(),
            changed_by: z.string(),
            changed_at: http.timestamp,
          }),
        ),
      }),
      'The changes.',
    ),
    ...http.guarded,
    ...http.invalid,
  },
})

const validate = http.guardedRoute('policies:read', {
  method: 'post',
  path: '/{key}/validate',
  tags: ['policies'],
  summary: 'Check a policy without putting it in force',
  description: 'Of a reaction matrix also every condition and template is compiled.',
  request: {
    params: keyParam,
    body: http.body(z.strictObject({ value: candidate }), { value: { daily_limit: 20 } }),
  },
  responses: {
    200: http.json(
      z.object({ ok: z.boolean(), problems: z.array(z.object({ path: z.string(), message: z.string() })) }),
      'What is wrong with it, the first hundred things; nothing, when `ok`.',
    ),
    ...http.guarded,
    ...http.invalidBody,
  },
})

const tryMatrix = http.guardedRoute('policies:read', {
  method: 'post',
  path: '/reaction_matrix/test',
  tags: ['policies'],
  summary: 'What each pattern makes of an event',
  description:
    'Of a candidate matrix, or of the one in force. Nothing is stored; cooldown, threshold and dedupe are not looked at.',
  request: {
    body: http.body(
      z.strictObject({
        event: z.strictObject({ type: z.string().min(1).max(200), data: http.jsonObject.default({}) }),
        value: candidate.optional(),
      }),
      { event: { type: 'github:issues.opened', data: { source: 'github' } } },
    ),
  },
  responses: {
    200: http.json(
      z.object({ patterns: z.array(http.jsonObject), quarantined: z.array(http.jsonObject) }),
      'Each pattern’s decision, and the patterns that are out of service.',
    ),
    ...http.guarded,
    ...http.invalidBody,
  },
})

export function policyRoutes({ engine, now }: Services) {
  return router()
    .openapi(tryMatrix, async (c) => {
      const { event, value } = c.req.valid('json')
      const inForce = await engine.policies()
      const policies = Object.fromEntries(inForce.map(({ key, value }) => [key, value]))
      const { patterns, quarantined } = await inTurns(
        explaining(
          value ?? policies.reaction_matrix,
          { ...event, event_id: UNSTORED, depth: 0, created_at: new Date(now()).toISOString() },
          { policies },
        ),
      )
      return c.json({ patterns: patterns.map(plain), quarantined: quarantined.map(plain) }, 200)
    })
    .openapi(validate, async (c) =>
      c.json(await verdict(c.req.valid('param').key, c.req.valid('json').value), 200),
    )
    .openapi(history, async (c) => {
      const { key } = c.req.valid('param')
      return c.json({ items: await engine.policyChanges(key, c.req.valid('query').limit) }, 200)
    })
    .openapi(put, async (c) => {
      const { key } = c.req.valid('param')
      const { actor, ...policy } = c.req.valid('json')
      const { problems } = await verdict(key, policy.value)
      const [first] = problems
      if (first !== undefined) {
        throw new OpsError('OPS_011', `policy ${key}: ${first.path || 'value'} ${first.message}`, {
          details: { path: first.path, problems },
        })
      }
      const [changed] = await engine.applyPolicies([{ key, ...policy }], actorOf(c, actor))
      if (changed === undefined) throw new Error('the database gave no answer')
      return c.json(changed, 200)
    })
    .openapi(remove, async (c) => {
      const { key } = c.req.valid('param')
      const { expected_version, actor } = c.req.valid('query')
      const change = { key, value: null, expected_version }
      const [deleted] = await engine.applyPolicies([change], actorOf(c, actor))
      if (deleted?.outcome !== 'deleted') {
        throw new OpsError('OPS_013', `There is no policy ${key}.`, { details: { path: 'key' } })
      }
      return c.json(deleted, 200)
    })
    .openapi(list, async (c) => {
      const { at } = c.req.valid('query')
      return c.json({ items: await (at === undefined ? engine.policies() : engine.policiesAt(at)) }, 200)
    })
    .openapi(show, async (c) => {
      const { key } = c.req.valid('param')
      return c.json(http.found(await engine.policies([key]), 'policy', key), 200)
    })
    .openapi(rollback, async (c) => {
      const { key } = c.req.valid('param')
      const { version, actor } = c.req.valid('json')
      return c.json({ key, version: await engine.rollbackPolicy(key, version, actorOf(c, actor)) }, 200)
    })
}

/** The id of an event that is only tried. */
const UNSTORED = '00000000-0000-0000-0000-000000000000'

/** A matrix of many patterns takes long: everything else has its turn meanwhile. */
async function verdict(
  key: string,
  value: unknown,
): Promise<{ ok: boolean; problems: { path: string; message: string }[] }> {
  const parsed = await inTurns(parsing(key, value))
  return { ok: parsed.ok, problems: parsed.ok ? [] : parsed.problems }
}

function plain(value: object): Record<string, unknown> {
  return { ...value }
}
