import postgres from 'postgres'
import { OpsError } from './errors.js'
import { storableJson, storableText } from './json.js'
import { subscribe } from './subscription.js'
import { type Args, givenArgs, type Signature, type Transport } from './transport.js'

/** Parameters that other clients understand and a server would take for settings of its own. */
const CLIENT_PARAMETERS = ['pgbouncer', 'connection_limit', 'pool_timeout', 'schema', 'channel_binding']

/** How long a connection may take to open, in seconds. */
const CONNECT_TIMEOUT = 10
/** How long an unused connection stays open, in seconds. */
const IDLE_TIMEOUT = 30
/** How long the database may take to answer a call, in milliseconds. */
const CALL_TIMEOUT = 60_000
/** How long `close` waits for calls under way, in seconds. */
const CLOSE_TIMEOUT = 5

/**
 * Calls functions over Postgres connections, opened as they are needed.
 *
 * Behind a transaction pooler (port 6543, or `?pgbouncer=true`) there are no prepared statements and no `listen`: both
 * belong to one server connection, and the pooler gives every transaction another.
 */
export function postgresTransport(
  databaseUrl: string,
  maxConnections = 5,
  callTimeoutMs = CALL_TIMEOUT,
): Transport {
  const { url, pooled } = readUrl(databaseUrl)
  const options = {
    max: maxConnections,
    prepare: !pooled,
    // Arguments and answers travel as text and JSON, so that the types of arrays need not be asked for.
    fetch_types: false,
    connect_timeout: CONNECT_TIMEOUT,
    idle_timeout: IDLE_TIMEOUT,
    types: { time: TIME },
    connection: { application_name: 'ops-loop', TimeZone: 'UTC' },
    onnotice: () => {},
  }
  let sql = postgres(url, options)

  /**
   * A connection that died without a word would be waited for in vain. It cannot be told which one it is, so all of them are
   * given up, and new ones opened.
   */
  async function answered<T>(call: (on: postgres.Sql) => Promise<T>): Promise<T> {
    const used = sql
    let timer: NodeJS.Timeout | undefined
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        if (sql === used) sql = postgres(url, options)
        reject(Object.assign(new Error(`no answer within ${callTimeoutMs} ms`), { code: 'ETIMEDOUT' }))
        void used.end({ timeout: 0 })
      }, callTimeoutMs)
    })
    try {
      return await Promise.race([call(used), silence])
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    name: 'postgres',
    async rpc(fn, args, { timeoutMs } = {}) {
      const { text, values } = statement(fn, args)
      const run = (on: postgres.ISql) =>
        on.unsafe<Record<string, unknown>[]>(text, values, { prepare: !pooled })
      const rows = await answered((on) =>
        timeoutMs === undefined
          ? run(on)
          : on.begin(async (tx) => {
              // A statement cannot shorten its own time, so this one goes before it, over the same connection.
              await tx`select set_config('statement_timeout', ${String(Math.ceil(timeoutMs))}, true)`
              return run(tx)
            }),
      )
      return fn.plain ? rows : rows.map((row) => row.value)
    },
    listen: pooled
      ? undefined
      : (channels, onNotify, onGap) =>
          subscribe({
            channels,
            onNotify,
            onGap,
            open: () => postgres(url, { ...options, max: 1 }),
            notify: (name) => answered((on) => on.notify(name, '')),
          }),
    close: () => sql.end({ timeout: CLOSE_TIMEOUT }),
  }
}

/**
 * Every argument is sent as text and cast by the server, which keeps postgres.js from serialising by types of its own:
 * JSON text would be quoted a second time, and times would be cut to milliseconds. Answers come back as JSON, as PostgREST
 * makes it: numbers as numbers and times as ISO text. Rows of plain columns come as they are and are read to the same.
 */
export function statement(fn: Signature, args: Args): { text: string; values: (string | null)[] } {
  const given = givenArgs(fn, args)
  const list = given.map(([name, type], index) => `${name} => $${index + 1}::text::${type}`).join(', ')
  const call = `public.${fn.name}(${list})`
  return { text: select(fn, call), values: given.map(([, type, value]) => literal(type, value)) }
}

function select({ returns, plain }: Signature, call: string): string {
  if (plain) return `select * from ${call}`
  return returns === 'table'
    ? // The inner query makes a row of it, also where the table has a single column.
      `select to_json(r) as value from (select * from ${call}) as r`
    : `select to_json(v) as value from ${call} as v`
}

/** Dates and times as they are in JSON, to the microsecond; a `Date` knows milliseconds only. */
const TIME = {
  to: 1184,
  from: [1082, 1114, 1184],
  serialize: (time: string) => time,
  parse: isoOf,
}

/** `2026-01-31 09:00:00.123456+00`, as Postgres writes it, in the form that `to_json` gives it. */
export function isoOf(time: string): string {
  // In UTC, as our own connections have it: two of these come with every step.
  if (time[10] === ' ' && time.endsWith('+00')) return `${time.slice(0, 10)}T${time.slice(11)}:00`
  const found = /^(\d{4,}-\d\d-\d\d) ([\d:.]+)([+-][\d:]+)$/.exec(time)
  if (!found) return time
  const [, date, clock, offset = ''] = found
  return `${date}T${clock}${offset.includes(':') ? offset : `${offset}:00`}`
}

/** The value in Postgres' own text form. */
function literal(type: string, value: unknown): string | null {
  if (value === null) return null
  if (type === 'jsonb') return storableJson(JSON.stringify(value))
  if (Array.isArray(value))
    return storableText(`{${value.map((item) => `"${String(item).replace(/["\\]/g, '\\$&')}"`).join()}}`)
  return storableText(String(value))
}

function readUrl(databaseUrl: string): { url: string; pooled: boolean } {
  if (!isPostgresUrl(databaseUrl)) {
    // The URL itself holds a password and stays out of the message, and out of the cause.
    throw new OpsError(
      'OPS_001',
      'DATABASE_URL is no Postgres address: use postgresql://user:password@host:5432/database, ' +
        'with special characters of the password percent-encoded.',
    )
  }
  const url = new URL(databaseUrl)
  const pooled = url.port === '6543' || url.searchParams.get('pgbouncer') === 'true'
  for (const name of CLIENT_PARAMETERS) url.searchParams.delete(name)
  return { url: url.toString(), pooled }
}

function isPostgresUrl(text: string): boolean {
  try {
    const { protocol, username, password } = new URL(text)
    decodeURIComponent(username + password)
    return /^postgres(ql)?:$/.test(protocol)
  } catch {
    return false
  }
}
