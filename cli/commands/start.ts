import { Command } from 'commander'
import { colorsFor } from '../../embedded/colors.js'
import { nearby, shellPath } from '../../embedded/nearby.js'
import { loadDotEnv } from '../../engine/index.js'
import { dataFolder, type GlobalOptions } from '../connection.js'
import { port, wholeNumber } from '../numbers.js'

interface StartOptions extends GlobalOptions {
  port: number
  restPort?: number
  postgresPort?: number
  heartbeat: number
  reset?: boolean
  demo: boolean
  once?: boolean
}

const EXAMPLES = `
Examples:
  npm start
  npm start -- --port 8788
  npm start -- --reset                    begin anew
  npm start -- --no-demo --data-dir /tmp/empty`

export function startCommand(): Command {
  return new Command('start')
    .description('run the whole system on an embedded Postgres, and tell what happens')
    .option('--port <port>', 'port of the control plane', port, 8787)
    .option('--rest-port <port>', 'port of PostgREST (default: any free one)', port)
    .option('--postgres-port <port>', 'port of Postgres (default: any free one)', port)
    .option('--heartbeat <seconds>', 'longest pause between heartbeats', wholeNumber(1, 3600), 3)
    .option('--reset', 'delete the data folder first')
    .option('--no-demo', "do not play GitHub's webhook examples on an empty database")
    .option('--once', 'stop after the summary')
    .addHelpText('after', EXAMPLES)
    .action(async (_options: object, command: Command) => {
      const options = command.optsWithGlobals<StartOptions>()
      const [{ runStack }, { jsonTeller, textTeller }] = await Promise.all([
        import('../../embedded/run.js'),
        import('../../embedded/teller.js'),
      ])
      // For the executors; where the database is, the stack says itself.
      loadDotEnv()
      const print = (line: string) => console.log(line)
      await runStack({
        dataDir: dataFolder(options),
        port: options.port,
        restPort: options.restPort,
        postgresPort: options.postgresPort,
        reset: options.reset ?? false,
        demo: options.demo,
        once: options.once ?? false,
        heartbeatMs: options.heartbeat * 1000,
        teller: options.json ? jsonTeller(print) : textTeller(print, colorsFor(process.stdout)),
        commandOptions: commandOptions(options),
      })
    })
}

/** What a command in another terminal, in the same folder, needs to find this stack. */
function commandOptions(options: GlobalOptions): string {
  const { DATABASE_URL, SUPABASE_URL } = process.env
  const found = options.dataDir === undefined && !DATABASE_URL && !SUPABASE_URL
  return found ? '' : `--data-dir ${shellPath(nearby(dataFolder(options)))}`
}
