/** The data folder of `npm start`, `.ops-loop/` by default: made, recognised and reset here. */
import { mkdir, readdir, realpath, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { OpsError } from '../engine/index.js'
import { stopOrphanedChildren } from './children.js'
import { isSystemError, messageOf, stackError } from './errors.js'
import { lockDataDir } from './lock.js'
import { removeDataDir } from './orphans.js'
import { stackPaths } from './stackPaths.js'

const OTHER_FOLDER = 'Choose another one: npm start -- --data-dir <folder>.'

/**
 * Makes sure that the folder exists and is ours.
 *
 * @returns its real path
 * @throws OpsError `OPS_001` when it holds something else, or cannot be made
 */
export async function openDataFolder(dataDir: string): Promise<string> {
  const found = await look(dataDir)
  if (Array.isArray(found)) throw foreign(dataDir, found)
  try {
    await mkdir(dataDir, { recursive: true })
    if (found === 'nothing') {
      const marker = { kind: 'data folder of ops-loop', version: 1 }
      await writeFile(stackPaths(dataDir).marker, `${JSON.stringify(marker)}\n`)
    }
    return await realpath(dataDir)
  } catch (error) {
    throw stackError(`The data folder ${dataDir} cannot be made: ${messageOf(error)}.`, {
      hint: OTHER_FOLDER,
      cause: error,
    })
  }
}

/**
 * Deletes everything of ours in the folder, and stops what an earlier run left running there.
 *
 * @throws OpsError `OPS_001` when the folder is not ours, or in use; nothing is deleted then
 */
export async function resetDataFolder(dataDir: string, log: (line: string) => void): Promise<void> {
  const found = await look(dataDir)
  if (found === 'nothing') return
  if (found !== 'ours') throw foreign(dataDir, found)
  const folder = await realpath(dataDir)
  const lock = await lockDataDir(folder)
  await stopOrphanedChildren(folder, log).finally(() => lock.release())
  await removeDataDir(folder, log)
  const { marker, ...others } = stackPaths(folder)
  await Promise.all(Object.values(others).map((path) => rm(path, { force: true })))
  // Last: if we are killed half-way, the folder is still known as ours.
  await rm(marker, { force: true })
}

/** What is there: nothing, a folder of ours, or a stranger's things. */
async function look(dataDir: string): Promise<'nothing' | 'ours' | string[]> {
  try {
    const names = await readdir(dataDir)
    if (names.length === 0) return 'nothing'
    return names.some((name) => join(dataDir, name) === stackPaths(dataDir).marker) ? 'ours' : names
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return 'nothing'
    if (isSystemError(error, 'ENOTDIR')) return []
    throw error
  }
}

function foreign(dataDir: string, names: string[]): OpsError {
  const some = `${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''}`
  const what = names.length === 0 ? 'it is not a folder' : `it holds ${some}`
  return stackError(`${dataDir} is not a data folder of Ops Loop: ${what}. It was left as it is.`, {
    hint: OTHER_FOLDER,
  })
}
