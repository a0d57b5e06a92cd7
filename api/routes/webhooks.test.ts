import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { answerOf, appOver, GITHUB_SECRET, testApi } from '../testing.js'

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

  test('data beyond 1 MiB is refused by the engine, a body beyond 4 MiB before it is read', async () => {
    const large = await deliver({ id: 'large', body: payload({ text: 'x'.repeat(1_100_000) }) })
    expect(large).toMatchObject({ status: 422, body: { code: 'OPS_011' } })
    const huge = await deliver({ id: 'huge', body: payload({ text: 'x'.repeat(4_200_000) }) })
    expect(huge).toMatchObject({
      status: 413,
      body: { code: 'OPS_011', error: expect.stringContaining('4 MiB') },
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
    body: { code: 'OPS_013', details: { hint: 'known sources: github' } },
  })
})

test('a source without a secret refuses everything', async () => {
  const closed = appOver(engine, { webhookSecrets: { github: [] } })
  const answer = await answerOf(
    await closed.request('/api/ops/webhooks/github', { method: 'POST', body: '{}' }),
  )
  expect(answer).toMatchObject({ status: 401, body: { details: { hint: 'set GITHUB_WEBHOOK_SECRET' } } })
})
