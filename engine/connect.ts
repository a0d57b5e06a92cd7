import { OpsError } from './errors.js'
import { createEngine } from './methods.js'
import { postgresTransport } from './postgres.js'
import { supabaseTransport } from './supabase.js'
import type { Engine } from './types/engine.js'

/** Where the database is. Connections open with the first call, so a wrong address shows there. */
export type EngineOptions =
  | {
      databaseUrl: string
      /** Postgres connections at the same time, default 5. A subscription has one more of its own. */
      maxConnections?: number | undefined
      /** How long the database may take to answer a call, in milliseconds, default 60,000. */
      callTimeoutMs?: number | undefined
    }
  | { supabaseUrl: string; supabaseKey: string }

/** The variables that say where the database is. */
export interface ConnectionEnv {
  DATABASE_URL?: string | undefined
  SUPABASE_URL?: string | undefined
  SUPABASE_SECRET_KEY?: string | undefined
  SUPABASE_SERVICE_ROLE_KEY?: string | undefined
}

/**
 * Opens the doorway to the database.
 *
 * @throws OpsError `OPS_001` when the address has the wrong form
 * @example
 * const engine = connectEngine({ databaseUrl: 'postgresql://…' })
 * await engine.emitEvents([{ type: 'github:issues.opened', data: {…}, dedupe_key: delivery }])
 * await engine.close()
 */
export function connectEngine(options: EngineOptions): Engine {
  return createEngine(
    'databaseUrl' in options
      ? postgresTransport(options.databaseUrl, options.maxConnections, options.callTimeoutMs)
      : supabaseTransport(options.supabaseUrl, options.supabaseKey),
  )
}

/**
 * Connects as the environment says: `DATABASE_URL` wins, else Supabase's address and key.
 *
 * @throws OpsError `OPS_001` naming the variables, when none of them are set
 */
export function engineFromEnv(env: ConnectionEnv): Engine {
  return connectEngine(connectionFromEnv(env))
}

/** Where the environment says that the database is. Errors as above. */
export function connectionFromEnv(env: ConnectionEnv): EngineOptions {
  if (env.DATABASE_URL) return { databaseUrl: env.DATABASE_URL }
  const supabaseUrl = env.SUPABASE_URL
  const supabaseKey = env.SUPABASE_SECRET_KEY || env.SUPABASE_SERVICE_ROLE_KEY
  if (supabaseUrl && supabaseKey) return { supabaseUrl, supabaseKey }
  throw new OpsError(
    'OPS_001',
    'No database is configured: set DATABASE_URL, or SUPABASE_URL and SUPABASE_SECRET_KEY (or SUPABASE_SERVICE_ROLE_KEY).',
  )
}
