import { z } from 'zod'
import type { Delivery } from '../delivery.js'
import type { Guard } from '../request.js'
import { sendToSlack } from '../slack.js'
import { sendMail } from '../smtp.js'
import { sendToWebhook } from '../webhook.js'
import { messageOf } from './message.js'

/** What channels need beside policy: the addresses and secrets that it names by variable, and which hosts may be reached. */
export interface ChannelSettings {
  variables: Readonly<Record<string, string | undefined>>
  /** Default: public addresses only. */
  guard?: Guard | undefined
}

/** A notice that was taken under a lease. */
export interface Notice {
  /** The same however often it is sent. */
  id: string
  token: string
  channel: string
  /** The channel as policy `alerts` describes it. */
  config?: unknown
  message: Record<string, unknown>
}

/** What came of sending a notice; `skipped`: the channel has no address here. */
export type Outcome = Delivery | { outcome: 'skipped'; error: string }

/** Where notices come from, and where what came of them is kept. */
export interface Outbox {
  take(leaseSeconds: number): Promise<readonly Notice[]>
  record(outcome: Pick<Notice, 'id' | 'token'> & Outcome): Promise<unknown>
}

/** What came of a batch of notices. */
export interface Delivered {
  taken: number
  delivered: number
  /** A sentence for each that could not be delivered. */
  failures: string[]
}

/** How long one message may take, in milliseconds; the lease is longer. */
const PATIENCE_MS = 15_000
const LEASE_SECONDS = 60

/**
 * Takes the notices that are due and sends them, all at once, each with the same id however often it is sent. One that is lost in
 * a crash comes back when its lease is over.
 */
export async function deliver(outbox: Outbox, settings: ChannelSettings): Promise<Delivered> {
  const notices = await outbox.take(LEASE_SECONDS)
  const result: Delivered = { taken: notices.length, delivered: 0, failures: [] }
  await Promise.all(
    notices.map(async (notice) => {
      const outcome = await send(notice, settings)
      await outbox.record({ id: notice.id, token: notice.token, ...outcome })
      if (outcome.outcome === 'delivered') result.delivered += 1
      else if (outcome.outcome !== 'skipped')
        result.failures.push(`channel ${notice.channel}: ${outcome.error}`)
    }),
  )
  return result
}

const channel = z.discriminatedUnion('type', [
  z.object({ type: z.literal('slack'), url_variable: z.string().default('SLACK_WEBHOOK_URL') }),
  z.object({ type: z.literal('webhook'), url_variable: z.string(), secret_variable: z.string().optional() }),
  z.object({
    type: z.literal('email'),
    url_variable: z.string().default('SMTP_URL'),
    from: z.string(),
    to: z.array(z.string()),
  }),
])

/** Whether each channel of policy `alerts` has the address that it needs, by name: `configured`, or what is missing. */
export function channelStates(
  policy: unknown,
  variables: ChannelSettings['variables'],
): Record<string, string> {
  const { channels } = z.object({ channels: z.record(z.string(), channel).default({}) }).parse(policy ?? {})
  return Object.fromEntries(
    Object.entries(channels).map(([name, { url_variable }]) => [
      name,
      variables[url_variable] ? 'configured' : `${url_variable} is not set`,
    ]),
  )
}

async function send(notice: Notice, { variables, guard }: ChannelSettings): Promise<Outcome> {
  const config = channel.parse(notice.config)
  const url = variables[config.url_variable]
  if (!url) return { outcome: 'skipped', error: `${config.url_variable} is not set` }
  const sending = { id: notice.id, signal: AbortSignal.timeout(PATIENCE_MS) }
  const message = messageOf(notice.message)
  try {
    switch (config.type) {
      case 'slack':
        return await sendToSlack(message, { url }, sending, guard)
      case 'webhook': {
        const secret = config.secret_variable === undefined ? undefined : variables[config.secret_variable]
        if (config.secret_variable !== undefined && !secret)
          return { outcome: 'refused', error: `${config.secret_variable} is not set` }
        return await sendToWebhook(
          { type: typeOf(notice), ...message, ...notice.message },
          { url, secret },
          sending,
          guard,
        )
      }
      case 'email':
        return await sendMail(message, { url, from: config.from, to: config.to }, sending)
    }
  } catch (error) {
    const reason = sending.signal.aborted ? `no answer within ${PATIENCE_MS / 1000} s` : String(error)
    return { outcome: 'later', error: masked(reason, url) }
  }
}

/** `ops.alert.opened`, `ops.digest` */
function typeOf({ message }: Notice): string {
  return message.transition === 'digest' ? 'ops.digest' : `ops.alert.${String(message.transition)}`
}

/** Addresses hold secrets. */
function masked(text: string, url: string): string {
  return text.replaceAll(url, '…')
}
