import { readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeDataDir } from '../../embedded/orphans.js'
import { testFolderPrefix } from './names.js'

/** Clears away the servers and folders of test runs that were killed. Those of a run that is under way are locked. */
export async function sweepKilledRuns(): Promise<void> {
  const folders = (await readdir(tmpdir())).filter((name) => name.startsWith(testFolderPrefix))
  for (const name of folders) {
    const folder = join(tmpdir(), name)
    await removeDataDir(folder).then(
      () => rm(folder, { recursive: true, force: true }),
      () => undefined,
    )
  }
}
