/**
 * Measures Ops Loop side by side with its peers: `npm run bench -- --help`.
 */
import { cpus } from 'node:os'
import { Command } from 'commander'
import { startContender } from './harness/contenders.js'
import { installPeers } from './harness/install.js'
import { interruptible, wholeNumber } from './harness/options.js'
import { markdown, toJson } from './harness/report.js'
import { type Server, startServer } from './harness/server.js'
import type { Context, Scenario, Table } from './harness/types.js'
import { scenarios } from './scenarios/index.js'

interface Options {
  only: string[]
  rounds: number
  quick: boolean
  json: boolean
}

const program = new Command('npm run bench --')
  .description(
    'Measures Ops Loop side by side with its peers, on an embedded Postgres 17 with durable commits.',
  )
  .option('--only <scenario...>', `some of: ${scenarios.map(({ name }) => name).join(', ')}`, [])
  .option('--rounds <n>', 'how often each subject is measured, in turn', wholeNumber(1, 99), 3)
  .option('--quick', 'small numbers and one round, to see that everything works', false)
  .option('--json', 'print one JSON document; what goes on is told on stderr', false)
const options = program.parse().opts<Options>()
await interruptible((signal) => bench(options, signal))

async function bench(options: Options, signal: AbortSignal): Promise<void> {
  const chosen = choose(options.only)
  const say = options.json ? console.error : console.log
  await installPeers(say)
  const server = await startServer()
  try {
    const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, Postgres ${server.version}, Node ${process.versions.node}`
    say(`${machine}, fsync and synchronous_commit on\n`)
    const results: { name: string; question: string; tables: Table[] }[] = []
    for (const scenario of chosen) {
      say(`## ${scenario.name}: ${scenario.question}\n`)
      const tables = await scenario.run(contextOf(server, options, say, signal))
      say(`\n${tables.map(markdown).join('\n\n')}\n`)
      results.push({ name: scenario.name, question: scenario.question, tables })
    }
    if (options.json) {
      const scenarios = results.map((result) => ({ ...result, tables: result.tables.map(toJson) }))
      console.log(JSON.stringify({ machine, quick: options.quick, scenarios }, null, 2))
    }
  } finally {
    await server.stop()
  }
}

function contextOf(
  server: Server,
  options: Options,
  log: (line: string) => void,
  signal: AbortSignal,
): Context {
  return {
    quick: options.quick,
    rounds: options.quick ? 1 : options.rounds,
    logFile: server.logFile,
    emptyDatabase: server.emptyDatabase,
    ourDatabase: server.ourDatabase,
    log,
    at: console.error,
    async contender(name, database) {
      signal.throwIfAborted()
      const contender = await startContender(name, database ?? (await server.emptyDatabase()))
      signal.addEventListener('abort', () => void contender.stop(), { once: true })
      return contender
    },
  }
}

function choose(names: string[]): Scenario[] {
  const unknown = names.filter((name) => !scenarios.some((scenario) => scenario.name === name))
  if (unknown.length > 0) {
    program.error(
      `error: there is no scenario ${unknown.join(', ')}; there are ${scenarios.map(({ name }) => name).join(', ')}`,
    )
  }
  return names.length === 0 ? [...scenarios] : scenarios.filter(({ name }) => names.includes(name))
}
