import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv as parseDotEnv } from 'node:util'
import { z } from 'zod'
import { OpsError } from './errors.js'

const secret = z.string().optional()
const address = (protocol: RegExp, form: string) =>
  z.url({ protocol, error: `must be an address such as ${form}` }).optional()
const whole = (least: number, most: number, fallback: number) =>
  z.coerce
    .number({ error: `must be a whole number from ${least} to ${most}` })
    .refine(
      (n) => Number.isInteger(n) && n >= least && n <= most,
      `must be a whole number from ${least} to ${most}`,
    )
    .default(fallback)

/** The environment variables that several parts of the program share. A part adds its own with `envSchema.extend`. */
export const envSchema = z.object({
  /** Direct connection to Postgres. Wins over the Supabase variables. */
  DATABASE_URL: address(/^postgres(ql)?$/, 'postgresql://user:password@host:5432/database'),
  SUPABASE_URL: address(/^https?$/, 'https://<project>.supabase.co'),
  SUPABASE_SECRET_KEY: secret,
  /** The older name of Supabase's secret key. */
  SUPABASE_SERVICE_ROLE_KEY: secret,

  /** Bearer key of the control plane, and the one before it while keys rotate. None set: nobody gets in. */
  OPS_API_KEY: secret,
  OPS_API_KEY_PREVIOUS: secret,
  /** What Vercel's cron sends as its bearer key. */
  CRON_SECRET: secret,
  /** Signs GitHub's webhook deliveries. */
  GITHUB_WEBHOOK_SECRET: secret,

  /** Events, and reactions, that one batch of a heartbeat takes. */
  OPS_EVENT_BATCH_SIZE: whole(1, 1000, 50),
  OPS_REACTION_BATCH_SIZE: whole(1, 1000, 50),
  /** How long a worker holds a step before it must renew. The step and the policy come first. */
  OPS_STEP_LEASE_MINUTES: whole(1, 1440, 5),
  /** Failures after which a step is dead. The step and the policy come first. */
  OPS_WORKER_MAX_RETRIES: whole(0, 100, 3),
  /** When a running step counts as stuck. The step and the policy come first. */
  OPS_STALE_STEP_MINUTES: whole(1, 10_080, 15),
})
export type Env = z.infer<typeof envSchema>

type Variables = Readonly<Record<string, string | undefined>>

/**
 * The checked environment: the process's, with `.env` of the working folder filling in what is not set.
 *
 * @throws OpsError `OPS_011` listing every variable that is wrong, and what it must be
 */
export function readEnv(): Env {
  loadDotEnv()
  return parseEnv(envSchema, process.env)
}

/**
 * Checks variables against a schema. An empty one counts as not set. Values are never repeated in the error: they may be
 * secrets.
 *
 * @throws OpsError `OPS_011` listing every variable that is wrong, and what it must be
 */
export function parseEnv<T>(schema: z.ZodType<T>, variables: Variables): T {
  const parsed = schema.safeParse(
    Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== '')),
  )
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
  const list = problems.map(({ path, message }) => `\n  ${path} ${message}`).join('')
  throw new OpsError('OPS_011', `These environment variables are wrong:${list}`, {
    details: { problems },
    hint: 'Correct them in the environment or in .env, or remove them where there is a default.',
  })
}

/** Reads `.env` of a folder into the process's environment, without touching what is set. No file is fine. */
export function loadDotEnv(folder = process.cwd()): void {
  const file = join(folder, '.env')
  if (!existsSync(file)) return
  const text = withoutMark(readFileSync(file, 'utf8'))
  for (const [found, value] of Object.entries(parseDotEnv(text))) {
    // Node takes lines without "=" for the beginning of the next name.
    const name = found.slice(found.lastIndexOf('\n') + 1)
    process.env[name] ??= value
  }
}

/** Text without the byte order mark that editors of Windows put in front of a file: it would count to the first word. */
export function withoutMark(text: string): string {
  return text.replace(/^\ufeff/, '')
}
