import { type Delivery, type Message, post, type Sending } from './delivery.js'
import { type Guard, publicOnly } from './request.js'
import { standardWebhookHeaders } from './signature.js'

export interface WebhookTarget {
  url: string
  /** Standard Webhooks: base64, with or without the prefix `whsec_`. Without it the message goes out unsigned. */
  secret?: string | undefined
}

/**
 * Posts `{type, timestamp, data}`, as Standard Webhooks recommends, under the sending's id as `webhook-id`.
 *
 * @param type what kind of message this is, such as `ops.alert`
 * @throws RangeError when the secret is not base64 or too short
 */
export async function sendToWebhook(
  message: Message & { type: string },
  { url, secret }: WebhookTarget,
  { id, signal }: Sending,
  guard: Guard = publicOnly,
): Promise<Delivery> {
  const now = new Date()
  const { type, ...data } = message
  const body = JSON.stringify({ type, timestamp: now.toISOString(), data })
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'ops-loop',
    'idempotency-key': id,
    ...(secret
      ? standardWebhookHeaders({ id, timestamp: Math.floor(now.getTime() / 1000), body, secret })
      : { 'webhook-id': id }),
  }
  return post({ url: new URL(url), headers, body, signal }, guard)
}
