import { open, stat } from 'node:fs/promises'
import postgres from 'postgres'
import { z } from 'zod'
import { openSubject, type Subject } from './subject.js'
import { measure } from './verbs.js'

/** The bench's own batches and the bounded looks of the watch stay below: what reads more rows than this reads a table, or the larger part of an index. */
const MANY_ROWS = 20_000
/** A table of more bytes is large, and may not be read from end to end. */
const LARGE_BYTES = 8 * 1024 ** 2
/** From the sixth time on a function may run by a plan for whatever its arguments are. */
const ROUNDS = 7

interface Node {
  'Node Type': string
  'Relation Name'?: string | undefined
  'Index Name'?: string | undefined
  'Actual Rows'?: number | undefined
  'Actual Loops'?: number | undefined
  'Rows Removed by Filter'?: number | undefined
  'Rows Removed by Index Recheck'?: number | undefined
  Plans?: Node[] | undefined
}

const node: z.ZodType<Node> = z.object({
  'Node Type': z.string(),
  'Relation Name': z.string().optional(),
  'Index Name': z.string().optional(),
  'Actual Rows': z.number().optional(),
  'Actual Loops': z.number().optional(),
  'Rows Removed by Filter': z.number().optional(),
  'Rows Removed by Index Recheck': z.number().optional(),
  get Plans() {
    return z.array(node).optional()
  },
})
const explained = z.object({ 'Query Text': z.string(), Plan: node })

/** Makes sessions that begin from now on able to tell their plans, which costs nothing until they are asked to. By the superuser. */
export async function preparePlans(admin: postgres.Sql): Promise<void> {
  await admin`load 'auto_explain'`
  await admin`alter system set session_preload_libraries = 'auto_explain'`
  await admin`alter system set auto_explain.log_nested_statements = on`
  await admin`alter system set auto_explain.log_analyze = on`
  await admin`alter system set auto_explain.log_timing = off`
  await admin`alter system set auto_explain.log_format = json`
  await admin`select pg_reload_conf()`
}

/**
 * What reads a large table from end to end, or more rows than anything here has to, in words: of all statements inside the functions of some rounds, both in
 * the sessions that are open and in new ones.
 */
export async function largeReads(subject: Subject, logFile: string, signal: AbortSignal): Promise<string[]> {
  const admin = postgres(subject.database.adminUrl, { max: 1, onnotice: () => undefined })
  // What a BRIN index answers are pages, and how many rows they hold is seen when they are read.
  const brin = await admin<{ name: string }[]>`
    select c.relname as name from pg_class c join pg_am a on a.oid = c.relam where a.amname = 'brin'`
  const large = await admin<{ name: string }[]>`
    select relname as name from pg_class where relkind = 'r' and relnamespace in ('public'::regnamespace, 'ops'::regnamespace)
      and pg_relation_size(oid) > ${LARGE_BYTES}`
  const { size } = await stat(logFile)
  await admin`load 'auto_explain'`
  await admin`alter system set auto_explain.log_min_duration = 0`
  await admin`select pg_reload_conf()`
  const fresh = await openSubject(subject.name, subject.database)
  try {
    await measure([subject], 1, signal)
    await measure([fresh], ROUNDS, signal)
  } finally {
    await fresh.close()
    await admin`alter system reset auto_explain.log_min_duration`
    await admin`select pg_reload_conf()`
    await admin.end()
  }
  const tables = new Set(large.map((table) => table.name))
  const pages = new Set(brin.map((index) => index.name))
  const most = new Map<string, number>()
  for (const { 'Query Text': query, Plan } of plansIn(await textFrom(logFile, size))) {
    for (const { type, place, rows } of readsOf(Plan, tables)) {
      if (pages.has(place)) continue
      const read = `${type} of ${place}: ${oneLine(query)}`
      most.set(read, Math.max(rows, most.get(read) ?? 0))
    }
  }
  return [...most].map(([read, rows]) => `${rows.toLocaleString('en')} rows, ${read}`)
}

/** The plans that auto_explain has written into a log, whose lines but the first of each entry begin with a tab. */
function plansIn(text: string): z.infer<typeof explained>[] {
  return text
    .split(/duration: [\d.]+ ms {2}plan:\n/)
    .slice(1)
    .map((entry) => {
      const lines = entry.split('\n')
      const end = lines.findIndex((line) => !line.startsWith('\t'))
      return explained.parse(JSON.parse(lines.slice(0, end < 0 ? undefined : end).join('\n')))
    })
}

function readsOf(plan: Node, large: ReadonlySet<string>): { type: string; place: string; rows: number }[] {
  const { 'Node Type': type, 'Relation Name': table, 'Index Name': index } = plan
  const loops = plan['Actual Loops'] ?? 0
  const seen = plan['Actual Rows'] ?? 0
  const passedOver = (plan['Rows Removed by Filter'] ?? 0) + (plan['Rows Removed by Index Recheck'] ?? 0)
  const rows = Math.round((seen + passedOver) * loops)
  const place = index ?? table
  const whole = type === 'Seq Scan' && table !== undefined && large.has(table) && loops > 0
  const many = / Scan$/.test(type) && rows > MANY_ROWS
  return [
    ...(place !== undefined && (whole || many) ? [{ type, place, rows }] : []),
    ...(plan.Plans ?? []).flatMap((child) => readsOf(child, large)),
  ]
}

async function textFrom(file: string, position: number): Promise<string> {
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    const { buffer } = await handle.read(Buffer.alloc(size - position), 0, size - position, position)
    return buffer.toString()
  } finally {
    await handle.close()
  }
}

/** The end of a check is what tells it from others. */
function oneLine(query: string): string {
  const line = query.replace(/\s+/g, ' ').trim()
  return line.length > 300 ? `${line.slice(0, 100)} … ${line.slice(-180)}` : line
}
