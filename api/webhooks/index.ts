import type { ApiConfig } from '../config.js'
import { github } from './github.js'
import type { WebhookSource } from './source.js'
import { standard } from './standard.js'
import { stripe } from './stripe.js'

export type { Delivery, WebhookSource } from './source.js'

/** The sources that deliveries are taken from, by their name in `/api/ops/webhooks/:source`. */
export function webhookSources({
  webhookSecrets,
}: Pick<ApiConfig, 'webhookSecrets'>): Map<string, WebhookSource> {
  return new Map([
    ['github', github(webhookSecrets.github)],
    ['stripe', stripe(webhookSecrets.stripe)],
    ['standard', standard(webhookSecrets.standard)],
  ])
}
