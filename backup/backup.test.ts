/** Backups of a loop at work: what comes back is what was there, and it holds still until somebody releases it. */
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { claim, complete, fail, lease, registerWorker, startMission } from '../supabase/tests/work.js'
import { brokenInvariants, openDatabase } from '../supabase/tests/world.js'
import { freshDatabase, type TestDatabase, urlFor } from '../test/support/database.js'
import { dump } from './dump.js'
import { writeManifest } from './manifest.js'
import { restore } from './restore.js'
import { listTables } from './tables.js'
import { verify } from './verify.js'

let db: TestDatabase
let worker: string

const folder = () => mkdtemp(join(inject('testDir'), 'backup-'))
const empty = () => freshDatabase({ empty: true })

/** A database with work of every kind: finished, dead, running, waiting, pending, and policies that were edited. */
beforeAll(async () => {
  db = await openDatabase()
  worker = await registerWorker(db.sql)
  await startMission(db.sql, [{ key: 'a' }, { key: 'b' }])
  await complete(
    db.sql,
    (await claim(db.sql, worker)).map((c) => ({
      ...lease(c),
      result: { text: 'tab\tand\nline \\ end, \u2028 and ünïcode' },
    })),
  )
  await complete(db.sql, (await claim(db.sql, worker)).map(lease))
  await startMission(db.sql, [{ key: 'dies' }, { key: 'never' }])
  await fail(
    db.sql,
    (await claim(db.sql, worker)).map((c) => ({ ...lease(c), error: 'broken', permanent: true })),
  )
  await startMission(db.sql, [{ key: 'runs' }, { key: 'waits' }])
  await claim(db.sql, worker)
  await db.sql`update ops_policy set value = '{"enabled": false}' where key = 'auto_approve'`
  await db.sql`select * from ops_create_proposal_and_maybe_autoapprove('held', 'api', '{"title": "t", "steps": [{"kind": "noop"}]}')`
})

/** All rows of all tables, as text and in order. */
async function everything({ sql }: TestDatabase): Promise<Record<string, string[]>> {
  const tables = await listTables(sql)
  const rows = tables.map(async ({ schema, name }) => {
    const found = await sql<{ row: string }[]>`
      select to_jsonb(t)::text as row from ${sql(schema)}.${sql(name)} t order by 1`
    return [`${schema}.${name}`, found.map(({ row }) => row)] as const
  })
  return Object.fromEntries(await Promise.all(rows))
}

describe('a backup', () => {
  test('comes back row by row, policies and history with it, and breaks no invariant', async () => {
    const [to, target] = [await folder(), await empty()]
    const manifest = await dump(db.url, to)
    await restore(to, target.url)
    expect(await everything(target)).toEqual(await everything(db))
    expect(await brokenInvariants(target.sql)).toEqual([])
    const rows = Object.values(await everything(db)).flat().length
    expect(manifest.tables.reduce((sum, table) => sum + table.rows, 0)).toBe(rows)
  })

  test('is of one moment, whatever happens while it is taken', async () => {
    const [to, target] = [await folder(), await empty()]
    const before = await everything(db)
    let changed: Promise<unknown> | undefined
    await dump(db.url, to, {
      onTable: () => {
        changed ??= startMission(db.sql, [{ key: 'later' }]).catch(() => undefined)
      },
    })
    await changed
    await restore(to, target.url)
    expect(await everything(target)).toEqual(before)
  })

  test('restored, hands out no step before somebody releases it, and then goes on', async () => {
    const [to, target] = [await folder(), await empty()]
    await dump(db.url, to)
    await restore(to, target.url)
    const copy = await registerWorker(target.sql)
    await target.sql`update ops_mission_steps set lease_expires_at = now() - interval '1 hour' where status = 'running'`
    await target.sql`select * from ops_recover_expired_leases()`
    expect(await claim(target.sql, copy)).toEqual([])
    expect(await target.sql`select held from ops_hold()`).toEqual([{ held: true }])
    await target.sql`select * from ops_release_hold('dana')`
    await target.sql`select * from ops_recover_expired_leases()`
    await target.sql`update ops_mission_steps set run_at = now(), ready = true where status = 'queued'`
    expect(await claim(target.sql, copy)).toMatchObject([{ key: 'runs' }])
  })

  test('in the restored database, triggers and foreign keys guard as before', async () => {
    const [to, target] = [await folder(), await empty()]
    await dump(db.url, to)
    await restore(to, target.url)
    const shape = (sql: TestDatabase['sql']) => sql`
      select conrelid::regclass::text as on, conname, pg_get_constraintdef(oid) as as from pg_constraint
      where connamespace in ('public'::regnamespace, 'ops'::regnamespace)
      union all
      select tgrelid::regclass::text, tgname, tgenabled::text from pg_trigger where not tgisinternal order by 1, 2`
    expect(await shape(target.sql)).toEqual(await shape(db.sql))
    await expect(
      target.sql`update ops_policy set value = '{"enabled": 1}' where key = 'auto_approve'`,
    ).rejects.toThrow()
    await target.sql`insert into ops_policy (key, value) values ('control', '{}') on conflict (key) do update set value = '{}'`
  })

  test('is verified in a Postgres of its own', async () => {
    const to = await folder()
    await dump(db.url, to)
    expect(await verify(to)).toMatchObject({ broken: [], in_flight: 1, rows: expect.any(Number) })
  })
})

describe('a backup of work since a date', () => {
  test('leaves out chains that ended before, and nothing that they need', async () => {
    const from = await openDatabase()
    const runner = await registerWorker(from.sql)
    const old = await startMission(from.sql, [{ key: 'old' }])
    await complete(from.sql, (await claim(from.sql, runner)).map(lease))
    await from.sql`select * from ops_settle_events(1, (select jsonb_build_object('event_id', jsonb_agg(event_id)) from ops_pending_events(100)))`
    const open = await startMission(from.sql, [{ key: 'open' }])
    const [moment] = await from.sql<{ now: string }[]>`select to_json(clock_timestamp()) #>> '{}' as now`
    await from.sql`update ops_mission_steps set updated_at = updated_at - interval '10 days'`
    const recent = await startMission(from.sql, [{ key: 'recent' }])
    if (!moment) throw new Error('no answer')

    const [to, target] = [await folder(), await empty()]
    await dump(from.url, to, { since: moment.now })
    await restore(to, target.url)
    const missions = await target.sql<{ id: string }[]>`select id from ops_missions`
    expect(missions.map(({ id }) => id).sort()).toEqual([open.id, recent.id].sort())
    expect(missions.map(({ id }) => id)).not.toContain(old.id)
    expect(await target.sql`select key, value, version from ops_policy order by key`).toEqual(
      await from.sql`select key, value, version from ops_policy order by key`,
    )
    const broken = await brokenInvariants(target.sql)
    expect(broken).toEqual([])
  })

  test('keeps the radar whole, and leaves out when chains that it leaves out were opened again', async () => {
    const from = await openDatabase()
    const runner = await registerWorker(from.sql)
    await startMission(from.sql, [{ key: 'old' }])
    const [died] = await claim(from.sql, runner)
    if (!died) throw new Error('nothing to claim')
    await fail(from.sql, [{ ...lease(died), error: 'broken', permanent: true }])
    await from.sql`select * from ops_radar_add('{"title": "CSV export"}', ${died.step_id})`
    await from.sql`select * from ops_retry_step(${died.step_id}, 'dana')`
    await complete(from.sql, (await claim(from.sql, runner)).map(lease))
    await from.sql`select * from ops_settle_events(1, (select jsonb_build_object('event_id', jsonb_agg(event_id)) from ops_pending_events(100)))`

    const [to, target] = [await folder(), await empty()]
    await dump(from.url, to, { since: new Date(Date.now() + 60_000).toISOString() })
    await restore(to, target.url)
    expect(await target.sql`select id from ops_missions`).toEqual([])
    expect(await target.sql`select title, step_id from ops_demand_radar`).toEqual([
      { title: 'CSV export', step_id: null },
    ])
    expect(await brokenInvariants(target.sql)).toEqual([])
  })
})

describe('is refused, and changes nothing:', () => {
  const refusal = async (work: Promise<unknown>) =>
    work.then(
      () => undefined,
      (error: Error) => error,
    )

  test('a folder that is not empty', async () => {
    const to = await folder()
    await writeFile(join(to, 'notes.txt'), 'mine')
    expect(await refusal(dump(db.url, to))).toMatchObject({
      code: 'OPS_011',
      message: expect.stringContaining('not empty'),
    })
    expect(await readdir(to)).toEqual(['notes.txt'])
  })

  test('a login that may not read everything: no folder is left', async () => {
    const to = await folder()
    const url = urlFor(db, 'ops_operator')
    expect(await refusal(dump(url, join(to, 'new', 'copy')))).toMatchObject({ code: '42501' })
    expect(await refusal(dump(url, to))).toMatchObject({ code: '42501' })
    expect(await readdir(to)).toEqual([])
  })

  test('what fails half-way: what was written is taken back', async () => {
    const to = await folder()
    const onTable = () => {
      throw new Error('no room')
    }
    expect(await refusal(dump(db.url, join(to, 'copy'), { onTable }))).toMatchObject({ message: 'no room' })
    expect(await refusal(dump(db.url, to, { onTable }))).toMatchObject({ message: 'no room' })
    expect(await readdir(to)).toEqual([])
  })

  test('broken off between any two tables, while the next file is opened: nothing is left', async () => {
    const parent = await folder()
    const { length } = await listTables(db.sql)
    for (let last = 1; last < length; last++) {
      const interruption = new AbortController()
      let done = 0
      const onTable = () => {
        if (++done === last) interruption.abort()
      }
      const to = join(parent, 'new', String(last))
      await expect(dump(db.url, to, { onTable, signal: interruption.signal })).rejects.toThrow()
    }
    expect(await readdir(parent, { recursive: true })).toEqual([])
  })

  test('a file in the place of the folder', async () => {
    const file = join(await folder(), 'file')
    await writeFile(file, 'mine')
    expect(await refusal(dump(db.url, file))).toMatchObject({
      code: 'OPS_011',
      message: expect.stringContaining(`${file} cannot be made`),
    })
    expect(await readFile(file, 'utf8')).toBe('mine')
  })

  test('a folder without a manifest, as a backup that broke off leaves it', async () => {
    const to = await folder()
    await dump(db.url, to)
    await rm(join(to, 'manifest.json'))
    expect(await refusal(restore(to, db.url))).toMatchObject({
      code: 'OPS_011',
      message: expect.stringContaining('holds no backup'),
    })
  })

  test('a file that was altered, or is missing', async () => {
    const [to, target] = [await folder(), await empty()]
    const { tables } = await dump(db.url, to)
    const file = join(to, tables.find(({ rows }) => rows > 0)?.file ?? '')
    await appendFile(file, 'x')
    expect(await refusal(restore(to, target.url))).toMatchObject({
      message: expect.stringContaining('checksum differs'),
    })
    await rm(file)
    expect(await refusal(restore(to, target.url))).toMatchObject({
      message: expect.stringContaining('cannot be read'),
    })
  })

  test.each([
    ['cut off', (text: string) => text.slice(0, 100), /manifest\.json is damaged: it is no JSON/, undefined],
    [
      'of a newer program',
      (text: string) => text.replace('"format": 1', '"format": 2'),
      /has format 2, this program knows 1/,
      'Update ops-loop.',
    ],
    [
      'altered',
      (text: string) => text.replace('"rows"', '"lines"'),
      /manifest\.json is damaged: tables\.0\.rows /,
      undefined,
    ],
  ])('a manifest that is %s', async (_, alter, message, hint) => {
    const to = await folder()
    await dump(db.url, to)
    const file = join(to, 'manifest.json')
    await writeFile(file, alter(await readFile(file, 'utf8')))
    expect(await refusal(restore(to, db.url))).toMatchObject({
      code: 'OPS_011',
      message: expect.stringMatching(message),
      ...(hint && { hint }),
    })
  })

  test('a target that works already', async () => {
    const to = await folder()
    await dump(db.url, to)
    const before = await everything(db)
    expect(await refusal(restore(to, db.url))).toMatchObject({
      code: 'OPS_014',
      hint: expect.stringContaining('empty'),
    })
    expect(await everything(db)).toEqual(before)
  })

  test('a target with work and an older schema: it is not brought up to date either', async () => {
    const [to, target] = [await folder(), await openDatabase()]
    await dump(db.url, to)
    await target.sql`select * from ops_emit_events('[{"type": "app:began"}]')`
    await target.sql`delete from supabase_migrations.schema_migrations where version = '0002'`
    expect(await refusal(restore(to, target.url))).toMatchObject({ code: 'OPS_014' })
    expect(
      await target.sql`select from supabase_migrations.schema_migrations where version = '0002'`,
    ).toEqual([])
  })

  test('a backup that is newer than this program: an empty target stays empty', async () => {
    const [to, target] = [await folder(), await empty()]
    const manifest = await dump(db.url, to)
    await writeManifest(to, { ...manifest, schema_version: 9000 })
    expect(await refusal(restore(to, target.url))).toMatchObject({
      code: 'OPS_011',
      message: `The backup has schema 9000, this program knows up to ${manifest.schema_version}.`,
    })
    expect(await target.sql`select from pg_namespace where nspname = 'ops'`).toEqual([])
  })

  test('a target that lacks a column which the backup has; with it, the values come along', async () => {
    const from = await openDatabase()
    await from.sql`alter table ops_mission_steps add column metadata jsonb default '{"mine": true}'`
    await startMission(from.sql, [{ key: 'a' }])
    const [to, target] = [await folder(), await empty()]
    await dump(from.url, to)
    expect(await refusal(restore(to, target.url))).toMatchObject({
      code: 'OPS_014',
      message: "The target's public.ops_mission_steps lacks metadata, which the backup has.",
    })
    expect(await target.sql`select from ops_mission_proposals`).toHaveLength(0)
    await target.sql`alter table ops_mission_steps add column metadata jsonb`
    await restore(to, target.url)
    expect(await target.sql`select metadata from ops_mission_steps`).toEqual([{ metadata: { mine: true } }])
  })
})
