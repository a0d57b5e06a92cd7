/**
 * Postgres refuses to run as root. Where we are root (containers, CI, a bare VPS), it runs as the system user `postgres`.
 */
import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { messageOf, stackError } from './errors.js'

const execFileAsync = promisify(execFile)

export interface SystemUser {
  uid: number
  gid: number
}

/** How to run a program: the words to put before its command line, or the user to switch to. */
export interface RunAs {
  prefix: string[]
  user: SystemUser | undefined
}

/**
 * The user that Postgres must run as, or undefined where it runs as we do. A cluster belongs to whoever made it, so
 * `sudo npm start` in a user's folder leaves that user's files theirs. A new cluster gets the system user `postgres`, who is
 * created if the system has none.
 *
 * @throws OpsError OPS_001 if there is no such user and none can be created, or the cluster belongs to somebody else
 */
export async function userFor(cluster: string): Promise<SystemUser | undefined> {
  const self = process.getuid?.()
  const existing = await stat(cluster).catch(() => undefined)
  if (self !== 0) {
    if (existing === undefined || existing.uid === self) return undefined
    throw stackError(`The data folder ${cluster} belongs to another user of this machine.`, {
      hint: 'Run as that user (as root if it is named postgres), or choose another folder: npm start -- --data-dir <folder>.',
    })
  }
  if (existing !== undefined && existing.uid !== 0) return { uid: existing.uid, gid: existing.gid }
  const user = await postgresUser()
  // Root's own cluster is a copy, e.g. out of a backup.
  if (existing) await execFileAsync('chown', ['-R', `${user.uid}:${user.gid}`, cluster])
  return user
}

async function postgresUser(): Promise<SystemUser> {
  const existing = await lookUpUser()
  if (existing) return existing
  let cause: unknown
  try {
    await execFileAsync('groupadd', ['--system', '--force', 'postgres'])
    await execFileAsync('useradd', ['--system', '--gid', 'postgres', '--no-create-home', 'postgres'])
  } catch (error) {
    cause = error
  }
  // Also after a failure: another start may have created it a moment ago.
  const created = await lookUpUser()
  if (created) return created
  const reason = cause === undefined ? '' : `: ${messageOf(cause)}`
  throw stackError(`Postgres cannot run as root, and the user postgres could not be created${reason}.`, {
    hint: 'Create a system user named postgres, or run as an ordinary user.',
    cause,
  })
}

/**
 * How that user can run programs that need these paths. A folder under `/root` or a `mktemp -d` is closed to it; then the
 * program keeps one privilege of root, passing closed doors, which `setpriv` can hand down and Node cannot.
 *
 * @throws OpsError OPS_001 if a path is closed and there is no `setpriv`.
 */
export async function runAs(user: SystemUser | undefined, paths: string[]): Promise<RunAs> {
  if (!user) return { prefix: [], user }
  const closed = await firstClosedFolder(paths, user)
  if (closed === undefined) return { prefix: [], user }
  const prefix = [
    'setpriv',
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    '--clear-groups',
    '--inh-caps=+dac_override',
    '--ambient-caps=+dac_override',
    '--securebits=+no_setuid_fixup',
  ]
  try {
    await execFileAsync('setpriv', [...prefix.slice(1), 'true'])
  } catch (error) {
    throw stackError(`The user postgres, which Postgres must run as here, may not enter ${closed}.`, {
      hint: `Run chmod o+x ${closed}, move the project to a folder open to all, or run as an ordinary user.`,
      cause: error,
    })
  }
  return { prefix, user: undefined }
}

async function lookUpUser(): Promise<SystemUser | undefined> {
  try {
    const [uid, gid] = await Promise.all([
      execFileAsync('id', ['-u', 'postgres']),
      execFileAsync('id', ['-g', 'postgres']),
    ])
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  } catch {
    return undefined
  }
}

async function firstClosedFolder(paths: string[], user: SystemUser): Promise<string | undefined> {
  for (const path of paths) {
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      const { uid, gid, mode } = await stat(folder)
      const shift = uid === user.uid ? 6 : gid === user.gid ? 3 : 0
      if (((mode >> shift) & 1) === 0) return folder
      if (folder === dirname(folder)) break
    }
  }
  return undefined
}
