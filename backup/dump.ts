import { createHash } from 'node:crypto'
import { type FileHandle, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import postgres from 'postgres'
import { messageOf } from '../embedded/errors.js'
import { newFolder } from '../embedded/newFolder.js'
import { OpsError } from '../engine/index.js'
import packageJson from '../package.json' with { type: 'json' }
import { type Manifest, type TableCopy, writeManifest } from './manifest.js'
import { collectChains, listTables, rowsSince, type Table } from './tables.js'

/** Rows that are in memory at a time. */
const BATCH = 500

export interface DumpOptions {
  /** An ISO timestamp: only chains of events with anything since then, or still at work. Default: everything. */
  since?: string | undefined
  /** Told when a table is done. */
  onTable?: ((copy: TableCopy) => void) | undefined
  /** Aborted: the backup breaks off, as when it fails. */
  signal?: AbortSignal | undefined
}

/**
 * Copies the loop out of a database into a new or empty folder, as it stands at one moment, while it works on. What fails leaves no
 * file and no folder behind.
 *
 * @param databaseUrl a login that may read the private schema: the owner
 * @param folder its absolute path
 * @throws OpsError `OPS_011` when the folder holds something already, or cannot be made
 */
export async function dump(
  databaseUrl: string,
  folder: string,
  options: DumpOptions = {},
): Promise<Manifest> {
  const takeBack = await emptyFolder(folder)
  try {
    return await copyAll(databaseUrl, folder, options)
  } catch (error) {
    await takeBack()
    throw error
  }
}

/** @returns removes what is in it, and what was not there before */
async function emptyFolder(folder: string): Promise<() => Promise<void>> {
  const removeFolders = await newFolder(folder).catch((error: unknown) => {
    throw new OpsError('OPS_011', `${folder} cannot be made: ${messageOf(error)}.`, {
      hint: 'Name a folder that does not exist yet, where you may make one.',
      cause: error,
    })
  })
  if ((await readdir(folder)).length > 0)
    throw new OpsError('OPS_011', `${folder} is not empty.`, {
      hint: 'Name a folder that does not exist yet.',
    })
  return async () => {
    for (const file of await readdir(folder)) await rm(join(folder, file), { force: true })
    await removeFolders()
  }
}

async function copyAll(
  databaseUrl: string,
  folder: string,
  { since, onTable, signal }: DumpOptions,
): Promise<Manifest> {
  const sql = postgres(databaseUrl, { max: 1, prepare: false, onnotice: () => undefined })
  signal?.addEventListener('abort', () => void sql.end({ timeout: 0 }))
  const files = new Files(folder)
  try {
    const manifest = await sql.begin('isolation level repeatable read', async (tx) => {
      await tx`select set_config('statement_timeout', '0', true), set_config('transaction_read_only', ${since ? 'off' : 'on'}, true)`
      if (since !== undefined) await collectChains(tx, since)
      const tables: TableCopy[] = []
      for (const table of await listTables(tx)) {
        const copy = await copyOut(
          tx,
          table,
          files,
          since === undefined ? undefined : rowsSince(table, since),
        )
        tables.push(copy)
        onTable?.(copy)
      }
      return { ...(await about(tx)), since: since ?? null, tables }
    })
    await writeManifest(folder, manifest)
    return manifest
  } finally {
    await sql.end()
    await files.end()
  }
}

/**
 * Makes files, one at a time, until it is ended. A transaction whose connection is lost fails at once, whatever its function is about to
 * do: without this, a file could appear after the folder was cleared.
 */
class Files {
  readonly #folder: string
  #latest: Promise<FileHandle> | undefined
  #ended = false

  constructor(folder: string) {
    this.#folder = folder
  }

  create(name: string): Promise<FileHandle> {
    if (this.#ended) throw new Error('the backup has ended')
    this.#latest = open(join(this.#folder, name), 'wx')
    return this.#latest
  }

  async end(): Promise<void> {
    this.#ended = true
    const file = await this.#latest?.catch(() => undefined)
    await file?.close()
  }
}

async function about(sql: postgres.ISql): Promise<Omit<Manifest, 'since' | 'tables'>> {
  const [row] = await sql<{ schema_version: number; postgres_version: string; created_at: string }[]>`
    select (select max(version::integer) from ops.migrations where version ~ '^\\d{4}$') as schema_version,
      current_setting('server_version') as postgres_version, to_json(now()) #>> '{}' as created_at`
  if (!row) throw new Error('the database did not say what it is')
  return { format: 1, program: packageJson.version, ...row }
}

/** One table into one file, a row a line. */
async function copyOut(
  sql: postgres.ISql,
  table: Table,
  files: Files,
  condition: string | undefined,
): Promise<TableCopy> {
  const columns = table.columns.map((column) => `"${column}"`).join(', ')
  const where = condition === undefined ? '' : ` where ${condition}`
  const from = `"${table.schema}"."${table.name}"`
  const batches = sql
    .unsafe<{ line: string }[]>(
      `select to_jsonb(t)::text as line from (select ${columns} from ${from}${where}) t`,
    )
    .cursor(BATCH)
  let rows = 0
  async function* lines() {
    for await (const batch of batches) {
      rows += batch.length
      yield batch.map(({ line }) => `${line}\n`).join('')
    }
  }
  const file = `${table.schema}.${table.name}.ndjson.gz`
  const hash = createHash('sha256')
  const hashed = new PassThrough()
  hashed.on('data', (chunk: Buffer) => hash.update(chunk))
  await pipeline(lines, createGzip(), hashed, (await files.create(file)).createWriteStream())
  return {
    name: `${table.schema}.${table.name}`,
    columns: table.columns,
    rows,
    file,
    sha256: hash.digest('hex'),
  }
}
