/**
 * Writes `database.types.ts` from the database itself: an embedded Postgres, migrated, read by the Supabase CLI.
 *
 *     npm run types:build              writes the file
 *     npm run types:build -- --check   fails when the file is not what the migrations make
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { migrate } from '../embedded/migrate.js'
import { startPostgres } from '../embedded/postgres.js'

const FILE = new URL('./database.types.ts', import.meta.url)
const HEADER = '// Made by `npm run types:build` from supabase/migrations. Do not edit.\n\n'

const types = await databaseTypes()
if (!process.argv.includes('--check')) {
  await writeFile(FILE, types)
} else if (types !== (await readFile(FILE, 'utf8').catch(() => ''))) {
  console.error('engine/database.types.ts is not what the migrations make: run npm run types:build')
  process.exitCode = 1
}

async function databaseTypes(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ops-loop-types-'))
  const postgres = await startPostgres({ dataDir: join(folder, 'data') })
  try {
    await migrate(postgres.url())
    return await formatted(HEADER + (await generated(postgres.url(), folder)))
  } finally {
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** `workdir` keeps the CLI's own notes out of the project. */
async function generated(databaseUrl: string, workdir: string): Promise<string> {
  const flags = ['--schema', 'public', '--workdir', workdir]
  const { stdout } = await execa('supabase', ['gen', 'types', `--remote=${databaseUrl}`, ...flags], {
    preferLocal: true,
    env: { PGSSLMODE: 'disable' },
  })
  return stdout
}

async function formatted(source: string): Promise<string> {
  const { stdout } = await execa('biome', ['format', '--stdin-file-path=types.ts'], {
    preferLocal: true,
    input: source,
  })
  return `${stdout}\n`
}
