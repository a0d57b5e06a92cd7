/** The data folder of `npm start`, `.ops-loop/` by default: made, recognised and reset here. */
import { existsSync } from 'node:fs'
import { readdir, realpath, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { OpsError } from '../engine/index.js'
import { stopOrphanedChildren } from './children.js'
import { isSystemError, messageOf, stackError } from './errors.js'
import { lockDataDir } from './lock.js'
import { newFolder } from './newFolder.js'
import { removeDataDir } from './orphans.js'
import { dataPaths } from './paths.js'
import { stackPaths } from './stackPaths.js'

const OTHER_FOLDER = 'Choose another one: npm start -- --data-dir <folder>.'

export interface DataFolder {
  /** The real path. */
  dataDir: string
  /** For a start that failed: the folder is as it was before, unless there was or is a database in it. Nobody may hold its lock. */
  takeBack(): Promise<void>
}

/**
 * Makes sure that the folder exists and is ours.
 *
 * @throws OpsError `OPS_001` when it holds something else, or cannot be made
 */
export async function openDataFolder(path: string): Promise<DataFolder> {
  const found = await look(path)
  if (Array.isArray(found)) throw foreign(path, found)
  try {
    const removeFolders = await newFolder(path)
    if (found === 'nothing') {
      const marker = { kind: 'data folder of ops-loop', version: 1 }
      await writeFile(stackPaths(path).marker, `${JSON.stringify(marker)}\n`)
    }
    const dataDir = await realpath(path)
    return {
      dataDir,
      async takeBack() {
        if (found === 'ours' || existsSync(dataPaths(dataDir).cluster)) return
        await resetDataFolder(dataDir, () => undefined)
        await removeFolders()
      },
    }
  } catch (error) {
    throw stackError(`The data folder ${path} cannot be made: ${messageOf(error)}.`, {
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
