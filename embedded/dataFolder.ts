/** The data folder of `npm start`, `.ops-loop/` by default: made, recognised and deleted here. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError, messageOf, stackError } from './errors.js'

/** By this file we know a folder again as one of ours. */
const MARKER = 'ops-loop.json'

/**
 * Makes sure that the folder exists and is ours.
 *
 * @returns whether it is new
 * @throws OpsError `OPS_001` when it holds something else, or cannot be made
 */
export async function openDataFolder(dataDir: string): Promise<'new' | 'known'> {
  const found = await look(dataDir)
  if (found === 'ours') return 'known'
  if (Array.isArray(found)) throw foreign(dataDir, found)
  try {
    await mkdir(dataDir, { recursive: true })
    await writeFile(join(dataDir, MARKER), `${JSON.stringify({ kind: 'data folder of ops-loop', version: 1 })}\n`)
  } catch (error) {
    throw stackError(`The data folder ${dataDir} cannot be made: ${messageOf(error)}.`, {
      hint: 'Choose another one: npm start -- --data-dir <folder>.',
      cause: error,
    })
  }
  return 'new'
}

/** @throws OpsError `OPS_001` when the folder is there and not ours; nothing is deleted then */
export async function requireOurs(dataDir: string): Promise<void> {
  const found = await look(dataDir)
  if (Array.isArray(found)) throw foreign(dataDir, found)
}

/** Deletes all that is in the folder. Whoever calls holds its lock and has stopped what runs there. */
export async function emptyDataFolder(dataDir: string): Promise<void> {
  await requireOurs(dataDir)
  const names = await readdir(dataDir)
  const remove = (name: string) => rm(join(dataDir, name), { recursive: true, force: true })
  // The marker goes last: if we are killed half-way, the folder is still known as ours.
  await Promise.all(names.filter((name) => name !== MARKER).map(remove))
  await remove(MARKER)
}

/** What is there: nothing, a folder of ours, or a stranger's things. */
async function look(dataDir: string): Promise<'nothing' | 'ours' | string[]> {
  try {
    const names = await readdir(dataDir)
    if (names.length === 0) return 'nothing'
    return names.includes(MARKER) ? 'ours' : names
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return 'nothing'
    if (isSystemError(error, 'ENOTDIR')) return []
    throw error
  }
}

function foreign(dataDir: string, names: string[]) {
  const what =
    names.length === 0 ? 'it is not a folder' : `it holds ${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''}`
  return stackError(`${dataDir} is not a data folder of Ops Loop: ${what}. It was left as it is.`, {
    hint: 'Choose another one: npm start -- --data-dir <folder>.',
  })
}
