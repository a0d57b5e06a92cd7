import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import type postgres from 'postgres'
import { describe, expect, inject, test } from 'vitest'
import { freshDatabase } from '../test/support/database.js'
import { migrate, seedPolicies } from './migrate.js'
import { migrationsDir } from './paths.js'

const ours = ['0001_ops_schema.sql', '0002_ops_functions.sql']

/** A folder with these files, laid out as a Supabase project. */
async function migrations(files: Record<string, string>): Promise<string> {
  const folder = join(await mkdtemp(join(inject('testDir'), 'migrations-')), 'supabase', 'migrations')
  await mkdir(folder, { recursive: true })
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text)))
  return folder
}

/** As `psql -f` does it: statement by statement, with no transaction around the file. */
async function applyByHand(sql: postgres.Sql, file: string): Promise<void> {
  await sql.unsafe(await readFile(join(migrationsDir, file), 'utf8')).simple()
}

/** The versions in the Supabase CLI's books. */
async function books(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql`select version from supabase_migrations.schema_migrations order by version`
  return rows.map((row) => row.version)
}

async function supabaseMigrationUp(url: string): Promise<string> {
  const home = await mkdtemp(join(inject('testDir'), 'home-'))
  const project = dirname(dirname(await migrations(await projectMigrations())))
  const { all } = await execa(
    'supabase',
    ['migration', 'up', `--remote=${url}`, '--workdir', project, '--yes'],
    {
      all: true,
      preferLocal: true,
      localDir: fileURLToPath(new URL('..', import.meta.url)),
      stdin: 'ignore',
      env: { HOME: home, SUPABASE_TELEMETRY_DISABLED: '1', SUPABASE_NO_UPDATE_NOTIFIER: '1' },
    },
  )
  return all
}

async function projectMigrations(): Promise<Record<string, string>> {
  const texts = ours.map(async (file) => [file, await readFile(join(migrationsDir, file), 'utf8')])
  return Object.fromEntries(await Promise.all(texts))
}

describe('migrate', () => {
  test('applies the files of the folder in the order of their versions, once', async () => {
    const { url, sql } = await freshDatabase({ empty: true })
    const folder = await migrations({
      '0010_rows.sql': 'insert into notes values (1);',
      '0002_table.sql': 'create table notes (n integer);',
      'seed.sql': 'select broken',
    })
    const lines: string[] = []
    const result = await migrate(url, { folder, log: (line) => lines.push(line) })
    expect(result).toEqual({ applied: ['0002_table.sql', '0010_rows.sql'], recorded: [] })
    expect(lines).toEqual(['0002_table.sql applied', '0010_rows.sql applied'])
    expect(await migrate(url, { folder })).toEqual({ applied: [], recorded: [] })
    expect(await books(sql)).toEqual(['0002', '0010'])
    expect([...(await sql`select n from notes`)]).toEqual([{ n: 1 }])
  })

  test('lets two runs at once apply each file once', async () => {
    const { url, sql } = await freshDatabase({ empty: true })
    const results = await Promise.all([migrate(url), migrate(url)])
    expect(results.flatMap((result) => result.applied).sort()).toEqual(ours)
    expect(await books(sql)).toEqual(['0001', '0002'])
  })

  test('records what was applied with psql', async () => {
    const { url, sql } = await freshDatabase({ empty: true })
    await applyByHand(sql, '0001_ops_schema.sql')
    expect(await migrate(url)).toEqual({
      applied: ['0002_ops_functions.sql'],
      recorded: ['0001_ops_schema.sql'],
    })
    expect(await books(sql)).toEqual(['0001', '0002'])
  })

  test('names file, line and reason of a failure, and undoes that file alone', async () => {
    const { url, sql } = await freshDatabase({ empty: true })
    const folder = await migrations({
      '0001_good.sql': 'create table notes (n integer);',
      '0002_bad.sql': "-- Überschrift 🎈\ninsert into notes values (1);\n\nselect 'x'\nfrom nowhere;\n",
    })
    await expect(migrate(url, { folder })).rejects.toMatchObject({
      code: 'OPS_001',
      message: '0002_bad.sql, line 5: relation "nowhere" does not exist',
    })
    expect(await books(sql)).toEqual(['0001'])
    expect([...(await sql`select n from notes`)]).toEqual([])
  })

  test('leaves nothing to do for the Supabase CLI', async () => {
    const { url, sql } = await freshDatabase({ empty: true })
    await migrate(url)
    expect(await supabaseMigrationUp(url)).toContain('up to date')
    expect(await books(sql)).toEqual(['0001', '0002'])
  })

  test('finds nothing to do after the Supabase CLI', async () => {
    const { url, sql } = await freshDatabase({ empty: true })
    await supabaseMigrationUp(url)
    expect(await migrate(url)).toEqual({ applied: [], recorded: [] })
    expect([...(await sql`select version from ops.migrations order by version`)]).toEqual([
      { version: '0001' },
      { version: '0002' },
    ])
  })
})

describe('seedPolicies', () => {
  test('adds what is missing and leaves what an operator changed', async () => {
    const { url, sql } = await freshDatabase()
    await sql`delete from ops_policy where key = 'reaction_matrix'`
    await sql`update ops_policy set value = jsonb_set(value, '{enabled}', 'false') where key = 'auto_approve'`
    await seedPolicies(url)
    const policies = await sql`
      select key, value -> 'enabled' as enabled from ops_policy where key in ('reaction_matrix', 'auto_approve') order by key`
    expect([...policies]).toEqual([
      { key: 'auto_approve', enabled: false },
      { key: 'reaction_matrix', enabled: null },
    ])
  })
})
