import { createRoute, z } from '@hono/zod-openapi'
import { bodyLimit } from 'hono/body-limit'
import { type EventInput, OpsError } from '../../engine/index.js'
import { refuse } from '../errors.js'
import { router, type Services } from '../router.js'
import * as http from '../schemas.js'
import { webhookSources } from '../webhooks/index.js'

const tag = z
  .string()
  .regex(/^[A-Za-z0-9_.:-]{1,64}$/, 'must be 1 to 64 letters, digits, "_", ".", ":" or "-"')

const receipt = z.object({
  outcome: z.enum(['accepted', 'duplicate', 'pong']),
  event_id: http.id.nullable(),
  type: z.string().nullable(),
})

const receive = createRoute({
  method: 'post',
  path: '/{source}',
  tags: ['webhooks'],
  summary: 'Take a signed webhook delivery',
  description:
    'Proved by its signature, so it needs no key. Answers after the event is stored; the sender may repeat a delivery as ' +
    'often as it likes: a repeated delivery id stores nothing, and one with another body is refused with 409. Sources: `github` ' +
    '(`X-Hub-Signature-256`), `stripe` (`Stripe-Signature`) and `standard` (Standard Webhooks); the last two sign the time, and are ' +
    'refused when that is more than five minutes away.',
  security: [],
  request: {
    params: z.object({ source: z.string().openapi({ example: 'github' }) }),
    query: z.object({
      tags: z
        .string()
        .transform((text) => text.split(','))
        .pipe(z.array(tag).max(20))
        .optional()
        .openapi({
          type: 'string',
          description: 'Tags for the event, with commas between.',
          example: 'ci,shop',
        }),
    }),
    // Described, not parsed: the signature is over the bytes.
    body: {
      required: true,
      content: {
        'application/json': {
          schema: { type: 'object' },
          example: {
            action: 'opened',
            issue: { number: 1, title: 'It hangs' },
            repository: { full_name: 'ada/shop' },
          },
        },
      },
    },
  },
  responses: {
    202: http.json(receipt, 'The event is stored.'),
    200: http.json(receipt, 'This delivery was stored before; or a ping.'),
    ...http.unauthorised,
    ...http.notFound,
    ...http.conflict,
    ...http.tooLarge,
    ...http.invalid,
    ...http.unavailable,
  },
})

/** As large as an event may be. */
const MAX_BODY_BYTES = 1024 * 1024

export function webhookRoutes({ engine, config, now }: Services) {
  const sources = webhookSources(config)
  const routes = router()
  routes.use(
    bodyLimit({ maxSize: MAX_BODY_BYTES, onError: (c) => refuse(c, 413, 'A delivery may have 1 MiB.') }),
  )
  return routes.openapi(receive, async (c) => {
    const { source: name } = c.req.valid('param')
    const source = sources.get(name)
    if (source === undefined) {
      throw new OpsError('OPS_013', `There is no webhook source "${name}".`, {
        details: { path: 'source' },
        hint: `known sources: ${[...sources.keys()].join(', ')}`,
      })
    }
    const event = source.receive({
      headers: c.req.raw.headers,
      body: Buffer.from(await c.req.arrayBuffer()),
      receivedAt: now(),
    })
    if (event === 'ping') return c.json({ outcome: 'pong' as const, event_id: null, type: null }, 200)

    const stored = await engine.emitEvent(tagged(event, c.req.valid('query').tags))
    if (stored.outcome === 'conflict') {
      c.get('log').warn({ dedupe_key: event.dedupe_key }, 'a delivery came again with another body')
      throw new OpsError(
        'OPS_014',
        'This delivery id was used before, for another event; nothing was stored.',
        {
          details: { path: 'dedupe_key', dedupe_key: event.dedupe_key, event_id: stored.event_id },
        },
      )
    }
    const { outcome, event_id } = stored
    return c.json({ outcome, event_id, type: event.type }, outcome === 'accepted' ? 202 : 200)
  })
}

function tagged(event: EventInput, tags: string[] | undefined): EventInput {
  return tags === undefined ? event : { ...event, data: { ...event.data, tags } }
}
