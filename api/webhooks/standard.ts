import { Webhook, WebhookVerificationError } from 'standardwebhooks'
import { OpsError } from '../../engine/index.js'
import { eventTypeOf, parsePayload } from './payload.js'
import type { Delivery, WebhookSource } from './source.js'

/**
 * Standard Webhooks (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp` (within five minutes) and
 * `webhook-signature`. The event is `standard:<type>` of the payload, or `standard:message` where it has none.
 *
 * @param secrets `whsec_<base64>`; any of them may have signed
 */
export function standard(secrets: readonly string[]): WebhookSource {
  const verifiers = secrets.map((secret) => new Webhook(secret))
  return {
    receive({ headers, body }: Delivery) {
      requireSignature(verifiers, headers, body)
      const id = headers.get('webhook-id') ?? ''
      if (!/^[\x21-\x7e]{1,400}$/.test(id)) {
        throw new OpsError('OPS_011', 'webhook-id is malformed.', { details: { path: 'webhook-id' } })
      }
      const payload = parsePayload(body.toString('utf8'))
      const type = typeof payload.type === 'string' && payload.type !== '' ? payload.type : 'message'
      return {
        type: eventTypeOf('standard', type),
        data: { ...payload, source: 'standard', delivery_id: id },
        dedupe_key: `standard:${id}`,
      }
    },
  }
}

/** Whether a text can be a secret at all. */
export function isStandardSecret(secret: string): boolean {
  try {
    return new Webhook(secret) !== undefined
  } catch {
    return false
  }
}

function requireSignature(verifiers: readonly Webhook[], headers: Headers, body: Buffer): void {
  if (verifiers.length === 0) {
    throw new OpsError('OPS_012', 'No secret is configured for Standard Webhooks.', {
      hint: 'set STANDARD_WEBHOOKS_SECRET',
    })
  }
  const signed = Object.fromEntries(
    ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, headers.get(name) ?? '']),
  )
  let reason = ''
  for (const verifier of verifiers) {
    try {
      verifier.verify(body, signed, { jsonParse: false })
      return
    } catch (error) {
      if (!(error instanceof WebhookVerificationError)) throw error
      reason = error.message
    }
  }
  throw new OpsError('OPS_012', `This delivery is not genuine: ${reason}.`, {
    hint: 'STANDARD_WEBHOOKS_SECRET must be the signing secret of this endpoint',
  })
}
