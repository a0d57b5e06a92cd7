import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeDataDir } from '../../embedded/orphans.js'
import { dataPaths } from '../../embedded/paths.js'
import { testFolderPrefix } from './names.js'

/** Clears away the servers and folders of test runs that were killed: their lock is there, its holder is not. */
export async function sweepKilledRuns(): Promise<void> {
  const folders = (await readdir(tmpdir())).filter((name) => name.startsWith(testFolderPrefix))
  for (const name of folders) {
    const folder = join(tmpdir(), name)
    if (existsSync(dataPaths(folder).lock)) await removeTestFolder(folder).catch(() => undefined)
  }
}

/** @throws OpsError OPS_001 while a living process holds the folder */
export async function removeTestFolder(folder: string): Promise<void> {
  await removeDataDir(folder)
  await rm(folder, { recursive: true, force: true })
}
