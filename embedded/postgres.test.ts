import { cp, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import postgres from 'postgres'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { freshDatabase } from '../test/support/database.js'
import { freshDataDir } from '../test/support/dataDir.js'
import { lockDataDir } from './lock.js'
import { dataPaths } from './paths.js'
import { type EmbeddedPostgres, type PostgresOptions, startPostgres } from './postgres.js'

let pristine: string

beforeAll(async () => {
  pristine = await freshDataDir()
  const server = await startPostgres({ dataDir: pristine, fast: true })
  await server.stop()
})

/** A data folder with a cluster in it, made faster than by initdb. */
async function existingDataDir(): Promise<string> {
  const dataDir = await freshDataDir()
  await cp(pristine, dataDir, { recursive: true })
  return dataDir
}

async function started(options: PostgresOptions, use: (server: EmbeddedPostgres) => Promise<void>) {
  const server = await startPostgres({ fast: true, ...options })
  try {
    await use(server)
  } finally {
    await server.stop()
  }
}

async function query<Row>(url: string, text: string): Promise<Row[]> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  try {
    return await sql.unsafe<Row[]>(text)
  } finally {
    await sql.end()
  }
}

async function postmasterOf(adminUrl: string): Promise<number> {
  const [row] = await query<{ pid: number }>(
    adminUrl,
    "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::integer as pid",
  )
  return row?.pid ?? 0
}

describe('an embedded Postgres', () => {
  test('creates its data folder, keeps data over a restart, and flushes it to disk', async () => {
    const dataDir = join(await freshDataDir(), 'deep', 'down')
    await started({ dataDir, fast: false }, async (server) => {
      await query(server.url(), 'create table kept (n integer); insert into kept values (42)')
    })
    await started({ dataDir, fast: false }, async (server) => {
      expect(await query(server.url(), 'select n from kept')).toEqual([{ n: 42 }])
      expect(await query(server.url(), 'show fsync')).toEqual([{ fsync: 'on' }])
    })
  })

  test('says that its port is taken, by number', async () => {
    const blocker = createServer()
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
    const address = blocker.address()
    const port = typeof address === 'object' && address ? address.port : 0
    try {
      await expect(startPostgres({ dataDir: await freshDataDir(), port })).rejects.toMatchObject({
        code: 'OPS_001',
        message: expect.stringContaining(`Port ${port} of 127.0.0.1 is taken`),
        hint: expect.stringContaining('--postgres-port'),
      })
    } finally {
      blocker.close()
    }
  })

  test('refuses a data folder that a living process uses, and names the process', async () => {
    const dataDir = await freshDataDir()
    const lock = await lockDataDir(dataDir)
    await expect(startPostgres({ dataDir })).rejects.toMatchObject({
      code: 'OPS_001',
      message: `${dataDir} is in use by process ${process.pid}.`,
    })
    await lock.release()
  })

  test('refuses a folder of another major version', async () => {
    const dataDir = await freshDataDir()
    await mkdir(dataPaths(dataDir).cluster)
    await writeFile(join(dataPaths(dataDir).cluster, 'PG_VERSION'), '14\n')
    await expect(startPostgres({ dataDir })).rejects.toMatchObject({
      message: expect.stringContaining('was made by Postgres 14; this is Postgres 17'),
    })
  })

  test('says that a folder is damaged, and how to begin anew', async () => {
    const dataDir = await freshDataDir()
    await mkdir(join(dataPaths(dataDir).cluster, 'base'), { recursive: true })
    await expect(startPostgres({ dataDir })).rejects.toMatchObject({
      message: expect.stringContaining('is damaged'),
      hint: expect.stringContaining('npm start -- --reset'),
    })
  })

  test("shows the server's last words if it ends as soon as it starts", async () => {
    const dataDir = await existingDataDir()
    await rm(join(dataPaths(dataDir).cluster, 'global', 'pg_control'))
    await expect(startPostgres({ dataDir })).rejects.toMatchObject({
      message: expect.stringMatching(/ended as soon as it was started[\s\S]*pg_control/),
      hint: expect.stringContaining('npm start -- --reset'),
    })
  })

  test('says that the password file is not the one of this cluster', async () => {
    const dataDir = await existingDataDir()
    await writeFile(dataPaths(dataDir).password, 'another')
    await expect(startPostgres({ dataDir })).rejects.toMatchObject({
      message: expect.stringContaining('refuses its own login'),
    })
  })

  test('starts over a creation that was cut short', async () => {
    const dataDir = await freshDataDir()
    const { draft } = dataPaths(dataDir)
    await mkdir(join(draft, 'data', 'base'), { recursive: true })
    await writeFile(join(draft, 'data', 'base', 'half'), 'half')
    await started({ dataDir }, async (server) => {
      expect(await query(server.url(), 'select 1 as one')).toEqual([{ one: 1 }])
    })
  })

  test('starts over a lock file whose process id now belongs to a stranger', async () => {
    const dataDir = await existingDataDir()
    const { cluster } = dataPaths(dataDir)
    await writeFile(join(cluster, 'postmaster.pid'), `${process.pid}\n${cluster}\n0\n0\n`)
    await started({ dataDir }, async (server) => {
      expect(await query(server.url(), 'select 1 as one')).toEqual([{ one: 1 }])
    })
  })

  test('leaves a lock file alone that names a living Postgres', async () => {
    const dataDir = await existingDataDir()
    const { cluster } = dataPaths(dataDir)
    const other = await postmasterOf(inject('postgresAdminUrl'))
    await writeFile(join(cluster, 'postmaster.pid'), `${other}\n${cluster}\n0\n0\n`)
    await expect(startPostgres({ dataDir })).rejects.toMatchObject({
      message: expect.stringContaining(`Another Postgres (process ${other}) seems to run`),
    })
    expect(await query(inject('postgresUrl'), 'select 1 as one')).toEqual([{ one: 1 }])
    await rm(join(cluster, 'postmaster.pid'))
  })

  test('tells when the server has ended unasked, and recovers at the next start', async () => {
    const dataDir = await existingDataDir()
    const server = await startPostgres({ dataDir, fast: true })
    await query(server.url(), 'create table kept (n integer); insert into kept values (42)')
    process.kill(server.pid, 'SIGKILL')
    expect(await server.ended).toMatchObject({ signal: 'SIGKILL' })
    await server.stop()
    await started({ dataDir }, async (again) => {
      expect(await query(again.url(), 'select n from kept')).toEqual([{ n: 42 }])
    })
  })

  test.runIf(process.getuid?.() === 0)('runs for root in a folder that is closed to others', async () => {
    // mkdtemp makes folders that only their owner may enter.
    const dataDir = join(await freshDataDir(), 'inside')
    await started({ dataDir }, async (server) => {
      expect(await query(server.url(), 'select 1 as one')).toEqual([{ one: 1 }])
    })
  })
})

describe('the server of this test run', () => {
  const url = inject('postgresUrl')

  test('listens on 127.0.0.1 alone and lets nobody in without the password', async () => {
    const [settings] = await query(
      url,
      "select current_setting('listen_addresses') as tcp, current_setting('unix_socket_directories') as sockets",
    )
    expect(settings).toEqual({ tcp: '127.0.0.1', sockets: '' })
    const stranger = new URL(url)
    stranger.password = 'guess'
    await expect(query(stranger.href, 'select 1')).rejects.toMatchObject({ code: '28P01' })
  })

  test('keeps its password to itself', async () => {
    const { password } = new URL(url)
    const { password: file, postgresLog } = dataPaths(inject('testDir'))
    expect(password.length).toBeGreaterThanOrEqual(32)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readFile(postgresLog, 'utf8')).not.toContain(password)
  })

  test('is out of reach of Ctrl-C: it leads a process group of its own', async () => {
    const pid = await postmasterOf(inject('postgresAdminUrl'))
    expect(() => process.kill(-pid, 0)).not.toThrow()
  })

  test('has the roles of a Supabase project, where postgres is no superuser', async () => {
    const roles = await query(
      url,
      `select rolname, rolsuper, rolbypassrls, rolcanlogin, rolinherit from pg_roles
       where rolname !~ '^(pg|ops|test)_' order by rolname`,
    )
    const attributes = { rolsuper: false, rolbypassrls: false, rolcanlogin: false, rolinherit: false }
    expect(roles).toEqual([
      { ...attributes, rolname: 'anon' },
      { ...attributes, rolname: 'authenticated' },
      { ...attributes, rolname: 'authenticator', rolcanlogin: true },
      { ...attributes, rolname: 'postgres', rolbypassrls: true, rolcanlogin: true, rolinherit: true },
      { ...attributes, rolname: 'service_role', rolbypassrls: true },
      { rolname: 'supabase_admin', rolsuper: true, rolbypassrls: true, rolcanlogin: true, rolinherit: true },
    ])
  })

  test("grants new tables to Supabase's roles, which is why migrations must take them back", async () => {
    const { sql } = await freshDatabase({ empty: true })
    await sql`create table mine (n integer)`
    const [grants] = await sql`
      select has_table_privilege('anon', 'mine', 'select') as anon, has_table_privilege('service_role', 'mine', 'delete') as service`
    expect(grants).toEqual({ anon: true, service: true })
  })
})
