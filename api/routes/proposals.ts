import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { ProposalBatchOutcome, ProposalOutcome } from '../../engine/index.js'
import { isOpsCode, OpsError } from '../../engine/index.js'
import { actorOf } from '../access/require.js'
import { type ApiEnv, router, type Services } from '../router.js'
import * as http from '../schemas.js'

const statuses = ['pending', 'approved', 'rejected', 'auto_approved', 'expired'] as const

const template = http.jsonObject.openapi('Template', {
  description:
    'The mission: `title`, `steps` (1 to 100 of `kind`, `params`, `depends_on`, …), `risk_level`, `agent`, `priority`.',
})

const proposal = z
  .looseObject({
    id: http.id,
    status: z.enum(statuses),
    source: z.string(),
    template,
    digest: z
      .string()
      .nullable()
      .openapi({ description: 'Of exactly what will run; give it when you approve.' }),
    code: z.string().nullable(),
    reason: z.string().nullable(),
    mission_id: http.id.nullable(),
    expires_at: http.timestamp.nullable(),
    created_at: http.timestamp,
  })
  .openapi('Proposal')

const outcome = z
  .object({
    proposal_id: http.id,
    status: z.enum(statuses),
    mission_id: http.id.nullable().openapi({ description: 'Set when a mission was made.' }),
    code: z.string().nullable(),
    reason: z.string().nullable(),
    verdict: http.jsonObject.nullable().openapi({ description: 'What the gate looked at.' }),
  })
  .openapi('ProposalOutcome')

const list = http.guardedRoute('proposals:read', {
  method: 'get',
  path: '/',
  tags: ['proposals'],
  summary: 'List proposals',
  request: {
    query: http.pageQuery.extend({
      status: z.enum(statuses).optional(),
      source: z.string().optional(),
      canaries: http.canaries,
    }),
  },
  responses: { 200: http.json(http.pageOf(proposal), 'A page.'), ...http.guarded, ...http.invalid },
})

const show = http.guardedRoute('proposals:read', {
  method: 'get',
  path: '/{id}',
  tags: ['proposals'],
  summary: 'Show a proposal',
  request: { params: http.idParam },
  responses: {
    200: http.json(proposal, 'The proposal.'),
    ...http.guarded,
    ...http.notFound,
    ...http.invalid,
  },
})

const proposalInput = z
  .strictObject({
    template,
    // Described, not checked: in a batch, one that is not valid stops none of the others.
    source: z.string().min(1).max(100).default('api').openapi({
      pattern: '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$',
      description: 'Who asks; caps count by it. `canary` is the engine’s own.',
    }),
    dedupe_key: z
      .string()
      .min(1)
      .max(500)
      .optional()
      .openapi({ description: 'At most one live mission for it.' }),
    dedupe_minutes: z
      .number()
      .positive()
      .optional()
      .openapi({ maximum: 525_600, description: 'Keeps `dedupe_key` taken that long.' }),
    proposed_by: http.actor
      .optional()
      .openapi({ description: 'The agent that asks; it cannot approve this.' }),
  })
  .openapi('ProposalInput')

const hello = {
  title: 'Say hello',
  risk_level: 'low',
  steps: [{ kind: 'noop', params: { note: 'hello' } }],
}

const create = http.guardedRoute('proposals:create', {
  method: 'post',
  path: '/',
  tags: ['proposals'],
  summary: 'Propose a mission',
  description:
    'The gate admits it at once, keeps it for approval, or rejects it with a code and a reason. An `Idempotency-Key` ' +
    'makes a repeated call answer as the first one did.',
  request: {
    headers: http.idempotencyHeader,
    body: http.body(proposalInput, { template: hello }),
  },
  responses: {
    201: http.json(outcome, 'A new proposal, and what the gate decided about it.'),
    200: http.json(outcome, 'The proposal that holds the `dedupe_key`.'),
    ...http.guarded,
    ...http.conflict,
    ...http.invalidBody,
  },
})

const createMany = http.guardedRoute('proposals:create', {
  method: 'post',
  path: '/batch',
  tags: ['proposals'],
  summary: 'Propose up to 1,000 missions',
  description:
    'Each by itself: one that is refused, or not valid, stops none of the others. They take their places under the caps in the given order. ' +
    'An `idempotency_key` makes repeating an item harmless.',
  request: {
    body: http.body(
      z.strictObject({
        proposals: z
          .array(proposalInput.extend({ idempotency_key: z.string().min(1).max(500).optional() }))
          .min(1)
          .max(1000),
      }),
      {
        proposals: [
          { template: hello, idempotency_key: 'hello-1' },
          { template: hello, idempotency_key: 'hello-2' },
        ],
      },
    ),
  },
  responses: {
    200: http.json(
      z.object({
        results: z.array(
          z.object({
            ...outcome.shape,
            ordinal: z.int().openapi({ description: 'Position among the given proposals, from 1.' }),
            proposal_id: http.id.nullable(),
            status: z.enum([...statuses, 'invalid']),
          }),
        ),
      }),
      'What the gate decided about each.',
    ),
    ...http.guarded,
    ...http.invalidBody,
  },
})

const gate = http.guardedRoute('proposals:create', {
  method: 'post',
  path: '/gate',
  tags: ['proposals'],
  summary: 'What the gate would say now',
  description:
    'To a template, or to a proposal that is there; one that was decided answers what was decided. Changes nothing.',
  request: {
    body: http.body(z.union([z.strictObject({ template }), z.strictObject({ proposal_id: http.id })]), {
      template: hello,
    }),
  },
  responses: {
    200: http.json(
      z
        .object({
          ok: z.boolean().openapi({ description: 'True when it would be, or was, admitted.' }),
          code: z.string().nullable(),
          reason: z.string().nullable(),
          verdict: http.jsonObject.nullable(),
        })
        .openapi('GateVerdict'),
      'What it would say.',
    ),
    ...http.guarded,
    ...http.notFound,
    ...http.invalidBody,
  },
})

const note = z.string().max(2000).optional()
const decider = http.actor
  .optional()
  .openapi({ description: 'Who decides. A token decides for whom it was minted, a key has to say.' })

const approve = http.guardedRoute('proposals:approve', {
  method: 'post',
  path: '/{id}/approve',
  tags: ['proposals'],
  summary: 'Approve a pending proposal',
  description: 'Once, before it expires, never by the agent that proposed it. Starts the mission.',
  request: {
    params: http.idParam,
    body: http.body(z.strictObject({ actor: decider, digest: z.string().optional(), note }), {
      actor: 'ada@example.com',
      note: 'looks right',
    }),
  },
  responses: {
    200: http.json(outcome, 'What became of it.'),
    ...http.guarded,
    ...http.notFound,
    ...http.conflict,
    ...http.invalidBody,
  },
})

const reject = http.guardedRoute('proposals:reject', {
  method: 'post',
  path: '/{id}/reject',
  tags: ['proposals'],
  summary: 'Reject a pending proposal',
  request: {
    params: http.idParam,
    body: http.body(z.strictObject({ actor: decider, note }), {
      actor: 'ada@example.com',
      note: 'not now',
    }),
  },
  responses: {
    200: http.json(outcome, 'What became of it.'),
    ...http.guarded,
    ...http.notFound,
    ...http.conflict,
    ...http.invalidBody,
  },
})

export function proposalRoutes({ engine }: Services) {
  return router()
    .openapi(list, async (c) => {
      const { limit, after, ...filter } = c.req.valid('query')
      return c.json(http.page(await engine.listProposals(filter, limit, after), limit), 200)
    })
    .openapi(show, async (c) => {
      const { id } = c.req.valid('param')
      return c.json(http.found(await engine.listProposals({ id }, 1), 'proposal', id), 200)
    })
    .openapi(create, async (c) => {
      const idempotency_key = c.req.valid('header')['idempotency-key']
      const { proposed_by, ...input } = c.req.valid('json')
      const item = { ...input, proposed_by: proposerOf(c, proposed_by), idempotency_key }
      const answer = gated(await engine.createProposals([item]))
      return c.json(answer, answer.code === 'duplicate' ? 200 : 201)
    })
    .openapi(createMany, async (c) => {
      const items = c.req
        .valid('json')
        .proposals.map(({ proposed_by, ...item }) => ({ ...item, proposed_by: proposerOf(c, proposed_by) }))
      return c.json({ results: await engine.createProposals(items) }, 200)
    })
    .openapi(gate, async (c) => {
      const input = c.req.valid('json')
      return c.json(await engine.gateProposal('template' in input ? input.template : input.proposal_id), 200)
    })
    .openapi(approve, async (c) => {
      const { actor, ...decision } = c.req.valid('json')
      const approval = { ...decision, actor: deciderOf(c, actor) }
      return c.json(await engine.approveProposal(c.req.valid('param').id, approval), 200)
    })
    .openapi(reject, async (c) => {
      const { actor, ...decision } = c.req.valid('json')
      const rejection = { ...decision, actor: deciderOf(c, actor) }
      return c.json(await engine.rejectProposal(c.req.valid('param').id, rejection), 200)
    })
}

/** Whoever holds a token proposes under its name, and so can never approve that. */
function proposerOf(c: Context<ApiEnv>, given: string | undefined): string | undefined {
  return c.get('principal').kind === 'token' ? actorOf(c, given) : given
}

/** A decision needs a name; that it came with the key of all says nothing. */
function deciderOf(c: Context<ApiEnv>, actor: string | undefined): string {
  if (actor === undefined && c.get('principal').kind !== 'token') {
    throw new OpsError('OPS_011', 'actor: say who decides.', { details: { path: 'actor' } })
  }
  return actorOf(c, actor)
}

/** The gate's answer to a single proposal; one that is not valid has no proposal, only a code and a reason. */
function gated([answer]: ProposalBatchOutcome[]): ProposalOutcome {
  if (answer === undefined) throw new Error('the gate gave no answer')
  const { ordinal: _, proposal_id, status, ...verdict } = answer
  if (proposal_id === null || status === null || status === 'invalid') {
    const code = isOpsCode(answer.code) ? answer.code : 'OPS_004'
    throw new OpsError(code, answer.reason ?? 'The proposal is not valid.', { details: answer.verdict })
  }
  return { proposal_id, status, ...verdict }
}
