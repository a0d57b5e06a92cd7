/**
 * Races without luck: sessions that hold their locks inside open transactions, and calls that are known to wait for them.
 */
import postgres from 'postgres'
import type { TestDatabase } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import type { Connection } from './work.js'

export interface Session {
  /** One connection of its own: what runs on it runs in its transaction, if one is open. */
  readonly sql: Connection
  readonly pid: number
  begin(isolation?: 'read committed' | 'repeatable read'): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
}

export async function openSession(database: Pick<TestDatabase, 'url'>): Promise<Session> {
  const sql = postgres(database.url, { max: 1, onnotice: () => undefined })
  onFileEnd(() => sql.end({ timeout: 1 }))
  const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
  if (!backend) throw new Error('no answer')
  const run = async (statement: string) => {
    await sql.unsafe(statement)
  }
  return {
    sql,
    pid: backend.pid,
    begin: (isolation = 'read committed') => run(`begin isolation level ${isolation}`),
    commit: () => run('commit'),
    rollback: () => run('rollback'),
  }
}

export async function openSessions(database: Pick<TestDatabase, 'url'>, count: number): Promise<Session[]> {
  return Promise.all(Array.from({ length: count }, () => openSession(database)))
}

/**
 * Starts a call on a session and returns once it waits for a lock that another holds. The call's answer is in `answer`.
 *
 * @throws when the call ends, or runs for 10 seconds, without waiting.
 */
export async function whileBlocked<T>(
  observer: Connection,
  session: Session,
  call: (sql: Connection) => Promise<T>,
): Promise<{ answer: Promise<T> }> {
  let ended = false
  const answer = call(session.sql).finally(() => {
    ended = true
  })
  answer.catch(() => undefined)
  const deadline = Date.now() + 10_000
  while (Date.now() < deadline) {
    const [row] = await observer<{ waits: boolean }[]>`
      select cardinality(pg_blocking_pids(${session.pid})) > 0 as waits`
    if (row?.waits) return { answer }
    if (ended) {
      await answer
      throw new Error('the call ended without waiting for a lock')
    }
  }
  throw new Error('the call neither ended nor waited for a lock')
}

/** Stands before all stripes of a counter of today, even those that do not exist yet, until its transaction ends. */
export async function holdCounter({ sql }: Session, scope: string, name = ''): Promise<void> {
  await sql`
    insert into ops.cap_stripes as s (day, scope, name, stripe)
    select ops.cap_day(), ${scope}, ${name}, n from generate_series(0, 15) n
    on conflict (day, scope, name, stripe) do update set used = s.used`
}
