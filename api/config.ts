import { z } from 'zod'
import { envSchema, parseEnv } from '../engine/index.js'
import { SHORTEST_SECRET } from './access/tokens.js'
import type { ChannelSettings } from './monitors/notices.js'
import type { ServiceSecrets } from './services/probe.js'
import { isStandardSecret } from './webhooks/standard.js'

/** What the control plane needs to know, read once from the environment. */
export interface ApiConfig {
  /** Keys that open every protected route; two while one replaces the other. Without any, nobody gets in. */
  apiKeys: readonly string[]
  /** Opens the heartbeat alone. */
  cronSecret?: string | undefined
  /** Sign tokens for parts of the API; two while one replaces the other. */
  tokenSecrets: readonly string[]
  /** Origins whose pages may call the API from a browser. */
  corsOrigins: readonly string[]
  /** Requests that each key and token may make in a minute; 0 sets no limit. */
  requestsPerMinute: number
  /** Secrets by webhook source; two while one replaces the other. A source without any refuses every delivery. */
  webhookSecrets: Readonly<Record<'github' | 'stripe' | 'standard', readonly string[]>>
  /** Variables that begin with `OPS_SERVICE_`: what policy `services` may have sent to a service. */
  serviceSecrets: ServiceSecrets
  /** Events that one settling call takes, 1 to 1000. */
  eventBatchSize: number
  /** Reactions that one call takes through the gate, 1 to 1000. */
  reactionBatchSize: number
  /** What the channels of policy `alerts` need: their addresses and secrets, by the names of variables. */
  channels: ChannelSettings
  /** How long one beat may work before it leaves the rest to the next, in milliseconds. */
  beatBudgetMs: number
}

/** Less than the 60 s that Vercel gives the function: a batch under way may end, and the report is still written. */
const BEAT_BUDGET_MS = 45_000

const REQUESTS_RANGE = 'must be a whole number from 0 (no limit) to 1000000'

/** A key that travels in a header. One that no header can carry would lock everybody out without a word. */
const bearerKey = z
  .string()
  .trim()
  .regex(
    /^[\x21-\x7e]*$/,
    'must not hold spaces or special characters; make one with: openssl rand -base64 32',
  )
  .optional()
const secret = z.string().trim().optional()
const standardSecret = secret.refine(
  (text) => !text || isStandardSecret(text),
  'must be a Standard Webhooks secret: whsec_ and base64',
)
const tokenSecret = secret.refine(
  (text) => !text || text.length >= SHORTEST_SECRET,
  `must have at least ${SHORTEST_SECRET} characters; make one with: openssl rand -base64 32`,
)
/** `https://a.example, https://b.example`, as browsers send them: without a path. */
const origins = z
  .string()
  .transform((text) => text.split(/[\s,]+/).filter(Boolean))
  .refine(
    (list) => list.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin),
    'must be origins such as https://ops.example.com, with commas between',
  )
  .default([])

const apiEnvSchema = envSchema.extend({
  OPS_API_KEY: bearerKey,
  OPS_API_KEY_PREVIOUS: bearerKey,
  CRON_SECRET: bearerKey,
  OPS_TOKEN_SECRET: tokenSecret,
  OPS_TOKEN_SECRET_PREVIOUS: tokenSecret,
  OPS_CORS_ORIGINS: origins,
  OPS_REQUESTS_PER_MINUTE: z.coerce
    .number({ error: REQUESTS_RANGE })
    .refine((n) => Number.isInteger(n) && n >= 0 && n <= 1_000_000, REQUESTS_RANGE)
    .default(6000),
  GITHUB_WEBHOOK_SECRET: secret,
  GITHUB_WEBHOOK_SECRET_PREVIOUS: secret,
  STRIPE_WEBHOOK_SECRET: secret,
  STRIPE_WEBHOOK_SECRET_PREVIOUS: secret,
  STANDARD_WEBHOOKS_SECRET: standardSecret,
  STANDARD_WEBHOOKS_SECRET_PREVIOUS: standardSecret,
})

/**
 * Reads the control plane's part of the environment.
 *
 * @throws OpsError `OPS_011` listing the variables that make no sense
 */
export function apiConfigFromEnv(variables: Readonly<Record<string, string | undefined>>): ApiConfig {
  const env = parseEnv(apiEnvSchema, variables)
  return {
    apiKeys: present(env.OPS_API_KEY, env.OPS_API_KEY_PREVIOUS),
    cronSecret: env.CRON_SECRET || undefined,
    tokenSecrets: present(env.OPS_TOKEN_SECRET, env.OPS_TOKEN_SECRET_PREVIOUS),
    corsOrigins: env.OPS_CORS_ORIGINS,
    requestsPerMinute: env.OPS_REQUESTS_PER_MINUTE,
    webhookSecrets: {
      github: present(env.GITHUB_WEBHOOK_SECRET, env.GITHUB_WEBHOOK_SECRET_PREVIOUS),
      stripe: present(env.STRIPE_WEBHOOK_SECRET, env.STRIPE_WEBHOOK_SECRET_PREVIOUS),
      standard: present(env.STANDARD_WEBHOOKS_SECRET, env.STANDARD_WEBHOOKS_SECRET_PREVIOUS),
    },
    serviceSecrets: serviceSecretsOf(variables),
    eventBatchSize: env.OPS_EVENT_BATCH_SIZE,
    reactionBatchSize: env.OPS_REACTION_BATCH_SIZE,
    channels: { variables },
    beatBudgetMs: BEAT_BUDGET_MS,
  }
}

function serviceSecretsOf(variables: Readonly<Record<string, string | undefined>>): ServiceSecrets {
  return Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) =>
      name.startsWith('OPS_SERVICE_') && value ? [[name, value]] : [],
    ),
  )
}

function present(...secrets: (string | undefined)[]): string[] {
  return secrets.flatMap((text) => text || [])
}
