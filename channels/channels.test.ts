import type { SMTPServerOptions } from 'smtp-server'
import { Webhook } from 'standardwebhooks'
import { afterEach, describe, expect, it } from 'vitest'
import type { Delivery, Message } from './delivery.js'
import { anyAddress } from './request.js'
import { sendToSlack, slackPayload } from './slack.js'
import { sendMail } from './smtp.js'
import { answering, type Handler, mailServer as startMailServer, serve as startServer } from './testing.js'
import { sendToWebhook } from './webhook.js'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function serve(handler: Handler) {
  const server = await startServer(handler)
  cleanups.push(server.close)
  return server
}

const ID = '00000000-0000-4000-8000-000000000001'
const message: Message = {
  title: 'Queue is long',
  text: '1,200 steps wait.',
  severity: 'warning',
  link: 'https://ops.test/queues',
  fields: { queue: 'http', oldest: '12 minutes' },
}
const sending = () => ({ id: ID, signal: new AbortController().signal })

describe('slack', () => {
  const slack = (url: string) => sendToSlack(message, { url }, sending(), anyAddress)

  it('is sent blocks, and a line for notifications', async () => {
    const { url, received } = await serve(answering(200, { 'content-type': 'text/html' }, 'ok'))
    expect(await slack(`${url}/services/T0/B0/x`)).toEqual({ outcome: 'delivered', detail: { status: 200 } })
    expect(received).toMatchObject([{ method: 'POST', path: '/services/T0/B0/x' }])
    expect(JSON.parse(received[0]?.body ?? '')).toEqual({
      text: ':warning: Queue is long',
      blocks: [
        { type: 'section', text: { type: 'mrkdwn', text: '*:warning: Queue is long*' } },
        { type: 'section', text: { type: 'mrkdwn', text: '1,200 steps wait.' } },
        {
          type: 'section',
          fields: [
            { type: 'mrkdwn', text: '*queue*\nhttp' },
            { type: 'mrkdwn', text: '*oldest*\n12 minutes' },
          ],
        },
        { type: 'context', elements: [{ type: 'mrkdwn', text: '<https://ops.test/queues>' }] },
      ],
    })
  })

  it('calls nobody for text that came from an event', () => {
    const payload = JSON.stringify(
      slackPayload({
        title: '<!channel>',
        text: '<@U1>',
        fields: { '<!here>': '<!everyone>' },
        link: 'https://x.test/>|<!channel>',
      }),
    )
    expect(payload).not.toMatch(/<[!@]/)
  })

  it('keeps to what Slack takes', () => {
    const long = 'x'.repeat(10_000)
    const payload = slackPayload({
      title: long,
      text: long,
      fields: Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`f${n}`, long])),
    })
    const texts = [...JSON.stringify(payload).matchAll(/"text":"([^"]*)"/g)].map(
      ([, text]) => text?.length ?? 0,
    )
    expect(Math.max(...texts)).toBeLessThanOrEqual(3000)
    expect(JSON.stringify(payload).match(/\*f\d+\*/g)).toHaveLength(10)
  })

  it('is sent whole characters, wherever a text is cut', () => {
    for (const before of ['', 'x']) {
      const long = `${before}${'🦊'.repeat(4000)}`
      const payload = slackPayload({ title: long, text: long, fields: { fox: long } })
      // Half of one is no Unicode, and is written as an escape.
      expect(JSON.stringify(payload)).not.toContain('\\ud83e')
    }
  })

  it.each([
    [
      429,
      { 'retry-after': '7' },
      'rate_limited',
      { outcome: 'later', error: '429 rate_limited', after_seconds: 7 },
    ],
    [500, {}, 'rollup_error', { outcome: 'later', error: '500 rollup_error' }],
    [404, {}, 'channel_not_found', { outcome: 'refused', error: '404 channel_not_found' }],
    [410, {}, 'channel_is_archived', { outcome: 'refused', error: '410 channel_is_archived' }],
  ])('that answers %i', async (status, headers, body, delivery) => {
    const { url } = await serve(answering(status, { 'content-type': 'text/plain', ...headers }, body))
    expect(await slack(url)).toEqual(delivery)
  })

  it('is not sought on private addresses', async () => {
    const { url, received } = await serve(answering(200))
    expect(await sendToSlack(message, { url }, sending())).toEqual({
      outcome: 'refused',
      error: '127.0.0.1 is not a public address',
    })
    expect(received).toEqual([])
  })

  it('that is away may be back later', async () => {
    const server = await serve(answering(200))
    await server.close()
    expect(await slack(server.url)).toMatchObject({
      outcome: 'later',
      error: expect.stringContaining('ECONNREFUSED'),
    })
  })

  it('that does not answer is given up at the signal', async () => {
    const { url } = await serve(() => undefined)
    const signal = AbortSignal.timeout(50)
    await expect(sendToSlack(message, { url }, { id: ID, signal }, anyAddress)).rejects.toThrow()
  })
})

describe('a webhook', () => {
  const secret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`

  it('is sent a signed message that the reference library accepts', async () => {
    const { url, received } = await serve(answering(204))
    const delivery = await sendToWebhook(
      { ...message, type: 'ops.alert' },
      { url, secret },
      sending(),
      anyAddress,
    )
    expect(delivery).toEqual({ outcome: 'delivered', detail: { status: 204 } })
    const [request] = received
    const headers = Object.fromEntries(
      Object.entries(request?.headers ?? {}).map(([name, value]) => [name, String(value)]),
    )
    expect(new Webhook(secret).verify(request?.body ?? '', headers)).toMatchObject({
      type: 'ops.alert',
      data: message,
    })
    expect(headers).toMatchObject({ 'webhook-id': ID, 'idempotency-key': ID })
  })

  it('is sent its message unsigned without a secret', async () => {
    const { url, received } = await serve(answering(200))
    await sendToWebhook({ ...message, type: 'ops.alert' }, { url }, sending(), anyAddress)
    expect(received[0]?.headers).toMatchObject({ 'webhook-id': ID })
    expect(received[0]?.headers).not.toHaveProperty('webhook-signature')
  })

  it('that redirects is not followed', async () => {
    const elsewhere = await serve(answering(200))
    const { url } = await serve(answering(307, { location: elsewhere.url }))
    const delivery = await sendToWebhook({ ...message, type: 'x' }, { url }, sending(), anyAddress)
    expect([delivery.outcome, elsewhere.received]).toEqual(['refused', []])
  })
})

describe('mail', () => {
  const mailServer = async (options?: SMTPServerOptions) => {
    const server = await startMailServer(options)
    cleanups.push(server.close)
    return server
  }

  const mail = (
    url: string,
    to = ['ops@example.test'],
    of: Message = message,
    signal = sending().signal,
  ): Promise<Delivery> => sendMail(of, { url, from: 'loop@example.test', to }, { id: ID, signal })

  it('arrives with its subject, its facts and an id that tells repetitions', async () => {
    const { host, letters } = await mailServer()
    const delivery = await mail(`smtp://${host}`, ['ops@example.test', 'boss@example.test'])
    expect(delivery).toMatchObject({
      outcome: 'delivered',
      detail: { message_id: `<${ID}@ops-loop>`, rejected: [] },
    })
    expect(letters).toMatchObject([
      { from: 'loop@example.test', to: ['ops@example.test', 'boss@example.test'] },
    ])
    const text = letters[0]?.text ?? ''
    for (const part of [
      'Subject: [warning] Queue is long',
      `Message-ID: <${ID}@ops-loop>`,
      'Auto-Submitted: auto-generated',
      '1,200 steps wait.',
      'oldest: 12 minutes',
      'https://ops.test/queues',
    ])
      expect(text).toContain(part)
  })

  it('logs in as its address says', async () => {
    const { host, letters } = await mailServer({ authOptional: false })
    expect(await mail(`smtp://me:open%20sesame@${host}`)).toMatchObject({ outcome: 'delivered' })
    expect(letters).toMatchObject([{ user: 'me' }])
  })

  it('has no more headers than it should, whatever its title', async () => {
    const { host, letters } = await mailServer()
    await mail(`smtp://${host}`, undefined, { title: 'Hello\r\nBcc: victim@example.test' })
    expect(letters).toMatchObject([{ to: ['ops@example.test'] }])
    const [headers] = (letters[0]?.text ?? '').split('\r\n\r\n')
    expect(headers).not.toMatch(/^Bcc:/m)
  })

  const answer = (responseCode: number, text: string) => Object.assign(new Error(text), { responseCode })

  it.each([
    ['no such mailbox', 'refused', answer(550, 'no such user')],
    ['a full mailbox', 'later', answer(452, 'mailbox full')],
  ])('that meets %s is %s', async (_name, outcome, error) => {
    const { host } = await mailServer({ onRcptTo: (_address, _session, callback) => callback(error) })
    expect(await mail(`smtp://${host}`)).toMatchObject({
      outcome,
      error: expect.stringContaining(error.message),
    })
  })

  it('with a wrong password is refused', async () => {
    const { host } = await mailServer()
    expect(await mail(`smtp://me:wrong@${host}`)).toMatchObject({ outcome: 'refused' })
  })

  it('that some take and some do not is delivered, and says who did not', async () => {
    const { host } = await mailServer({
      onRcptTo: ({ address }, _session, callback) =>
        address.startsWith('gone') ? callback(answer(550, 'no such user')) : callback(),
    })
    expect(await mail(`smtp://${host}`, ['ops@example.test', 'gone@example.test'])).toMatchObject({
      outcome: 'delivered',
      detail: { rejected: ['gone@example.test'] },
    })
  })

  it('without a server may go later', async () => {
    expect(await mail('smtp://127.0.0.1:1')).toMatchObject({
      outcome: 'later',
      error: expect.stringContaining('ECONNREFUSED'),
    })
  })

  it('is given up at the signal', async () => {
    const { host } = await mailServer({ onConnect: () => undefined })
    await expect(mail(`smtp://${host}`, undefined, message, AbortSignal.timeout(50))).rejects.toThrow()
  })
})
