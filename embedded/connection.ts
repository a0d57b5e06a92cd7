/**
 * `env` in the data folder: how to reach the stack that runs there, as environment variables, for the command line and for
 * shells (`set -a; . .ops-loop/env`). Written when all is up, removed when it stops, readable by its owner alone.
 */
import { readFile, rm } from 'node:fs/promises'
import { parseEnv } from 'node:util'
import { z } from 'zod'
import { isSystemError, messageOf, stackError } from './errors.js'
import { stackPaths } from './stackPaths.js'
import { writeWholeFile } from './wholeFile.js'

const connectionSchema = z.object({
  /** The process that holds the stack together. */
  OPS_STACK_PID: z.coerce.number().int().positive(),
  /** Logs in as the database's owner. */
  DATABASE_URL: z.string(),
  /** Logs in as a worker, who can do no more than workers do: for another one beside the stack's own. */
  WORKER_DATABASE_URL: z.string(),
  SUPABASE_URL: z.string(),
  SUPABASE_SERVICE_ROLE_KEY: z.string(),
  /** Of the control plane, and the key to it. */
  OPS_API_URL: z.string(),
  OPS_API_KEY: z.string(),
  /** Signs tokens for parts of the API. */
  OPS_TOKEN_SECRET: z.string(),
  GITHUB_WEBHOOK_SECRET: z.string(),
})

export type Connection = z.infer<typeof connectionSchema>

export async function writeConnection(dataDir: string, connection: Connection): Promise<void> {
  const file = stackPaths(dataDir).connection
  const lines = Object.entries(connection).map(([name, value]) => `${name}=${value}`)
  const text = ['# How to reach the stack that runs now. Gone when it stops.', ...lines, ''].join('\n')
  await writeWholeFile(file, text, 0o600)
}

export async function removeConnection(dataDir: string): Promise<void> {
  await rm(stackPaths(dataDir).connection, { force: true })
}

/**
 * How to reach the stack of a data folder; undefined when none is running there.
 *
 * @throws OpsError `OPS_001` when that may not be read
 */
export async function readConnection(dataDir: string): Promise<Connection | undefined> {
  const file = stackPaths(dataDir).connection
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return ''
    throw stackError(
      `${file}, which says how to reach the npm start there, cannot be read: ${messageOf(error)}.`,
      {
        hint: 'Run as the user who started it, or set DATABASE_URL.',
        cause: error,
      },
    )
  })
  const parsed = connectionSchema.safeParse(parseEnv(text))
  // A stack that was killed leaves its file behind.
  return parsed.success && isAlive(parsed.data.OPS_STACK_PID) ? parsed.data : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return isSystemError(error, 'EPERM')
  }
}
