import { createHmac } from 'node:crypto'

/** Standard Webhooks asks for 24 to 64 random bytes; shorter keys than this are a mistake in the environment. */
const LEAST_KEY_BYTES = 16

/**
 * The headers of the Standard Webhooks specification (version 1, HMAC-SHA256).
 *
 * @param secret base64, with or without the prefix `whsec_`
 * @param timestamp seconds since 1970
 * @throws RangeError when the secret is not base64 or too short.
 */
export function standardWebhookHeaders(message: {
  id: string
  timestamp: number
  body: string
  secret: string
}): Record<string, string> {
  const { id, timestamp, body, secret } = message
  const signature = createHmac('sha256', decodeSecret(secret)).update(`${id}.${timestamp}.${body}`)
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': `v1,${signature.digest('base64')}`,
  }
}

function decodeSecret(secret: string): Buffer {
  const text = secret.replace(/^whsec_/, '')
  const key = Buffer.from(text, 'base64')
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || key.length < LEAST_KEY_BYTES) {
    throw new RangeError(`it must be base64 of at least ${LEAST_KEY_BYTES} bytes, as in 'whsec_…'`)
  }
  return key
}
