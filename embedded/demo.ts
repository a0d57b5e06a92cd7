import { createHmac } from 'node:crypto'
import type { Engine } from '../engine/index.js'
import { type GithubDelivery, githubDeliveries } from './deliveries.js'
import { stackError } from './errors.js'
import { wait } from './wait.js'

export interface DemoTarget {
  /** Of the control plane. */
  url: string
  webhookSecret: string
  signal: AbortSignal
}

/** How often a delivery is repeated while the control plane does not answer well, and how long it waits in between. */
const ATTEMPTS = 10
const PAUSE_MS = 1000

/**
 * What is left of the demonstration: all of it on an empty database, all of it again when it was broken off (what has arrived is
 * known by its delivery id), nothing otherwise. The database alone says which; ask before the first heartbeat.
 */
export async function demoFor(engine: Engine): Promise<GithubDelivery[]> {
  const [anything] = await engine.listEvents({}, 1)
  const deliveries = githubDeliveries()
  const [first, last] = [deliveries.at(0), deliveries.at(-1)]
  const ours = anything === undefined || (await hasArrived(engine, first))
  return ours && !(await hasArrived(engine, last)) ? deliveries : []
}

async function hasArrived(engine: Engine, delivery: GithubDelivery | undefined): Promise<boolean> {
  if (delivery === undefined) return false
  const events = await engine.listEvents({ type: delivery.type }, 200)
  return events.some(({ data }) => data.delivery_id === delivery.id)
}

/**
 * Delivers as GitHub does: signed, one after the other, to the real webhook.
 *
 * @throws OpsError `OPS_001` when a delivery is refused, or not taken however often it is repeated
 */
export async function playDemo(deliveries: readonly GithubDelivery[], target: DemoTarget): Promise<void> {
  for (const delivery of deliveries) {
    if (target.signal.aborted) return
    await deliver(delivery, target)
  }
}

async function deliver(delivery: GithubDelivery, { url, webhookSecret, signal }: DemoTarget): Promise<void> {
  const body = JSON.stringify(delivery.payload)
  const headers = {
    'Content-Type': 'application/json',
    'User-Agent': 'GitHub-Hookshot/ops-loop',
    'X-GitHub-Event': delivery.event,
    'X-GitHub-Delivery': delivery.id,
    'X-Hub-Signature-256': `sha256=${createHmac('sha256', webhookSecret).update(body).digest('hex')}`,
  }
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(`${url}/api/ops/webhooks/github`, {
      method: 'POST',
      headers,
      body,
      signal,
    }).catch(() => undefined)
    if (response?.ok || signal.aborted) return
    if ((response && response.status < 500) || attempt === ATTEMPTS) {
      const answer = response ? `${response.status} ${await response.text()}` : 'nothing'
      throw stackError(`The webhook answered ${answer} to ${delivery.type}.`, {
        hint: 'See api.log in the data folder.',
      })
    }
    await wait(PAUSE_MS, signal)
  }
}
