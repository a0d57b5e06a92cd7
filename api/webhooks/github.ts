import { createHmac, timingSafeEqual } from 'node:crypto'
import { type JsonObject, OpsError } from '../../engine/index.js'
import { eventTypeOf, parsePayload } from './payload.js'
import type { Delivery, WebhookSource } from './source.js'

/**
 * GitHub: `X-Hub-Signature-256` is the HMAC-SHA256 of the raw body. The event is `github:<event>.<action>`, or
 * `github:<event>` where there is no action; its data is the payload with `source` and `delivery_id`.
 *
 * The headers are not signed. A replay under another delivery id is a new event, as GitHub offers nothing to tell it by.
 *
 * @param secrets any of them may have signed; without any, every delivery is refused
 * @example
 * github(['It\'s a Secret to Everybody']).receive({ headers, body, receivedAt: Date.now() })
 * // { type: 'github:issues.opened', data: { source: 'github', action: 'opened', … }, dedupe_key: 'github:72d3162e-…' }
 */
export function github(secrets: readonly string[]): WebhookSource {
  return {
    receive({ headers, body }: Delivery) {
      requireSignature(secrets, headers.get('x-hub-signature-256'), body)
      const event = header(headers, 'X-GitHub-Event', /^[a-z][a-z0-9_]{0,63}$/)
      const delivery = header(headers, 'X-GitHub-Delivery', /^[A-Za-z0-9-]{1,64}$/)
      const payload = parsePayload(jsonOf(headers, body))
      if (event === 'ping') return 'ping'
      return {
        type: eventType(event, payload),
        data: { ...payload, source: 'github', delivery_id: delivery },
        dedupe_key: `github:${delivery}`,
      }
    },
  }
}

function requireSignature(secrets: readonly string[], signature: string | null, body: Buffer): void {
  if (secrets.length === 0) {
    throw new OpsError('OPS_012', 'No secret is configured for GitHub.', {
      hint: 'set GITHUB_WEBHOOK_SECRET',
    })
  }
  const hex = /^sha256=([0-9a-f]{64})$/.exec(signature ?? '')?.[1]
  if (hex === undefined) {
    throw new OpsError('OPS_012', 'X-Hub-Signature-256 is missing or malformed.', {
      hint: 'enter the secret in the settings of the webhook on GitHub',
    })
  }
  const offered = Buffer.from(hex, 'hex')
  const genuine = secrets.map((secret) => createHmac('sha256', secret).update(body).digest())
  if (!genuine.some((digest) => timingSafeEqual(digest, offered))) {
    throw new OpsError('OPS_012', 'X-Hub-Signature-256 does not fit the body.', {
      hint: 'the secret on GitHub and GITHUB_WEBHOOK_SECRET must be the same',
    })
  }
}

function header(headers: Headers, name: string, form: RegExp): string {
  const value = headers.get(name)
  if (value === null || !form.test(value)) {
    throw new OpsError('OPS_011', `${name} is missing or malformed.`, { details: { path: name } })
  }
  return value
}

/** GitHub sends JSON, or, when the webhook is set to it, a form whose field `payload` is JSON. */
function jsonOf(headers: Headers, body: Buffer): string {
  const text = body.toString('utf8')
  if (!headers.get('content-type')?.startsWith('application/x-www-form-urlencoded')) return text
  return new URLSearchParams(text).get('payload') ?? ''
}

/** The action of a `repository_dispatch` is anybody's text. */
function eventType(event: string, { action }: JsonObject): string {
  return eventTypeOf('github', typeof action === 'string' && action !== '' ? `${event}.${action}` : event)
}
