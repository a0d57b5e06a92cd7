import { createHmac } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { OpsError } from '../../engine/index.js'
import { answerOf, appOver, GITHUB_SECRET, STANDARD_SECRET, STRIPE_SECRET, testApi } from '../testing.js'

const { engine, policy } = await testApi()
const app = appOver(engine)

interface Delivery {
  event?: string
  id: string
  body: string
  secret?: string
  path?: string
}

async function deliver({
  event = 'workflow_run',
  id,
  body,
  secret = GITHUB_SECRET,
  path = '/github',
}: Delivery) {
  const signature = `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
  const headers = {
    'Content-Type': 'application/json',
    'X-GitHub-Event': event,
    'X-GitHub-Delivery': id,
    'X-Hub-Signature-256': signature,
  }
  return answerOf(await app.request(`/api/ops/webhooks${path}`, { method: 'POST', headers, body }))
}

const payload = (fields: Record<string, unknown> = {}) =>
  JSON.stringify({ action: 'completed', workflow_run: { id: 1, conclusion: 'failure' }, ...fields })

describe('POST /api/ops/webhooks/github', () => {
  test('a genuine delivery is stored before it is answered, without any key', async () => {
    const answer = await deliver({ id: 'first', body: payload() })
    const [event] = await engine.listEvents({ type: 'github:workflow_run.completed' })
    expect(answer).toMatchObject({
      status: 202,
      body: { outcome: 'accepted', event_id: event?.id, type: 'github:workflow_run.completed' },
    })
    expect(event).toMatchObject({
      dedupe_key: 'github:first',
      data: { source: 'github', delivery_id: 'first', workflow_run: { conclusion: 'failure' } },
    })
  })

  test('the same delivery again answers 200 and stores nothing', async () => {
    await deliver({ id: 'twice', event: 'issues', body: payload() })
    const again = await deliver({ id: 'twice', event: 'issues', body: payload() })
    expect(again).toMatchObject({ status: 200, body: { outcome: 'duplicate' } })
    expect(await engine.listEvents({ type: 'github:issues.completed' })).toHaveLength(1)
  })

  test('the same delivery id with another body is a conflict', async () => {
    await deliver({ id: 'clash', body: payload() })
    const other = await deliver({ id: 'clash', body: payload({ changed: true }) })
    expect(other).toMatchObject({
      status: 409,
      body: { code: 'OPS_014', details: { dedupe_key: 'github:clash', event_id: expect.any(String) } },
    })
  })

  test('overlapping deliveries of one id are stored once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => deliver({ id: 'race', event: 'release', body: payload() })),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 200, 200, 202])
    expect(await engine.listEvents({ type: 'github:release.completed' })).toHaveLength(1)
  })

  test('tags come from the address', async () => {
    await deliver({ id: 'tags', event: 'push', body: '{}', path: '/github?tags=ci,shop' })
    const [event] = await engine.listEvents({ type: 'github:push' })
    expect(event).toMatchObject({ data: { tags: ['ci', 'shop'] } })
    const odd = await deliver({ id: 'odd-tags', body: '{}', path: '/github?tags=a%20b' })
    expect(odd).toMatchObject({ status: 422, body: { code: 'OPS_011', details: { path: 'tags[0]' } } })
  })

  test('a ping is answered with a pong and stores nothing', async () => {
    const answer = await deliver({ id: 'ping', event: 'ping', body: '{"zen":"Keep it logically awesome."}' })
    expect(answer).toMatchObject({ status: 200, body: { outcome: 'pong' } })
    expect(await engine.listEvents({ type: 'github:ping' })).toEqual([])
  })

  test('a wrong signature is refused with a reason', async () => {
    const answer = await deliver({ id: 'forged', event: 'forged', body: payload(), secret: 'guess' })
    expect(answer).toMatchObject({
      status: 401,
      body: { code: 'OPS_012', error: expect.stringContaining('X-Hub-Signature-256') },
    })
    expect(await engine.listEvents({ type: 'github:forged.completed' })).toEqual([])
  })

  test('a body that is no JSON object is refused', async () => {
    const answer = await deliver({ id: 'text', body: 'Hello, World!' })
    expect(answer).toMatchObject({ status: 422, body: { code: 'OPS_011', details: { path: 'body' } } })
  })

  test('a body beyond 1 MiB is refused', async () => {
    const large = await deliver({ id: 'large', body: payload({ text: 'x'.repeat(1_048_000) }) })
    expect(large).toMatchObject({ status: 202 })
    const huge = await deliver({ id: 'huge', body: payload({ text: 'x'.repeat(1_100_000) }) })
    expect(huge).toMatchObject({
      status: 413,
      body: { code: 'OPS_011', error: 'A delivery may have 1 MiB.' },
    })
  })

  test('a paused intake answers 503, so that the delivery can be repeated', async () => {
    await policy('control', { pause: { intake: true } })
    const refused = await deliver({ id: 'paused', body: payload() })
    await policy('control', { pause: { intake: false } })
    expect(refused).toMatchObject({ status: 503, body: { code: 'OPS_015' } })
    expect(await deliver({ id: 'paused', body: payload() })).toMatchObject({ status: 202 })
  })
})

test('an unknown source is not found, and the known ones are named', async () => {
  const answer = await deliver({ id: 'x', body: '{}', path: '/gitlab' })
  expect(answer).toMatchObject({
    status: 404,
    body: { code: 'OPS_013', details: { hint: 'known sources: github, stripe, standard' } },
  })
})

test('a source without a secret refuses everything', async () => {
  const closed = appOver(engine, { webhookSecrets: { github: [], stripe: [], standard: [] } })
  const answer = await answerOf(
    await closed.request('/api/ops/webhooks/github', { method: 'POST', body: '{}' }),
  )
  expect(answer).toMatchObject({ status: 401, body: { details: { hint: 'set GITHUB_WEBHOOK_SECRET' } } })
})

describe('every source', () => {
  const now = () => Math.floor(Date.now() / 1000)
  const post = async (source: string, headers: Record<string, string>, body: string, on = app) =>
    answerOf(await on.request(`/api/ops/webhooks/${source}`, { method: 'POST', headers, body }))

  /** Signs and sends as the source does. */
  const senders = {
    github: (id: string, body: string, on = app) =>
      post(
        'github',
        {
          'X-GitHub-Event': 'push',
          'X-GitHub-Delivery': id,
          'X-Hub-Signature-256': `sha256=${createHmac('sha256', GITHUB_SECRET).update(body).digest('hex')}`,
        },
        body,
        on,
      ),
    stripe: (id: string, body: string, on = app) => {
      const event = JSON.stringify({ id, type: 'invoice.paid', ...JSON.parse(body) })
      const signature = createHmac('sha256', STRIPE_SECRET).update(`${now()}.${event}`).digest('hex')
      return post('stripe', { 'Stripe-Signature': `t=${now()},v1=${signature}` }, event, on)
    },
    standard: (id: string, body: string, on = app) =>
      post(
        'standard',
        {
          'webhook-id': id,
          'webhook-timestamp': String(now()),
          'webhook-signature': new Webhook(STANDARD_SECRET).sign(id, new Date(), body),
        },
        body,
        on,
      ),
  }

  test.each(Object.entries(senders))(
    '%s: stored once, repeated harmlessly, refused when it contradicts',
    async (source, send) => {
      const id = `delivery-${source}`
      expect(await send(id, '{"n":1}')).toMatchObject({ status: 202, body: { outcome: 'accepted' } })
      expect(await send(id, '{"n":1}')).toMatchObject({ status: 200, body: { outcome: 'duplicate' } })
      expect(await send(id, '{"n":2}')).toMatchObject({
        status: 409,
        body: { code: 'OPS_014', details: { dedupe_key: `${source}:${id}` } },
      })
    },
  )

  test.each(Object.entries(senders))(
    '%s: an answer that was lost in a crash costs nothing',
    async (source, send) => {
      const id = `crash-${source}`
      const crashing = appOver({
        ...engine,
        async emitEvent(event) {
          await engine.emitEvent(event)
          throw new OpsError('OPS_001', 'the connection broke after the commit')
        },
      })
      expect(await send(id, '{"n":1}', crashing)).toMatchObject({ status: 503 })
      expect(await send(id, '{"n":1}')).toMatchObject({ status: 200, body: { outcome: 'duplicate' } })
    },
  )

  test.each(Object.keys(senders))('%s: 401 unsigned, 413 too large, whatever the rest', async (source) => {
    expect(await post(source, {}, '{}')).toMatchObject({ status: 401, body: { code: 'OPS_012' } })
    expect(await post(source, {}, 'x'.repeat(1024 * 1024 + 1))).toMatchObject({ status: 413 })
  })

  test.each(Object.entries(senders))('%s: 422 when what is signed is no event', async (source, send) => {
    const broken = source === 'stripe' ? '{"type":""}' : '[]'
    expect(await send('broken', broken)).toMatchObject({ status: 422, body: { code: 'OPS_011' } })
  })
})
