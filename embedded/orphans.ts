/**
 * What a killed process left behind in a data folder. Whoever calls holds the folder's lock, so whatever still runs there has
 * lost its parent.
 */
import { readFile, realpath, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError, stackError } from './errors.js'
import { lockDataDir } from './lock.js'
import { dataPaths } from './paths.js'
import { findProcesses, runsProgram, stopProcesses } from './processes.js'

const patienceMs = 30_000

type Log = (line: string) => void

/** @throws OpsError OPS_001 if it does not stop, or another Postgres seems to run on the cluster */
export async function stopOrphanedPostgres(dataDir: string, log: Log): Promise<void> {
  const { cluster, draft } = dataPaths(dataDir)
  await stop('Postgres', await findProcesses('postgres', '-D', cluster), ['SIGINT', 'SIGQUIT'], log)
  await stop('initdb', await findProcesses('initdb', `--pgdata=${draft}/`), ['SIGTERM', 'SIGKILL'], log)
  await removeStaleLockFile(cluster)
  await rm(draft, { recursive: true, force: true, maxRetries: 5 })
}

/** @throws OpsError OPS_001 if it does not stop */
export async function stopOrphanedPostgrest(dataDir: string, log: Log): Promise<void> {
  const { postgrestConfig } = dataPaths(dataDir)
  await stop('PostgREST', await findProcesses('postgrest', postgrestConfig), ['SIGTERM', 'SIGKILL'], log)
}

/**
 * Deletes what Postgres and PostgREST keep in a data folder, and the folder itself if nothing else is in it. Stops what an earlier
 * run left running there.
 *
 * @throws OpsError OPS_001 if a living process holds the folder
 */
export async function removeDataDir(dataDir: string, log: Log = () => undefined): Promise<void> {
  const folder = await realpath(dataDir)
  const held = await lockDataDir(folder)
  const { lock, ...parts } = dataPaths(folder)
  try {
    await stopOrphanedPostgrest(folder, log)
    await stopOrphanedPostgres(folder, log)
    await Promise.all(Object.values(parts).map((path) => rm(path, { recursive: true, force: true })))
  } finally {
    await held.release()
  }
  // Empty folders only: if somebody is already starting anew here, they stay.
  await rmdir(lock).catch(() => undefined)
  await rmdir(folder).catch(() => undefined)
}

async function stop(name: string, pids: number[], signals: NodeJS.Signals[], log: Log): Promise<void> {
  if (pids.length === 0) return
  const processes = `${name} (process ${pids.join(', ')})`
  log(`Stopping ${processes}, which an earlier run left behind`)
  if (await stopProcesses(pids, signals, patienceMs)) return
  throw stackError(`${processes} of an earlier run still runs and does not stop.`, {
    hint: 'Stop it yourself, then start again.',
  })
}

/**
 * Postgres refuses to start while the process id in its lock file is alive, whatever that process is: after a reboot, or in
 * a new container on an old volume, often a stranger.
 */
async function removeStaleLockFile(cluster: string): Promise<void> {
  const file = join(cluster, 'postmaster.pid')
  const content = await readFile(file, 'utf8').catch((error: unknown) => {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  })
  if (content === undefined) return
  const pid = Number.parseInt(content, 10)
  if (await runsProgram(pid, 'postgres')) {
    throw stackError(
      `Another Postgres (process ${pid}) seems to run on ${cluster}: postmaster.pid names it.`,
      {
        hint: `If that process serves another folder, delete ${file}; otherwise stop it. Then start again.`,
      },
    )
  }
  await rm(file, { force: true })
}
