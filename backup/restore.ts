import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createGunzip } from 'node:zlib'
import postgres from 'postgres'
import { migrate, newestSchema } from '../embedded/migrate.js'
import { OpsError } from '../engine/index.js'
import { type Manifest, readManifest, type TableCopy } from './manifest.js'
import { listTables } from './tables.js'

const NEWLINE = 10

/** Rows that one statement brings in. */
const BATCH = 500

export interface RestoreOptions {
  /** Told when a table is done. */
  onTable?: ((copy: TableCopy) => void) | undefined
}

/**
 * Brings a backup into a database: its schema is made if need be, then all rows come in, in one transaction. Whatever goes
 * wrong, the database is as it was.
 *
 * @param databaseUrl a login that may create schemas and roles, as for migrations
 * @throws OpsError `OPS_011` for a backup that is damaged or newer than this program; `OPS_014` when the database holds work
 */
export async function restore(
  folder: string,
  databaseUrl: string,
  { onTable }: RestoreOptions = {},
): Promise<Manifest> {
  const manifest = await readManifest(folder)
  await checkVersion(manifest)
  for (const copy of manifest.tables) await checkFile(folder, copy)
  const sql = postgres(databaseUrl, { max: 1, prepare: false, onnotice: () => undefined })
  try {
    // Before its schema is touched too: a database with work may be one that others of an older version use.
    await checkIdle(sql)
    await migrate(databaseUrl)
    await sql.begin(async (tx) => {
      await tx`select set_config('statement_timeout', '0', true)`
      await checkIdle(tx)
      await checkColumns(tx, manifest)
      await withoutGuards(tx, async () => {
        for (const copy of manifest.tables) {
          await copyIn(tx, copy, folder)
          onTable?.(copy)
        }
        if (manifest.since !== null) await letGo(tx)
      })
      if (manifest.since !== null) await recount(tx, manifest.since)
    })
    await sql`analyze`
  } finally {
    await sql.end()
  }
  return manifest
}

async function checkVersion({ schema_version }: Manifest): Promise<void> {
  const known = await newestSchema()
  if (schema_version > known)
    throw new OpsError(
      'OPS_011',
      `The backup has schema ${schema_version}, this program knows up to ${known}.`,
      { hint: 'Update ops-loop.' },
    )
}

/** A file that was altered or cut off is found out before anything is touched. */
async function checkFile(folder: string, { file, sha256 }: TableCopy): Promise<void> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(join(folder, file))) hash.update(chunk)
  } catch {
    throw new OpsError('OPS_011', `${join(folder, file)} cannot be read.`, {
      hint: 'The backup is not whole.',
    })
  }
  if (hash.digest('hex') !== sha256)
    throw new OpsError(
      'OPS_011',
      `${join(folder, file)} is not the file that was backed up: its checksum differs.`,
    )
}

/** Tables that have rows as soon as there has been work. */
const WORK = ['public.ops_agent_events', 'public.ops_mission_proposals', 'ops.archive']

async function checkIdle(sql: postgres.ISql): Promise<void> {
  const tables = await sql<{ name: string }[]>`
    select name from unnest(${WORK}::text[]) name where to_regclass(name) is not null`
  for (const { name } of tables) {
    const [row] = await sql.unsafe(`select from ${name} limit 1`)
    if (row !== undefined)
      throw new OpsError('OPS_014', 'The target holds events or proposals of its own.', {
        hint: 'Name a database that is empty, or new.',
      })
  }
}

async function checkColumns(sql: postgres.ISql, manifest: Manifest): Promise<void> {
  const tables = new Map((await listTables(sql)).map((t) => [`${t.schema}.${t.name}`, new Set(t.columns)]))
  for (const { name, columns } of manifest.tables) {
    const missing = columns.filter((column) => !tables.get(name)?.has(column))
    if (missing.length > 0)
      throw new OpsError(
        'OPS_014',
        `The target's ${name} lacks ${missing.join(', ')}, which the backup has.`,
        {
          hint: tables.has(name)
            ? 'Add the column to the target first.'
            : 'Create the table in the target first.',
        },
      )
  }
}

interface ForeignKey {
  table: string
  name: string
  definition: string
}

/** Rows come in as they were, in any order: triggers rest, and foreign keys are checked when all rows are there. */
async function withoutGuards(sql: postgres.ISql, work: () => Promise<void>): Promise<void> {
  const tables = (await listTables(sql)).map(({ schema, name }) => `"${schema}"."${name}"`)
  const keys = await sql<ForeignKey[]>`
    select c.conrelid::regclass::text as table, quote_ident(c.conname) as name, pg_get_constraintdef(c.oid) as definition
    from pg_constraint c where c.contype = 'f' and c.conrelid::regclass = any (${tables}::text[]::regclass[])`
  for (const { table, name } of keys) await sql.unsafe(`alter table ${table} drop constraint ${name}`)
  for (const table of tables) {
    await sql.unsafe(`alter table ${table} disable trigger user`)
    await sql.unsafe(`delete from ${table}`)
  }
  await work()
  for (const table of tables) await sql.unsafe(`alter table ${table} enable trigger user`)
  for (const { table, name, definition } of keys)
    await sql.unsafe(`alter table ${table} add constraint ${name} ${definition}`)
  await moveSequences(sql, tables)
}

async function copyIn(sql: postgres.ISql, copy: TableCopy, folder: string): Promise<void> {
  const [schema, name] = copy.name.split('.')
  const table = `"${schema}"."${name}"`
  const columns = copy.columns.map((column) => `"${column}"`).join(', ')
  const insert = `insert into ${table} (${columns}) overriding system value
    select ${columns} from jsonb_populate_recordset(null::${table}, $1::text::jsonb)`
  const file = createReadStream(join(folder, copy.file)).pipe(createGunzip())
  let lines: string[] = []
  let rows = 0
  const flush = async () => {
    rows += (await sql.unsafe(insert, [`[${lines.join(',')}]`])).count
    lines = []
  }
  for await (const line of linesOf(file)) {
    lines.push(line)
    if (lines.length === BATCH) await flush()
  }
  if (lines.length > 0) await flush()
  if (rows !== copy.rows)
    throw new OpsError('OPS_001', `${copy.name}: ${rows} rows came in, ${copy.rows} were backed up.`)
}

/** Lines end with a newline and nothing else; readline would also end them at U+2028, which JSON leaves as it is. */
async function* linesOf(file: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer[] = []
  for await (const chunk of file) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...rest, chunk.subarray(start, end)]).toString('utf8')
      rest = []
      start = end + 1
    }
    rest.push(chunk.subarray(start))
  }
}

/** The radar comes whole, also what steps put there whose chains were left out. */
async function letGo(sql: postgres.ISql): Promise<void> {
  await sql`
    update public.ops_demand_radar r set step_id = null
    where r.step_id is not null and not exists (select from public.ops_mission_steps s where s.id = r.step_id)`
}

/** Numbers that tables hand out themselves go on after the highest that came in. */
async function moveSequences(sql: postgres.ISql, tables: string[]): Promise<void> {
  const columns = await sql<{ sequence: string; table: string; column: string }[]>`
    select pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) as sequence, a.attrelid::regclass::text as table,
      quote_ident(a.attname) as column
    from pg_attribute a
    where a.attrelid::regclass = any (${tables}::text[]::regclass[]) and a.attnum > 0 and not a.attisdropped
      and pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) is not null`
  for (const { sequence, table, column } of columns)
    await sql.unsafe(
      `select setval('${sequence}', coalesce(max(${column}), 1), max(${column}) is not null) from ${table}`,
    )
}

/** Counters of days whose proposals did not all come along say what is there; those of later days are whole. */
async function recount(sql: postgres.ISql, since: string): Promise<void> {
  await sql`
    delete from ops.cap_stripes where day <= ${since}::timestamptz::date + 1`
  await sql`
    insert into ops.cap_stripes (day, scope, name, stripe, used, used_usd)
    select p.cap_day, u.scope, u.name, 0, sum(u.units), case when u.scope = 'daily' then sum(p.reserved_usd) else 0 end
    from public.ops_mission_proposals p, unnest(ops.cap_units(p.source, p.pattern_id, p.template)) u
    where p.cap_day <= ${since}::timestamptz::date + 1
    group by p.cap_day, u.scope, u.name`
}
