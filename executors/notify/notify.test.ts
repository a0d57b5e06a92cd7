import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { anyAddress } from '../../channels/index.js'
import { answering, type Handler, mailServer, serve as startServer } from '../../channels/testing.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { runExecutor } from '../testing.js'
import notify, { createNotifyExecutor } from './index.js'

/** Servers here listen on loopback, which the shipped executor refuses. */
const local = createNotifyExecutor({ guard: anyAddress })
const STEP = '00000000-0000-4000-8000-000000000001'

async function serve(handler: Handler) {
  const server = await startServer(handler)
  onFileEnd(server.close)
  return server
}

const run = async (params: object, env: Record<string, string>, executor = local) =>
  (await runExecutor(executor, { title: 'Deployed', ...params }, { env })).outcome

describe('notify', () => {
  it('posts to Slack, whose address only the environment knows', async () => {
    const { url, received } = await serve(answering(200, {}, 'ok'))
    const env = { OPS_NOTIFY_SLACK_URL: `${url}/services/T/B/secret` }
    expect(await run({ channel: 'slack', text: 'v1.2', severity: 'critical' }, env)).toEqual({
      outcome: 'done',
      result: { channel: 'slack', status: 200 },
    })
    expect(JSON.parse(received[0]?.body ?? '')).toMatchObject({ text: ':rotating_light: Deployed' })
  })

  it('posts to another variable’s address where the step says so', async () => {
    const { url, received } = await serve(answering(200))
    await run({ channel: 'slack', url_env: 'OPS_NOTIFY_SLACK_DEPLOYS' }, { OPS_NOTIFY_SLACK_DEPLOYS: url })
    expect(received).toHaveLength(1)
  })

  it('sends a webhook that the reference library accepts, under the step’s id', async () => {
    const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
    const { url, received } = await serve(answering(202))
    const env = { OPS_NOTIFY_WEBHOOK_URL: url, OPS_NOTIFY_WEBHOOK_SECRET: secret }
    const outcome = await run({ channel: 'webhook', type: 'deploy.done', fields: { version: '1.2' } }, env)
    expect(outcome).toMatchObject({ outcome: 'done', result: { channel: 'webhook', status: 202 } })
    const headers = Object.fromEntries(
      Object.entries(received[0]?.headers ?? {}).map(([name, value]) => [name, String(value)]),
    )
    expect(headers['webhook-id']).toBe(STEP)
    expect(new Webhook(secret).verify(received[0]?.body ?? '', headers)).toMatchObject({
      type: 'deploy.done',
      data: { title: 'Deployed', fields: { version: '1.2' } },
    })
  })

  it('sends mail', async () => {
    const server = await mailServer()
    onFileEnd(server.close)
    const env = { OPS_NOTIFY_SMTP_URL: `smtp://${server.host}`, OPS_NOTIFY_SMTP_FROM: 'loop@example.test' }
    expect(await run({ channel: 'smtp', to: ['ops@example.test'], text: 'v1.2' }, env)).toMatchObject({
      outcome: 'done',
      result: { channel: 'smtp', message_id: `<${STEP}@ops-loop>`, rejected: [] },
    })
    expect(server.letters).toMatchObject([{ from: 'loop@example.test', to: ['ops@example.test'] }])
  })

  it.each([
    [429, { outcome: 'retry', after_seconds: 5 }],
    [503, { outcome: 'retry' }],
    [410, { outcome: 'fail' }],
    [302, { outcome: 'fail' }],
  ])('that is answered with %i', async (status, outcome) => {
    const { url } = await serve(answering(status, { 'retry-after': '5' }))
    expect(await run({ channel: 'webhook' }, { OPS_NOTIFY_WEBHOOK_URL: url })).toMatchObject(outcome)
  })

  it('refuses private addresses', async () => {
    const { url, received } = await serve(answering(200))
    for (const [channel, name] of [
      ['slack', 'OPS_NOTIFY_SLACK_URL'],
      ['webhook', 'OPS_NOTIFY_WEBHOOK_URL'],
    ] as const)
      expect(await run({ channel }, { [name]: url }, notify)).toMatchObject({
        outcome: 'fail',
        error: expect.stringContaining('not a public address'),
      })
    expect(received).toEqual([])
  })

  it.each([
    [{ channel: 'slack' }, {}, 'OPS_NOTIFY_SLACK_URL'],
    [{ channel: 'slack' }, { OPS_NOTIFY_SLACK_URL: 'nowhere' }, 'OPS_NOTIFY_SLACK_URL'],
    [{ channel: 'smtp', to: ['a@b.test'] }, { OPS_NOTIFY_SMTP_URL: 'smtp://x.test' }, 'OPS_NOTIFY_SMTP_FROM'],
    [
      { channel: 'webhook' },
      { OPS_NOTIFY_WEBHOOK_URL: 'https://x.test', OPS_NOTIFY_WEBHOOK_SECRET: 'short' },
      'OPS_NOTIFY_WEBHOOK_SECRET',
    ],
  ])('fails for good when the environment lacks something: %j', async (params, env, problem) => {
    expect(await run(params, env)).toMatchObject({ outcome: 'fail', error: expect.stringContaining(problem) })
  })

  it.each([
    [{ channel: 'pager' }, 'params.channel'],
    [{ channel: 'slack', url: 'https://hooks.slack.com/x' }, 'url'],
    [{ channel: 'slack', url_env: 'DATABASE_URL' }, 'params.url_env'],
    [{ channel: 'smtp', to: [] }, 'params.to'],
    [{ channel: 'smtp', to: ['a@b.test\r\nBcc: c@d.test'] }, 'params.to.0'],
    [{ channel: 'slack', link: 'javascript:alert(1)' }, 'params.link'],
  ])('refuses %j, naming %s', async (params, path) => {
    await expect(runExecutor(local, { title: 'x', ...params })).rejects.toThrow(path)
  })
})
