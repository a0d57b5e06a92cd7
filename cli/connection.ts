import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Connection, readConnection } from '../embedded/connection.js'
import { shellPath } from '../embedded/nearby.js'
import { faultOf, fromDatabaseError, loadDotEnv, OpsError } from '../engine/index.js'

/** Options that every command takes. */
export interface GlobalOptions {
  json?: boolean
  dataDir?: string
}

/** The data folder of `npm start`: the one that was asked for, else `.ops-loop` in the project, wherever we are called from. */
export function dataFolder({ dataDir }: GlobalOptions): string {
  return dataDir === undefined ? fileURLToPath(new URL('../.ops-loop', import.meta.url)) : resolve(dataDir)
}

/**
 * Sees to it that the process's environment says where the database is: `.env` fills in what is not set, and where no database is
 * named (or `--data-dir` is given), the running `npm start` is taken.
 *
 * @returns the stack of that `npm start`, where it is taken
 * @throws OpsError `OPS_001` when there is neither
 */
export async function findDatabase(options: GlobalOptions): Promise<Connection | undefined> {
  // The stack tells its own parts all that they need.
  if (process.env.OPS_STACK_PART) return undefined
  loadDotEnv()
  const { DATABASE_URL, SUPABASE_URL } = process.env
  if (options.dataDir === undefined && (DATABASE_URL || SUPABASE_URL)) return undefined
  const stack = await runningStack(options)
  for (const [name, value] of Object.entries(stack)) process.env[name] = String(value)
  return stack
}

/** @throws OpsError `OPS_001` when no `npm start` is running on the data folder */
export async function runningStack(options: GlobalOptions): Promise<Connection> {
  const stack = await readConnection(dataFolder(options))
  if (stack === undefined) throw nothingRunning(options)
  return stack
}

/**
 * Does work that opens a connection of its own. What the database, or the way to it, says is told as the engine tells it.
 *
 * @param setting what names the database, such as `DATABASE_URL`
 */
export async function overConnection<T>(setting: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (faultOf(error).kind === 'unknown') throw error
    throw fromDatabaseError(error, 'postgres', setting)
  }
}

function nothingRunning(options: GlobalOptions): OpsError {
  return options.dataDir === undefined
    ? new OpsError('OPS_001', 'No database is named, and no npm start is running.', {
        hint: 'Run npm start in another terminal, or set DATABASE_URL, or SUPABASE_URL and SUPABASE_SECRET_KEY.',
      })
    : new OpsError('OPS_001', `No npm start is running on ${dataFolder(options)}.`, {
        hint: `Run npm start -- --data-dir ${shellPath(options.dataDir)} in another terminal.`,
      })
}
