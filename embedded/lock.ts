import { randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { isSystemError, messageOf, stackError } from './errors.js'
import { dataPaths } from './paths.js'
import { processStart } from './processes.js'

export interface DataLock {
  release(): Promise<void>
}

/**
 * Takes a data folder for this process. Whoever holds the lock may stop what an earlier holder left running there.
 * A lock counts only while the process that wrote it lives: process id and start time, so a reused id is no holder.
 *
 * @throws OpsError OPS_001 if a living process (also this one) holds the folder.
 */
export async function lockDataDir(dataDir: string): Promise<DataLock> {
  const { lock } = dataPaths(dataDir)
  const self = `${process.pid} ${await processStart(process.pid)}\n`
  const draft = `${lock}.${randomUUID()}`
  await writeFile(draft, self).catch((error: unknown) => {
    throw stackError(`The data folder ${dataDir} cannot be written to: ${messageOf(error)}.`, {
      hint: 'Run as the user who made it, or with another --data-dir.',
      cause: error,
    })
  })
  try {
    // A hard link appears at once with its whole content: nobody ever reads half a lock.
    while (!(await tryLink(draft, lock))) await removeDeadLock(dataDir, lock)
  } finally {
    await rm(draft, { force: true })
  }
  return {
    async release() {
      if ((await contentOf(lock)) === self) await rm(lock, { force: true })
    },
  }
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return false
    throw error
  }
}

async function removeDeadLock(dataDir: string, lock: string): Promise<void> {
  const holder = await contentOf(lock)
  if (holder === undefined) return
  const pid = Number(holder.split(' ')[0])
  if (`${pid} ${await processStart(pid)}\n` === holder) {
    throw stackError(`${dataDir} is in use by process ${pid}.`, {
      hint: 'Stop that process first, or work in another folder with --data-dir.',
    })
  }
  // Two starts may find the same dead lock: what the slower one takes away may be the faster one's own lock.
  const aside = `${lock}.${randomUUID()}`
  if (!(await tryRename(lock, aside))) return
  if ((await contentOf(aside)) === holder) await rm(aside, { force: true })
  else await rename(aside, lock)
}

async function tryRename(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false
    throw error
  }
}

function contentOf(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch((error: unknown) => {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  })
}
