import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { OpsError } from '../engine/index.js'

const FILE = 'manifest.json'

const tableSchema = z.object({
  /** With its schema, such as `public.ops_missions`. */
  name: z.string(),
  columns: z.array(z.string()).min(1),
  rows: z.int().min(0),
  /** Relative to the backup's folder. */
  file: z.string().regex(/^[a-z0-9_.-]+$/),
  /** Of the file, in hexadecimal. */
  sha256: z.string().length(64),
})
export type TableCopy = z.infer<typeof tableSchema>

/** Of this program's backups. */
const FORMAT = 1

const formatSchema = z.looseObject({ format: z.int() })
const manifestSchema = z.object({
  format: z.literal(FORMAT),
  program: z.string(),
  schema_version: z.int(),
  postgres_version: z.string(),
  created_at: z.string(),
  /** Only work since then; null when the backup is whole. */
  since: z.string().nullable(),
  tables: z.array(tableSchema),
})
export type Manifest = z.infer<typeof manifestSchema>

/** Written last: a folder without it is no backup. */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  await writeFile(join(folder, FILE), `${JSON.stringify(manifest, undefined, 2)}\n`)
}

/** @throws OpsError `OPS_011` when the folder holds no backup that this program can read */
export async function readManifest(folder: string): Promise<Manifest> {
  const text = await readFile(join(folder, FILE), 'utf8').catch(() => undefined)
  if (text === undefined)
    throw new OpsError('OPS_011', `${folder} holds no backup: it has no ${FILE}.`, {
      hint: 'Name the folder that ops-loop backup made. One that broke off has no manifest and cannot be restored.',
    })
  const json = jsonOf(text)
  if (json === undefined) throw damaged(folder, 'it is no JSON')
  const format = formatSchema.safeParse(json).data?.format
  if (format !== undefined && format > FORMAT)
    throw new OpsError('OPS_011', `The backup has format ${format}, this program knows ${FORMAT}.`, {
      hint: 'Update ops-loop.',
    })
  const parsed = manifestSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw damaged(folder, `${issue?.path.join('.')} ${issue?.message}`)
}

function damaged(folder: string, how: string): OpsError {
  return new OpsError('OPS_011', `${join(folder, FILE)} is damaged: ${how}.`, {
    hint: 'Take another backup.',
  })
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What a backup holds, for people. */
export function rowsOf({ tables }: Manifest): number {
  return tables.reduce((sum, { rows }) => sum + rows, 0)
}
