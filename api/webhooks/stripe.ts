import { createHmac, timingSafeEqual } from 'node:crypto'
import { OpsError } from '../../engine/index.js'
import { eventTypeOf, parsePayload } from './payload.js'
import type { Delivery, WebhookSource } from './source.js'

/** Seconds that a signature is good for, as Stripe's own libraries have it. */
const TOLERANCE_SECONDS = 300

/**
 * Stripe: `Stripe-Signature` is `t=<seconds>,v1=<hex>,…`, the HMAC-SHA256 of `<seconds>.<raw body>`. The event is
 * `stripe:<type>`, such as `stripe:invoice.paid`, and goes by Stripe's own event id.
 *
 * A signature older than five minutes is refused, so that what somebody recorded cannot be sent again later; Stripe signs
 * anew whenever it repeats a delivery.
 *
 * @param secrets `whsec_…`; any of them may have signed
 */
export function stripe(secrets: readonly string[]): WebhookSource {
  return {
    receive({ headers, body, receivedAt }: Delivery) {
      requireSignature(secrets, headers.get('stripe-signature') ?? '', body, receivedAt)
      // How many deliveries are still to come differs from one repetition to the next, and is no part of the fact.
      const { pending_webhooks: _, ...payload } = parsePayload(body.toString('utf8'))
      const { id, type } = payload
      if (typeof id !== 'string' || !/^[\w-]{1,200}$/.test(id) || typeof type !== 'string' || type === '') {
        throw new OpsError('OPS_011', 'This is no event of Stripe: it has no id or no type.', {
          details: { path: typeof type === 'string' ? 'id' : 'type' },
        })
      }
      return {
        type: eventTypeOf('stripe', type),
        data: { ...payload, source: 'stripe', delivery_id: id },
        dedupe_key: `stripe:${id}`,
      }
    },
  }
}

function requireSignature(
  secrets: readonly string[],
  header: string,
  body: Buffer,
  receivedAt: number,
): void {
  if (secrets.length === 0) {
    throw new OpsError('OPS_012', 'No secret is configured for Stripe.', {
      hint: 'set STRIPE_WEBHOOK_SECRET',
    })
  }
  const parts = header.split(',').map((part) => part.trim())
  const time = parts.map((part) => /^t=(\d{1,12})$/.exec(part)?.[1]).find((found) => found !== undefined)
  const offered = parts.flatMap((part) => /^v1=([0-9a-f]{64})$/.exec(part)?.[1] ?? [])
  if (time === undefined || offered.length === 0) {
    throw new OpsError('OPS_012', 'Stripe-Signature is missing or malformed.')
  }
  const genuine = secrets.map((secret) =>
    createHmac('sha256', secret).update(`${time}.`).update(body).digest(),
  )
  const fits = offered.some((hex) =>
    genuine.some((digest) => timingSafeEqual(digest, Buffer.from(hex, 'hex'))),
  )
  if (!fits) {
    throw new OpsError('OPS_012', 'Stripe-Signature does not fit the body.', {
      hint: 'STRIPE_WEBHOOK_SECRET must be the signing secret of this endpoint',
    })
  }
  if (Math.abs(receivedAt / 1000 - Number(time)) > TOLERANCE_SECONDS) {
    throw new OpsError('OPS_012', 'Stripe-Signature is not from the last five minutes.', {
      hint: 'check the clock of this machine',
    })
  }
}
