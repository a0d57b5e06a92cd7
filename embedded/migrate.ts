/**
 * Applies `supabase/migrations/` with the same bookkeeping as the Supabase CLI, so that `npm run migrate`, `supabase migration up`
 * and plain `psql -f` can follow one another in any order.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'
import { OpsError } from '../engine/errors.js'
import { messageOf } from './errors.js'
import { migrationsDir } from './paths.js'

export interface MigrateOptions {
  /** Told one line for each file. */
  log?: (line: string) => void
  /** Default: the migrations of this project. */
  folder?: string
}

export interface MigrateResult {
  /** The files that were run now, in order. */
  applied: string[]
  /** Files that someone had run with psql; they are only entered in the books now. */
  recorded: string[]
}

interface Migration {
  file: string
  version: string
  name: string
}

/**
 * Brings a database up to date. Each file is one transaction; two runs at once are harmless, the second finds nothing to do.
 *
 * @param databaseUrl a login that may create schemas and roles: on Supabase, `postgres` over a direct or session connection
 * @throws OpsError OPS_001 with file, line and the database's words if a file fails; that file has then changed nothing.
 */
export async function migrate(databaseUrl: string, options: MigrateOptions = {}): Promise<MigrateResult> {
  const { log = () => undefined, folder = migrationsDir } = options
  const migrations = await listMigrations(folder)
  const result: MigrateResult = { applied: [], recorded: [] }
  await withConnection(databaseUrl, async (sql) => {
    for (const migration of migrations) {
      const text = await readFile(join(folder, migration.file), 'utf8')
      const outcome = await sql.begin((tx) => apply(tx, migration, text))
      if (outcome === 'known') continue
      result[outcome].push(migration.file)
      log(
        outcome === 'applied'
          ? `${migration.file} applied`
          : `${migration.file} was applied by hand: recorded`,
      )
    }
    // PostgREST reads the schema once. On Supabase an event trigger tells it to look again; elsewhere we do.
    if (result.applied.length > 0) await sql`notify pgrst, 'reload schema'`
  })
  return result
}

/**
 * Adds the default policies. A policy that exists stays as it is.
 *
 * @throws OpsError OPS_001 as `migrate`
 */
export async function seedPolicies(databaseUrl: string, options: MigrateOptions = {}): Promise<void> {
  const { log = () => undefined, folder = migrationsDir } = options
  const file = 'reaction_matrix_seed.sql'
  const text = await readFile(join(folder, file), 'utf8')
  await withConnection(databaseUrl, (sql) => sql.begin((tx) => runFile(tx, file, text)))
  log(`${file} applied`)
}

/** The schema that a database has after `migrate`. */
export async function newestSchema(folder = migrationsDir): Promise<number> {
  const migrations = await listMigrations(folder)
  return Number(migrations.at(-1)?.version ?? 0)
}

/** The migrations in a folder, oldest first; files without a version in front of their name are none. */
async function listMigrations(folder: string): Promise<Migration[]> {
  const migrations = (await readdir(folder)).flatMap((file): Migration[] => {
    const [, version, name] = /^(\d+)_(.*)\.sql$/.exec(file) ?? []
    return version === undefined || name === undefined ? [] : [{ file, version, name }]
  })
  return migrations.sort((a, b) => (BigInt(a.version) < BigInt(b.version) ? -1 : 1))
}

async function withConnection<T>(databaseUrl: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(databaseUrl, { max: 1, prepare: false, onnotice: () => undefined })
  try {
    return await work(sql)
  } finally {
    await sql.end()
  }
}

async function apply(
  tx: postgres.TransactionSql,
  migration: Migration,
  text: string,
): Promise<'known' | keyof MigrateResult> {
  const { file, version, name } = migration
  // Held to the end of the transaction: a second run waits here, then finds the version in the books.
  await tx`select pg_advisory_xact_lock(hashtext('ops-loop:migrate'))`
  await tx.unsafe('set local statement_timeout = 0')
  await tx.unsafe(bookkeepingSql).simple()
  const [known] = await tx`select from supabase_migrations.schema_migrations where version = ${version}`
  if (known) return 'known'

  const byHand = await wasAppliedByHand(tx, version)
  if (!byHand) await runFile(tx, file, text)
  await tx`
    insert into supabase_migrations.schema_migrations (version, name, statements) values (${version}, ${name}, ${[text]})`
  return byHand ? 'recorded' : 'applied'
}

/** The Supabase CLI's own table. */
const bookkeepingSql = `
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
`

/** Each migration enters itself in `ops.migrations`, whoever runs it. */
async function wasAppliedByHand(tx: postgres.TransactionSql, version: string): Promise<boolean> {
  const [table] =
    await tx`select from pg_catalog.pg_tables where schemaname = 'ops' and tablename = 'migrations'`
  if (!table) return false
  const [row] = await tx`select from ops.migrations where version = ${version}`
  return row !== undefined
}

async function runFile(tx: postgres.TransactionSql, file: string, text: string): Promise<void> {
  try {
    await tx.unsafe(text).simple()
  } catch (error) {
    throw migrationError(file, text, error)
  }
}

function migrationError(file: string, text: string, error: unknown): OpsError {
  if (!(error instanceof postgres.PostgresError)) {
    return new OpsError('OPS_001', `${file}: ${messageOf(error)}`, { cause: error })
  }
  const line = lineAt(text, Number(error.position ?? error.internal_position))
  const [inside] = /^PL\/pgSQL function .*$/m.exec(error.where ?? '') ?? []
  const place = [file, line === undefined ? undefined : `line ${line}`, inside]
    .filter((part) => part)
    .join(', ')
  // Not as the cause: postgres.js hangs the whole file on its errors, which would bury the message in every log.
  return new OpsError('OPS_001', `${place}: ${error.message}`, {
    details: { file, line, sqlstate: error.code, detail: error.detail, where: error.where },
    hint: error.hint,
  })
}

/** Postgres counts characters from 1. */
function lineAt(text: string, position: number): number | undefined {
  if (!Number.isInteger(position)) return undefined
  const before = Array.from(text).slice(0, position - 1)
  return before.filter((character) => character === '\n').length + 1
}
