/** The `worker` command as a process of its own. */
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { type TestDatabase, urlFor } from './database.js'

const COMMAND = fileURLToPath(new URL('../../cli/ops-loop.mjs', import.meta.url))

export interface WorkerRun {
  exitCode: number | undefined
  stdout: string
  stderr: string
}

/**
 * Drains what is queued with executors from a folder besides those that are shipped.
 *
 * @param env all that it sees of an environment, besides the database and a search path
 */
export async function drain(
  database: Pick<TestDatabase, 'name'>,
  { executors, env = {} }: { executors?: string; env?: Record<string, string> },
): Promise<WorkerRun> {
  const { exitCode, stdout, stderr } = await execa(
    process.execPath,
    [COMMAND, 'worker', ...(executors ? ['--executors', executors] : [])],
    {
      env: { PATH: process.env.PATH, DATABASE_URL: urlFor(database, 'ops_worker'), ...env },
      extendEnv: false,
      reject: false,
    },
  )
  return { exitCode, stdout, stderr }
}
