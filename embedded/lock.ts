import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSystemError, messageOf, stackError } from './errors.js'
import { dataPaths } from './paths.js'
import { pause, processStart } from './processes.js'

export interface DataLock {
  release(): Promise<void>
}

/** Of two that come at the same moment, one waits this long for the other to step back. */
const patienceMs = 2000

/**
 * Takes a data folder for this process. Whoever holds the lock may stop what an earlier holder left running there.
 *
 * Each contender puts a file that is named after its process (id and start time) into one folder, and then looks who else is
 * there. A dead process's file is nobody else's, so removing it cannot hit a living one; and since everyone writes before
 * looking, no two can both find themselves alone.
 *
 * @throws OpsError OPS_001 if a living process (also this one) holds the folder, or it cannot be written to
 */
export async function lockDataDir(dataDir: string): Promise<DataLock> {
  const { lock } = dataPaths(dataDir)
  const self = await nameOf(process.pid)
  const file = join(lock, self)
  try {
    await mkdir(lock, { recursive: true })
    await writeFile(file, '', { flag: 'wx' })
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) throw inUse(dataDir, self)
    throw stackError(`The data folder ${dataDir} cannot be written to: ${messageOf(error)}.`, {
      hint: 'Run as the user who made it, or choose another one: npm start -- --data-dir <folder>.',
      cause: error,
    })
  }
  const release = () => rm(file, { force: true })
  for (const deadline = Date.now() + patienceMs; ; await pause(20)) {
    const [other] = await livingContenders(lock, self)
    if (other === undefined) return { release }
    if (other < self || Date.now() > deadline) {
      await release()
      throw inUse(dataDir, other)
    }
  }
}

async function livingContenders(lock: string, self: string): Promise<string[]> {
  const living: string[] = []
  for (const name of (await readdir(lock)).sort()) {
    if (name === self) continue
    if (name === (await nameOf(Number.parseInt(name, 10)))) living.push(name)
    else await rm(join(lock, name), { force: true })
  }
  return living
}

/** A process's name for good: its id alone may be another's tomorrow. */
async function nameOf(pid: number): Promise<string> {
  const start = (await processStart(pid)) ?? 'dead'
  return `${pid}-${start.replaceAll(/[^0-9A-Za-z]/g, '')}`
}

function inUse(dataDir: string, holder: string) {
  return stackError(`${dataDir} is in use by process ${Number.parseInt(holder, 10)}.`, {
    hint: 'Stop that process first, or choose another folder: npm start -- --data-dir <folder>.',
  })
}
