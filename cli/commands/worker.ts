import { Command } from 'commander'
import { findDatabase, type GlobalOptions } from '../connection.js'
import { executorLimit, wholeNumber } from '../numbers.js'

interface WorkerOptions {
  watch?: boolean
  concurrency?: number
  concurrencyOf?: Record<string, number>
  name?: string
  executors?: string
}

const EXAMPLES = `
Examples:
  ops-loop worker                         do what is queued, then end (for cron; may overlap)
  ops-loop worker --watch --concurrency 8
  ops-loop worker --watch --concurrency 8 --concurrency-of minion=2 --concurrency-of http=4
  ops-loop worker --watch --executors ./my-executors`

export function workerCommand(): Command {
  return new Command('worker')
    .description('claim steps, run their executors, record what came of it')
    .option('--watch', 'stay and wait for work')
    .option('--concurrency <n>', 'steps at the same time (default: 4)', wholeNumber(1, 1000))
    .option(
      '--concurrency-of <executor=n>',
      'of one executor at most so many; may be repeated',
      executorLimit,
    )
    .option('--name <name>', "what people call it (default: the machine's name)")
    .option('--executors <folder>', 'executors of your own, besides those that are shipped')
    .addHelpText('after', EXAMPLES)
    .action(async (options: WorkerOptions, command: Command) => {
      const { workerMain } = await import('../../worker/main.js')
      const globals = command.optsWithGlobals<GlobalOptions>()
      const stack = await findDatabase(globals)
      // Under the owner's login it could do more than a worker should, and the loop's own check says so.
      if (stack) process.env.DATABASE_URL = stack.WORKER_DATABASE_URL
      process.exitCode = await workerMain({ ...options, json: globals.json })
    })
}
