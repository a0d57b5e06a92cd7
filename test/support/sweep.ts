import { readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeDataDir } from '../../embedded/orphans.js'
import { testFolderPrefix } from './names.js'

/** Clears away the servers and folders of test runs that were killed. Runs that are under way keep theirs. */
export async function sweepKilledRuns(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const run = runFolder.exec(name)?.[1]
    if (run !== undefined && !isAlive(Number(run))) {
      await removeTestFolder(join(tmpdir(), name)).catch(() => undefined)
    }
  }
}

const runFolder = new RegExp(`^${testFolderPrefix}(\\d+)-`)

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** @throws OpsError OPS_001 while a living process holds the folder */
export async function removeTestFolder(folder: string): Promise<void> {
  await removeDataDir(folder)
  await rm(folder, { recursive: true, force: true })
}
