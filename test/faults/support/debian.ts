/** Debian's own Postgres 15, which has the programs for replication and dumps that npm's packages lack, and its pgbouncer. */
import { spawn } from 'node:child_process'
import { access, chown, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import postgres from 'postgres'
import { inject } from 'vitest'
import { freePort } from '../../../embedded/ports.js'
import { ensureSupabaseRoles, superuser } from '../../../embedded/roles.js'
import { type SystemUser, userFor } from '../../../embedded/systemUser.js'
import { onFileEnd } from '../../support/fileEnd.js'
import { loginUrl, prepare } from './cluster.js'
import type { SiteDatabase } from './site.js'
import { until } from './until.js'

const BIN = '/usr/lib/postgresql/15/bin'

/** @throws Error that says what to install, or that only root may do this */
export async function need(file: string, debianPackage: string): Promise<string> {
  await access(file).catch(() => {
    throw new Error(`${file} is missing. Install it: apt-get install ${debianPackage}`)
  })
  if (process.getuid?.() !== 0)
    throw new Error('This case needs root: run npm run test:faults as root, in a container say.')
  return file
}

async function postgresUser(): Promise<SystemUser> {
  const user = await userFor(inject('testDir'))
  if (user === undefined) throw new Error('there is no user postgres')
  return user
}

/** Runs one of the programs of Postgres as its own user. */
export async function runDebian(program: string, args: string[]): Promise<string> {
  const file = await need(join(BIN, program), 'postgresql-15')
  const { uid, gid } = await postgresUser()
  const { stdout } = await execa(file, args, { uid, gid, cwd: '/', env: { LC_ALL: 'C' } })
  return stdout
}

/** A folder that the user postgres may write to. */
export async function postgresFolder(): Promise<string> {
  const folder = await mkdtemp(join(inject('testDir'), 'debian-'))
  const { uid, gid } = await postgresUser()
  await chown(folder, uid, gid)
  return folder
}

/** Starts a program as the user postgres; it is killed when the file ends. */
export async function serve(
  file: string,
  args: string[],
): Promise<{ kill(signal: NodeJS.Signals): Promise<void> }> {
  const child = spawn(file, args, {
    ...(await postgresUser()),
    cwd: '/',
    stdio: 'ignore',
    env: { LC_ALL: 'C' },
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const kill = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await ended
  }
  onFileEnd(() => kill('SIGKILL'))
  return { kill }
}

export interface DebianServer {
  readonly port: number
  readonly data: string
  ownerUrl(database?: string): string
  /** Drops everything at once, as a crash does. */
  crash(): Promise<void>
}

/** A server on a data folder, which is made if there is none. */
export async function startDebian(data: string, settings: string[] = []): Promise<DebianServer> {
  const made = await access(join(data, 'PG_VERSION')).then(
    () => true,
    () => false,
  )
  if (!made)
    await runDebian('initdb', [
      '-D',
      data,
      '-U',
      superuser,
      '--auth=trust',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
    ])
  const port = await freePort()
  const fixed = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=off']
  const args = [...fixed, ...settings].flatMap((setting) => ['-c', setting])
  const server = await serve(join(BIN, 'postgres'), ['-D', data, ...args])
  const url = (user: string, database = 'postgres') => `postgres://${user}:x@127.0.0.1:${port}/${database}`
  await until('the server takes connections', async () => {
    const sql = postgres(url(superuser), { max: 1, onnotice: () => undefined })
    try {
      return (await sql`select true as ok`).length === 1
    } finally {
      await sql.end({ timeout: 1 })
    }
  })
  if (!made) await ensureSupabaseRoles(url(superuser), 'x')
  return {
    port,
    data,
    ownerUrl: (database) => url('postgres', database),
    crash: () => server.kill('SIGQUIT'),
  }
}

/** A migrated database on it. */
export async function siteDatabase(server: DebianServer): Promise<SiteDatabase> {
  const sql = await prepare(server.ownerUrl())
  return { sql, urlFor: (role) => loginUrl(server.ownerUrl(), role) }
}

/** A file that the user postgres may read. */
export async function writeForPostgres(file: string, text: string): Promise<void> {
  await writeFile(file, text)
  const { uid, gid } = await postgresUser()
  await chown(file, uid, gid)
}
