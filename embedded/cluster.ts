import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chown, mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { PostgresBinaries, PostgresVersion } from './binaries.js'
import { isSystemError, messageOf, stackError } from './errors.js'
import { dataPaths } from './paths.js'
import { childEnvironment } from './processes.js'
import { superuser } from './roles.js'
import type { RunAs, SystemUser } from './systemUser.js'
import { writeWholeFile } from './wholeFile.js'

const execFileAsync = promisify(execFile)

/** Advice that ends every complaint about a data folder. */
export const resetHint = 'Keep a copy of the folder if it matters, then begin anew with npm start -- --reset.'

/**
 * The version of the cluster in a folder, or undefined if there is none yet.
 *
 * @throws OpsError OPS_001 if there is something, but not a cluster.
 */
export async function clusterVersion(cluster: string): Promise<number | undefined> {
  let files: string[]
  try {
    files = await readdir(cluster)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
  if (files.length === 0) return undefined
  const text = await readFile(join(cluster, 'PG_VERSION'), 'utf8').catch(() => '')
  if (/^\d+\s*$/.test(text)) return Number(text)
  throw stackError(`The data folder ${cluster} is damaged: it holds files, but no PG_VERSION.`, {
    hint: resetHint,
  })
}

/** @throws OpsError OPS_001 if the cluster is of another major version. */
export function checkVersion(cluster: string, found: number, wanted: PostgresVersion): void {
  if (found === wanted) return
  throw stackError(`The data folder ${cluster} was made by Postgres ${found}; this is Postgres ${wanted}.`, {
    hint: `Dump it with Postgres ${found} and load it into ${wanted}. ${resetHint}`,
  })
}

/** The password of the login roles in this data folder; a random one is made on first use. */
export async function clusterPassword(dataDir: string): Promise<string> {
  const file = dataPaths(dataDir).password
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
  }
  const password = randomBytes(24).toString('base64url')
  await writeWholeFile(file, `${password}\n`, 0o600)
  return password
}

export interface NewCluster {
  binaries: PostgresBinaries
  version: PostgresVersion
  password: string
  user: SystemUser | undefined
  runAs: RunAs
  /** Where to make it, on the same disk. */
  draft: string
  /** Leaves out flushing to disk. */
  fast: boolean
}

/** Creates a cluster. It appears under its name only when it is complete, so a kill in between costs nothing. */
export async function createCluster(cluster: string, options: NewCluster): Promise<void> {
  const { binaries, version, password, user, runAs, draft, fast } = options
  const passwordFile = join(draft, 'password')
  const data = join(draft, 'data')
  await mkdir(draft, { mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600 })
  if (user) await Promise.all([draft, passwordFile].map((path) => chown(path, user.uid, user.gid)))
  const [command = binaries.initdb, ...args] = [
    ...runAs.prefix,
    binaries.initdb,
    `--pgdata=${data}`,
    `--username=${superuser}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    ...localeOptions(version),
    ...(fast ? ['--no-sync'] : []),
  ]
  try {
    await execFileAsync(command, args, { cwd: '/', env: childEnvironment, ...runAs.user })
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw stackError(`Postgres could not create its data folder ${cluster}: ${messageOf(error)}`, {
      hint: 'Check that the disk has room and that the folder may be written to.',
      cause: error,
    })
  }
  // An empty folder of that name may be there already.
  await rmdir(cluster).catch((error: unknown) => {
    if (!isSystemError(error, 'ENOENT')) throw error
  })
  await rename(data, cluster)
  await rm(draft, { recursive: true, force: true })
}

/** Sorting and letter case must not depend on the machine. Supabase's projects use ICU or C.UTF-8; ours meet both. */
function localeOptions(version: PostgresVersion): string[] {
  return version === 15
    ? ['--locale=C', '--locale-provider=icu', '--icu-locale=en-US']
    : ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
}
