import { mkdtemp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
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
      exitCode: 1,
      stderr: expect.stringContaining('Say where to.'),
    })
    expect(await run('backup', '--out', folder)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('is not empty'),
    })
    expect(await run('backup', '--since', 'yesterday')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('Write it as 7d'),
    })
    expect(await run('backup', '--since', '2999-01-01')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('in the past'),
    })
  })
})
