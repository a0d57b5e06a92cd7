import { z } from 'zod'
import { envSchema, parseEnv } from '../engine/index.js'

/** What the control plane needs to know, read once from the environment. */
export interface ApiConfig {
  /** Keys that open every protected route; two while one replaces the other. Without any, nobody gets in. */
  apiKeys: readonly string[]
  /** Opens the heartbeat alone. */
  cronSecret?: string | undefined
  /** Secrets by webhook source; two while one replaces the other. A source without any refuses every delivery. */
  webhookSecrets: { readonly github: readonly string[] }
  /** Events that one settling call takes, 1 to 1000. */
  eventBatchSize: number
  /** Reactions that one call takes through the gate, 1 to 1000. */
  reactionBatchSize: number
  /** How long one beat may work before it leaves the rest to the next, in milliseconds. */
  beatBudgetMs: number
}

/** Less than the 60 s that Vercel gives the function: a batch under way may end, and the report is still written. */
const BEAT_BUDGET_MS = 45_000

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

const apiEnvSchema = envSchema.extend({
  OPS_API_KEY: bearerKey,
  OPS_API_KEY_PREVIOUS: bearerKey,
  CRON_SECRET: bearerKey,
  GITHUB_WEBHOOK_SECRET: secret,
  GITHUB_WEBHOOK_SECRET_PREVIOUS: secret,
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
    webhookSecrets: { github: present(env.GITHUB_WEBHOOK_SECRET, env.GITHUB_WEBHOOK_SECRET_PREVIOUS) },
    eventBatchSize: env.OPS_EVENT_BATCH_SIZE,
    reactionBatchSize: env.OPS_REACTION_BATCH_SIZE,
    beatBudgetMs: BEAT_BUDGET_MS,
  }
}

function present(...secrets: (string | undefined)[]): string[] {
  return secrets.flatMap((text) => text || [])
}
