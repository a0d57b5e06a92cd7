/**
 * Does the cost of the hot verbs grow with what is in the tables? Measures claim, complete, fail, recover, gate and the heartbeat in an empty database and in
 * others with millions of finished steps and events, a million queued steps, and a million that are scheduled for later, in turn; and looks at every plan
 * inside those functions for one that reads a large table. Exits 1 when a goal is not reached.
 *
 *     npx tsx bench/growth.ts --help
 */
import { cpus } from 'node:os'
import { Command, Option } from 'commander'
import postgres from 'postgres'
import { largeReads, preparePlans } from './growth/plans.js'
import { type CaseResult, caseMarkdown, caseResult } from './growth/result.js'
import { openSubject, type Subject } from './growth/subject.js'
import { measure } from './growth/verbs.js'
import { storeBacklog } from './harness/backlog.js'
import { storeFinished } from './harness/finished.js'
import { cancellable, interruptible, tenths, wholeNumber } from './harness/options.js'
import { type Server, startServer } from './harness/server.js'

const caseNames = ['finished', 'queued', 'scheduled'] as const
type CaseName = (typeof caseNames)[number]

interface Options {
  case: CaseName[]
  steps: number
  backlog: number
  rounds: number
  json: boolean
}

/** After these, functions run by plans that were made over empty tables. */
const WARM_UP_ROUNDS = 7

const program = new Command('npx tsx bench/growth.ts')
  .description(
    'Measures the hot verbs over full tables beside empty ones, on an embedded Postgres 17 with durable commits.',
  )
  .addOption(new Option('--case <name...>', 'what the tables hold').choices(caseNames).default(caseNames))
  .option(
    '--steps <n>',
    'finished steps, each with its run and an event',
    wholeNumber(1, 999_999_999),
    5_000_000,
  )
  .option(
    '--backlog <n>',
    'steps that are queued, and as many that are scheduled',
    wholeNumber(1, 999_999_999),
    1_000_000,
  )
  .option(
    '--rounds <n>',
    'how often each verb is measured in each database, in turn',
    wholeNumber(1, 999),
    40,
  )
  .option('--json', 'print one JSON document; what goes on is told on stderr', false)
const options = program.parse().opts<Options>()
await interruptible((signal) => bench(options, signal))

async function bench(options: Options, signal: AbortSignal): Promise<void> {
  const say = options.json ? console.error : console.log
  const server = await startServer()
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, Postgres ${server.version}, Node ${process.versions.node}`
  say(`${machine}, fsync and synchronous_commit on\n`)
  try {
    const results = await grow(server, options, say, signal)
    say(`\n${results.map(caseMarkdown).join('\n\n')}`)
    if (options.json)
      console.log(JSON.stringify({ machine, rounds: options.rounds, cases: results }, null, 2))
    if (results.some(({ goals }) => goals.some(({ reached }) => !reached))) process.exitCode = 1
  } finally {
    await server.stop()
  }
}

async function grow(
  server: Server,
  options: Options,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<CaseResult[]> {
  const { adminUrl } = await server.emptyDatabase()
  const admin = postgres(adminUrl, { max: 1, onnotice: () => undefined })
  // Its workers would come at any time, and to the larger tables. What it does is done below.
  await admin`alter system set autovacuum = off`
  await preparePlans(admin)

  const empty = await opened(server, 'empty')
  const loaded = new Map<CaseName, Subject>()
  for (const name of new Set(options.case)) loaded.set(name, await opened(server, name))
  const all = [empty, ...loaded.values()]
  try {
    await measure(all, WARM_UP_ROUNDS, signal)
    for (const [name, subject] of loaded) await load(name, subject, options, say, signal)

    const reads = new Map<CaseName, string[]>()
    const stage = async (title: string) => {
      await admin`checkpoint`
      say(`measuring ${title} …`)
      const samples = await measure(all, options.rounds, signal, (round) => {
        if (round % 10 === 0) say(`  ${round} of ${options.rounds} rounds`)
      })
      for (const [name, subject] of loaded) {
        const found = await largeReads(subject, server.logFile, signal)
        reads.set(name, [...(reads.get(name) ?? []), ...found.map((read) => `${title}: ${read}`)])
      }
      return samples
    }
    const before = await stage('before ANALYZE')
    for (const { database } of all) await vacuum(database.adminUrl, signal)
    const after = await stage('after ANALYZE')
    return [...loaded.keys()].map((name) =>
      caseResult(name, contents(name, options), before, after, reads.get(name) ?? []),
    )
  } finally {
    await Promise.all([...all.map((subject) => subject.close()), admin.end()])
  }
}

/** What a round fails or recovers is put off, so that later rounds do not meet it; nor do they meet canaries, which are claimed like other steps. */
async function opened(server: Server, name: string): Promise<Subject> {
  const subject = await openSubject(name, await server.ourDatabase())
  const { owner } = subject
  await owner`update ops_policy set value = value || '{"backoff_base_seconds": 3600}' where key = 'worker_policy'`
  await owner`update ops_policy set value = jsonb_set(value, '{canary,enabled}', 'false') where key = 'invariants'`
  return subject
}

async function load(
  name: CaseName,
  { owner }: Subject,
  options: Options,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const steps = name === 'finished' ? options.steps : options.backlog
  const onProgress = tenths(steps, say)
  say(`storing ${contents(name, options)} …`)
  if (name === 'finished') await storeFinished(owner, steps, { onProgress, signal })
  else await storeBacklog(owner, name, steps, { onProgress, signal })
  // Autovacuum does so while a table grows; it gives the planner no statistics.
  await owner`
    select brin_summarize_new_values(i.indexrelid) from pg_index i
    join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
    where a.amname = 'brin' and c.relnamespace in ('public'::regnamespace, 'ops'::regnamespace)`
}

function contents(name: CaseName, { steps, backlog }: Options): string {
  return {
    finished: `${steps.toLocaleString('en')} finished steps and as many events`,
    queued: `${backlog.toLocaleString('en')} queued steps`,
    scheduled: `${backlog.toLocaleString('en')} steps scheduled for later`,
  }[name]
}

async function vacuum(url: string, signal: AbortSignal): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  try {
    await cancellable(sql`vacuum (analyze)`, signal)
  } finally {
    await sql.end()
  }
}
