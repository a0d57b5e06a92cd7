/** What becomes of deliveries whose control plane is killed between receipt and answer. Their senders deliver again. */
import { createHmac } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { postHeartbeat } from './support/pulse.js'
import { API_KEY, type OpenSite, Site } from './support/site.js'
import { until } from './support/until.js'

const secrets = {
  GITHUB_WEBHOOK_SECRET: 'a github secret',
  STRIPE_WEBHOOK_SECRET: 'whsec_stripe',
  STANDARD_WEBHOOKS_SECRET: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
}
const hmac = (secret: string, text: string) => createHmac('sha256', secret).update(text).digest('hex')

/** One delivery of each source, signed anew each time as a sender does. */
const deliveries: Record<string, () => { body: string; headers: Record<string, string> }> = {
  github: () => {
    const body = '{"action":"opened","issue":{"number":1}}'
    const signature = `sha256=${hmac(secrets.GITHUB_WEBHOOK_SECRET, body)}`
    const headers = { 'X-GitHub-Event': 'issues', 'X-GitHub-Delivery': 'delivery-1' }
    return { body, headers: { ...headers, 'X-Hub-Signature-256': signature } }
  },
  stripe: () => {
    const body = '{"id":"evt_1","type":"invoice.paid","data":{"object":{"total":100}}}'
    const at = Math.floor(Date.now() / 1000)
    return {
      body,
      headers: { 'Stripe-Signature': `t=${at},v1=${hmac(secrets.STRIPE_WEBHOOK_SECRET, `${at}.${body}`)}` },
    }
  },
  standard: () => {
    const body = '{"type":"user.created","data":{"id":7}}'
    const at = new Date()
    const signature = new Webhook(secrets.STANDARD_WEBHOOKS_SECRET).sign('msg_1', at, body)
    const headers = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(Math.floor(at.getTime() / 1000)) }
    return { body, headers: { ...headers, 'webhook-signature': signature } }
  },
}

/** All of them, at once; answers the outcome of each, or `none` where no answer came. */
async function deliver(url: string): Promise<Record<string, string>> {
  const outcomes = Object.entries(deliveries).map(async ([source, make]) => {
    const request = { method: 'POST', ...make() }
    const outcome = await fetch(`${url}/api/ops/webhooks/${source}`, request).then(
      async (response) => `${response.status} ${Object(await response.json()).outcome}`,
      () => 'none',
    )
    return [source, outcome] as const
  })
  return Object.fromEntries(await Promise.all(outcomes))
}

const all = (outcome: string) =>
  Object.fromEntries(Object.keys(deliveries).map((source) => [source, outcome]))

const patterns = Object.keys(deliveries).map((source) => ({
  id: source,
  event_type: '*',
  source,
  template: { title: source, risk_level: 'low', steps: [{ kind: 'ledger' }] },
}))

async function stored(site: OpenSite): Promise<number> {
  const [row] = await site.sql`select count(*)::int as n from ops_agent_events where dedupe_key is not null`
  return row?.n
}

/**
 * Kills the control plane while every delivery has been received and none is stored: a lock keeps them from it.
 *
 * @param before what happens to its sessions, which wait for the lock, before that is released
 */
async function killedInTheMiddle(site: OpenSite, before: (waiting: number[]) => Promise<void>) {
  const env = { DATABASE_URL: site.database.urlFor('service_role'), ...secrets }
  const api = await site.api(env)
  const answers = await site.sql.begin(async (holder) => {
    await holder`lock table ops_agent_events in share mode`
    const answers = deliver(api.url)
    const waiting = await until('all deliveries are on their way into the table', async () => {
      const rows = await site.sql<{ pid: number }[]>`
        select pid from pg_locks where relation = 'ops_agent_events'::regclass and not granted`
      return rows.length === Object.keys(deliveries).length && rows.map(({ pid }) => pid)
    })
    await api.end('SIGKILL')
    await before(waiting)
    return answers
  })
  expect(answers).toEqual(all('none'))
  return env
}

/** Delivered again and again, and answered by the loop: everything is there once. */
async function expectOnce(site: OpenSite, env: Record<string, string>, again: string): Promise<void> {
  const { url } = await site.api(env)
  expect(await deliver(url)).toEqual(all(again))
  expect(await deliver(url)).toEqual(all('200 duplicate'))
  expect(await stored(site)).toBe(3)
  await site.sql`
    insert into ops_policy (key, value) values ('reaction_matrix', ${site.sql.json({ patterns })})
    on conflict (key) do update set value = excluded.value`
  expect(await postHeartbeat(url, API_KEY)).toBe(200)
  const missions = await site.sql`select title from ops_missions order by 1`
  expect(missions.map(({ title }) => title)).toEqual(Object.keys(deliveries).sort())
  await site.expectSound()
}

test('control plane killed before a delivery is stored: delivered again, it is accepted, once', async () => {
  const site = await Site.open()
  const env = await killedInTheMiddle(site, async (waiting) => {
    await site.sql`select pg_terminate_backend(pid) from unnest(${waiting}::int[]) pid`
    await until('its sessions are gone', async () => {
      const [row] =
        await site.sql`select count(*)::int as n from pg_stat_activity where pid = any (${waiting})`
      return row?.n === 0
    })
  })
  expect(await stored(site)).toBe(0)
  await expectOnce(site, env, '202 accepted')
})

test('control plane killed between storing a delivery and answering: delivered again, it is known', async () => {
  const site = await Site.open()
  // The sessions of the dead process do what they were told, as soon as they can.
  const env = await killedInTheMiddle(site, async () => undefined)
  await until('the deliveries are stored', async () => (await stored(site)) === 3)
  await expectOnce(site, env, '200 duplicate')
})
