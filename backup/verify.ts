import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { startPostgres } from '../embedded/postgres.js'
import { type Manifest, rowsOf } from './manifest.js'
import { type RestoreOptions, restore } from './restore.js'

export interface Verified {
  manifest: Manifest
  rows: number
  /** Invariants of the engine that the restored rows break; none is the good answer. */
  broken: { invariant: string; id: string; problem: string }[]
  /** Steps that were at work when the backup was taken; a restored copy holds them. */
  in_flight: number
}

export interface VerifyOptions extends RestoreOptions {
  /** Aborted: the check breaks off, and throws. */
  signal?: AbortSignal | undefined
}

/** Restores a backup into a Postgres of its own, which is thrown away afterwards, and looks at what is there. */
export async function verify(folder: string, options: VerifyOptions = {}): Promise<Verified> {
  const { signal } = options
  const dataDir = await mkdtemp(join(tmpdir(), 'ops-loop-verify-'))
  try {
    const server = await startPostgres({ dataDir, fast: true })
    // Whoever works on it then fails.
    signal?.addEventListener('abort', () => void server.stop())
    try {
      signal?.throwIfAborted()
      const manifest = await restore(folder, server.url(), options)
      return { manifest, rows: rowsOf(manifest), ...(await inspect(server.url())) }
    } finally {
      await server.stop()
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

async function inspect(databaseUrl: string): Promise<Pick<Verified, 'broken' | 'in_flight'>> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => undefined })
  try {
    const broken = await sql<Verified['broken']>`select invariant, id, problem from ops.broken_invariants()`
    const [count] = await sql<{ running: number }[]>`
      select count(*)::float8 as running from public.ops_mission_steps where status = 'running'`
    return { broken: [...broken], in_flight: count?.running ?? 0 }
  } finally {
    await sql.end()
  }
}
