/** A full disk, a transaction that stays open, a replica that takes over, a pooler: what takes long, or programs of the system. */
import { chown, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import postgres from 'postgres'
import { expect, test } from 'vitest'
import { adminUrlFor } from '../support/database.js'
import { onFileEnd } from '../support/fileEnd.js'
import { loginRoles } from '../support/names.js'
import { loginUrl, ownCluster, prepare } from './support/cluster.js'
import { need, postgresFolder, runDebian, siteDatabase, startDebian } from './support/debian.js'
import { startPgbouncer } from './support/pgbouncer.js'
import { TcpProxy } from './support/proxy.js'
import { Site } from './support/site.js'
import { until } from './support/until.js'

test('a disk that is full: work waits until there is room, and nothing is lost', async () => {
  await need('/bin/mount', 'mount')
  const folder = await postgresFolder()
  const small = join(folder, 'small')
  await mkdir(small)
  await execa('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', small])
  onFileEnd(async () => {
    await execa('umount', ['--lazy', small])
  })
  const cluster = await ownCluster()
  const { stdout: owner } = await execa('stat', ['-c', '%u:%g', folder])
  const [uid = 0, gid = 0] = owner.split(':').map(Number)
  await chown(small, uid, gid)
  const admin = postgres(cluster.adminUrl, { max: 1, onnotice: () => undefined })
  await admin.unsafe(`create tablespace small location '${small}'`)
  await admin.unsafe('create database crowded tablespace small owner postgres')
  await admin.end()
  const url = (login: string) => login.replace(/\/postgres$/, '/crowded')
  const owned = cluster.adminUrl.replace(/\/\/[^@]*@/, '//postgres:x@')
  const { options } = cluster.sql
  const ownerUrl = url(owned.replace(':x@', `:${String(options.pass)}@`))
  const sql = await prepare(ownerUrl)
  const site = await Site.on({ sql, urlFor: (role) => loginUrl(ownerUrl, role) })
  const steps = await site.enqueue({ missions: 300, steps: 5, max_retries: 100 })
  await execa('dd', ['if=/dev/zero', `of=${join(small, 'ballast')}`, 'bs=64k'], { reject: false })
  site.beating()
  // It cannot even register.
  const worker = site.startWorker({ concurrency: 20 })
  await worker.says('53100')
  await rm(join(small, 'ballast'))
  onFileEnd(async () => {
    await sql.end({ timeout: 1 })
    await cluster.crash()
  })
  await site.drained(300_000)
  await site.expectOneSuccessEach(steps)
})

test('a transaction that stays open while 100,000 steps drain', async () => {
  const site = await Site.open()
  const steps = await site.enqueue({ missions: 2000, steps: 50, kind: 'noop' })
  const holder = await site.sql.reserve()
  await holder.unsafe('begin isolation level repeatable read')
  await holder`select count(*), pg_current_xact_id() from ops_mission_steps`
  site.beating(1000)
  const began = performance.now()
  await Promise.all([site.worker({ concurrency: 50 }), site.worker({ concurrency: 50 })])
  let done = 0
  for (let part = 1; part <= 4; part++) {
    const from = performance.now()
    const before = done
    await until(
      `${part} of 4 parts are done`,
      async () => {
        done = (await site.counts()).succeeded ?? 0
        return done >= (steps * part) / 4
      },
      { withinMs: 1_500_000 },
    )
    console.log(
      `part ${part} of 4: ${Math.round(((done - before) * 1000) / (performance.now() - from))} steps/s`,
    )
  }
  console.log(
    `100,000 steps in ${Math.round((performance.now() - began) / 1000)} s beside an open transaction`,
  )
  await holder`commit`
  holder.release()
  await site.expectOneSuccessEach(steps)
}, 1_800_000)

test('a replica that is promoted in the middle of work goes on where the first server fell, without a hold', async () => {
  const folder = await postgresFolder()
  const primary = await startDebian(join(folder, 'primary'), ['wal_level=replica', 'max_wal_senders=5'])
  const admin = postgres(primary.ownerUrl().replace('//postgres:', '//supabase_admin:'), {
    max: 1,
    onnotice: () => undefined,
  })
  onFileEnd(() => admin.end({ timeout: 1 }))
  const replicaData = join(folder, 'replica')
  await runDebian('pg_basebackup', [
    '--pgdata',
    replicaData,
    '--write-recovery-conf',
    '--checkpoint=fast',
    '--no-sync',
    '--dbname',
    `${primary.ownerUrl().replace('//postgres:', '//supabase_admin:')}?application_name=replica`,
  ]) // prettier-ignore
  const replica = await startDebian(replicaData)
  // Whoever is told "committed" may rely on the replica having it.
  await admin`alter system set synchronous_standby_names = '*'`
  await admin`select pg_reload_conf()`
  await until('the replica is synchronous', async () => {
    const rows = await admin`select from pg_stat_replication where sync_state = 'sync'`
    return rows.length === 1
  })
  await siteDatabase(primary)
  await until('the replica has the schema', async () => {
    const sql = postgres(replica.ownerUrl(), { max: 1, onnotice: () => undefined })
    try {
      return (await sql`select from ops_policy limit 1`).length === 1
    } finally {
      await sql.end({ timeout: 1 })
    }
  })
  const proxy = await TcpProxy.before(primary.ownerUrl())
  const ownerUrl = proxy.url(primary.ownerUrl())
  const sql = postgres(ownerUrl, { max: 5, onnotice: () => undefined })
  onFileEnd(() => sql.end({ timeout: 1 }))
  const site = await Site.on({ sql, urlFor: (role) => loginUrl(ownerUrl, role) })
  const steps = await site.enqueue({ missions: 200, steps: 5, params: { ms: 50 }, max_retries: 100 })
  site.beating()
  await Promise.all([site.worker(), site.worker()])
  await site.executed('that work is under way', (all) => all.length > 50)
  await primary.crash()
  await runDebian('pg_ctl', ['promote', '-D', replicaData])
  proxy.redirect(replica.port)
  proxy.cut()
  await site.drained(300_000)
  await site.expectOneSuccessEach(steps)
  expect(await sql`select held from ops_hold()`).toEqual([{ held: false }])
})

test('a dump taken in flight and restored elsewhere runs nothing by itself; released, it goes on', async () => {
  const folder = await postgresFolder()
  const server = await startDebian(join(folder, 'original'))
  const site = await Site.on(await siteDatabase(server))
  const steps = await site.enqueue({ missions: 50, steps: 2, params: { ms: 100 }, max_retries: 100 })
  site.beating()
  await site.worker({ concurrency: 4 })
  await site.executed('that work is under way', (all) => all.length > 10)
  const dump = join(folder, 'dump')
  await runDebian('pg_dump', ['--format=custom', '--file', dump, '--dbname', server.ownerUrl()])

  const elsewhere = await startDebian(join(folder, 'elsewhere'))
  const admin = postgres(elsewhere.ownerUrl().replace('//postgres:', '//supabase_admin:'), {
    max: 1,
    onnotice: () => undefined,
  })
  onFileEnd(() => admin.end({ timeout: 1 }))
  for (const role of [
    'ops_worker',
    'ops_operator',
    'ops_readonly',
    'ops_monitor',
    ...Object.values(loginRoles),
  ])
    await admin.unsafe(`create role ${role}`)
  for (const [role, login] of Object.entries(loginRoles)) {
    await admin.unsafe(`alter role ${login} login`)
    await admin.unsafe(`grant ${role} to ${login}`)
  }
  await runDebian('pg_restore', [
    '--dbname',
    elsewhere.ownerUrl().replace('//postgres:', '//supabase_admin:'),
    dump,
  ]).catch((error: { stderr?: string }) => {
    if (!/errors ignored/.test(error.stderr ?? '')) throw error
    console.log(error.stderr)
  })
  const sql = postgres(elsewhere.ownerUrl(), { max: 5, onnotice: () => undefined })
  onFileEnd(() => sql.end({ timeout: 1 }))
  const copy = await Site.on({ sql, urlFor: (role) => loginUrl(elsewhere.ownerUrl(), role) })
  const pulse = copy.beating()
  await copy.worker({ concurrency: 4 })
  await site.drained()
  await site.expectOneSuccessEach(steps)
  // Longer than its leases, and with a worker at hand.
  await until('beats have met the copy', () => (pulse.statuses.get(200) ?? 0) > 25)
  expect(copy.executions()).toEqual([])
  const [hold] = await sql`select held, steps_running from ops_hold()`
  expect(hold).toMatchObject({ held: true })
  expect(hold?.steps_running).toBeGreaterThan(0)

  await sql`select * from ops_release_hold('dana')`
  await copy.drained()
  expect(copy.executions().length).toBeGreaterThan(0)
  expect(await copy.counts()).toEqual({ succeeded: steps })
})

test.each([
  { mode: 'transaction', pool: 2, suffix: '?pgbouncer=true' },
  // Each worker has seven sessions: five for calls, one that listens, one that renews. They are all there is.
  { mode: 'session', pool: 21, suffix: '' },
] as const)(
  'behind pgbouncer in $mode mode with a pool of $pool, with workers killed',
  async ({ mode, pool, suffix }) => {
    const site = await Site.open()
    const DATABASE_URL = `${await startPgbouncer(site.database.urlFor('ops_worker'), { mode, pool })}${suffix}`
    const steps = await site.enqueue({ missions: 400, steps: 5, params: { ms: 10 }, max_retries: 100 })
    site.beating()
    const env = { DATABASE_URL }
    const workers = await Promise.all([1, 2, 3].map(() => site.worker({ env })))
    for (const worker of workers) expect(worker.output).toContain(`"listening":${mode === 'session'}`)
    for (let kills = 0; kills < 3; kills++) {
      await until('some more are done', async () => ((await site.counts()).succeeded ?? 0) > kills * 100)
      await workers[kills]?.end('SIGKILL')
      await site.worker({ env })
    }
    await site.drained(300_000)
    await site.expectOneSuccessEach(steps)
  },
)

test('a session pool that has no more room: the worker waits for it, and begins when there is some', async () => {
  const site = await Site.open()
  const url = await startPgbouncer(site.database.urlFor('ops_worker'), {
    mode: 'session',
    pool: 8,
    clients: 8,
  })
  const taken = postgres(url, { max: 8, onnotice: () => undefined })
  onFileEnd(() => taken.end({ timeout: 1 }))
  await Promise.all(Array.from({ length: 8 }, () => taken`select pg_sleep(0.5)`))
  const worker = site.startWorker({ env: { DATABASE_URL: url }, concurrency: 2 })
  await worker.says('cannot register')
  await taken.end({ timeout: 1 })
  await worker.says('ready for work')
  const steps = await site.enqueue({ missions: 20, params: { ms: 20 } })
  site.beating()
  await site.drained(120_000)
  await site.expectOneSuccessEach(steps)
})

test('behind a transaction pooler that DATABASE_URL does not announce, doctor says what to add', async () => {
  const site = await Site.open()
  const url = await startPgbouncer(site.database.urlFor('ops_operator'), { mode: 'transaction', pool: 5 })
  const doctor = site.run(['doctor', '--json'], { DATABASE_URL: url })
  expect(await doctor.ended).toBe(1)
  expect(doctor.output).toContain('add ?pgbouncer=true to DATABASE_URL')
})

test('sessions that an administrator terminates under load', async () => {
  const site = await Site.open()
  const admin = postgres(adminUrlFor(site.database), { max: 1, onnotice: () => undefined })
  onFileEnd(() => admin.end({ timeout: 1 }))
  const steps = await site.enqueue({
    missions: 1000,
    steps: 4,
    params: { ms: 20 },
  })
  site.beating()
  const worker = await site.worker()
  for (let n = 0; n < 40; n++) {
    await sleep(150)
    await admin`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = ${site.database.name} and application_name like 'ops-loop%'`
  }
  await site.drained(300_000)
  await site.expectOneSuccessEach(steps)
  expect(worker.isAlive).toBe(true)
})
