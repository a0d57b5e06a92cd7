import { mkdtemp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { freshDatabase, type TestDatabase } from '../test/support/database.js'
import { answer, run } from './testing.js'

const before = process.env.DATABASE_URL
let db: TestDatabase
let folder: string
beforeAll(async () => {
  db = await freshDatabase()
  process.env.DATABASE_URL = db.url
  folder = join(await mkdtemp(join(inject('testDir'), 'cli-backup-')), 'copy')
})
afterAll(() => {
  if (before === undefined) delete process.env.DATABASE_URL
  else process.env.DATABASE_URL = before
})

describe('backup and restore', () => {
  test('make a checked copy, report it, and bring it into another database', async () => {
    await db.sql`select * from ops_emit_events('[{"type": "app:began"}]')`
    expect(await answer('backup', '--out', folder, '--verify')).toMatchObject({
      folder,
      verified: true,
      since: null,
    })
    expect(await readdir(folder)).toContain('manifest.json')
    expect(
      await db.sql`select details ->> 'since' as since from ops.reports where name = 'backup'`,
    ).toHaveLength(1)

    const target = await freshDatabase({ empty: true })
    const { exitCode, stdout } = await run('restore', folder, '--into', target.url)
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringContaining('Its work is held') })
    expect(await target.sql`select type from ops_agent_events`).toEqual([{ type: 'app:began' }])
  })

  test('say what is missing', async () => {
    expect(await run('restore', folder)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('add --into postgresql://…, or --verify'),
    })
    // Who reads "verified" would take it for restored.
    expect(await run('restore', folder, '--into', db.url, '--verify')).toMatchObject({
      exitCode: 2,
      stdout: '',
      stderr: expect.stringContaining('give --into or --verify, not both'),
    })
    expect(await run('backup', '--out', folder)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('is not empty'),
    })
    expect(await run('backup', '--since', 'yesterday')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('Write it as 7d'),
    })
    expect(await run('restore', folder, '--into', 'staging')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('Write it as postgresql://'),
    })
    expect(await run('backup', '--since', '2999-01-01')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('in the past'),
    })
  })

  test('say which address is wrong when the database is not there', async () => {
    const away = 'postgres://ada:secret@127.0.0.1:1/postgres'
    const wrongly = (setting: string) => ({
      exitCode: 1,
      stderr: expect.stringMatching(
        new RegExp(`^error: The database cannot be reached \\(ECONNREFUSED\\).*${setting} is right`),
      ),
    })
    expect(await run('restore', folder, '--into', away)).toMatchObject(wrongly('--into'))
    expect(await run('restore', folder, '--into', `${db.url}_gone`)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^error: There is no such database.*check --into/),
    })
    vi.stubEnv('DATABASE_URL', away)
    const [backup, migrate] = [await run('backup', '--out', `${folder}-2`), await run('migrate')]
    vi.unstubAllEnvs()
    expect(backup).toMatchObject(wrongly('DATABASE_URL'))
    expect(migrate).toMatchObject(wrongly('DATABASE_URL'))
  })
})
