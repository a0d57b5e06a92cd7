/** PostgREST on a test's database, as supabase-js meets it on Supabase. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { inject } from 'vitest'
import { signJwt } from '../../embedded/jwt.js'
import { startPostgrest } from '../../embedded/postgrest.js'
import { authenticator } from '../../embedded/roles.js'
import type { TestDatabase } from './database.js'
import { onFileEnd } from './fileEnd.js'

export interface TestRest {
  /** What supabase-js takes as its URL. */
  readonly url: string
  readonly serviceKey: string
  readonly anonKey: string
  /** A key that makes its bearer any role which `authenticator` is a member of. */
  keyFor(role: string): string
  stop(): Promise<void>
}

/** Starts PostgREST on a database; it stops by itself when the test file ends. Takes about 0.2 s. */
export async function startRest(database: Pick<TestDatabase, 'url'>): Promise<TestRest> {
  const dataDir = await mkdtemp(join(inject('testDir'), 'rest-'))
  const login = new URL(database.url)
  login.username = authenticator
  const jwtSecret = randomBytes(32).toString('hex')
  const rest = await startPostgrest({ dataDir, databaseUrl: login.href, jwtSecret })
  let stopped: Promise<void> | undefined
  const stop = () => {
    stopped ??= rest.stop().then(() => rm(dataDir, { recursive: true, force: true }))
    return stopped
  }
  onFileEnd(stop)
  const keyFor = (role: string) => signJwt(role, jwtSecret)
  return { url: rest.url, serviceKey: keyFor('service_role'), anonKey: keyFor('anon'), keyFor, stop }
}
