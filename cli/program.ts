import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { alertsCommand } from './commands/alerts.js'
import { apiCommand } from './commands/api.js'
import { backupCommand, restoreCommand } from './commands/backup.js'
import { completeCommand, completionCommand } from './commands/completion.js'
import { deadCommand } from './commands/dead.js'
import { doctorCommand } from './commands/doctor.js'
import { eventsCommand } from './commands/events.js'
import { heartbeatCommand } from './commands/heartbeat.js'
import { invariantsCommand } from './commands/invariants.js'
import { migrateCommand } from './commands/migrate.js'
import { missionsCommand } from './commands/missions.js'
import { policyCommand } from './commands/policy/index.js'
import { proposalsCommand } from './commands/proposals.js'
import { startCommand } from './commands/start.js'
import { statusCommand } from './commands/status.js'
import { stepsCommand } from './commands/steps.js'
import { tokenCommand } from './commands/token.js'
import { traceCommand } from './commands/trace.js'
import { verifyCommand } from './commands/verify.js'
import { whyCommand } from './commands/why.js'
import { workerCommand } from './commands/worker.js'

const DATABASE_HELP = `
Which database: DATABASE_URL, or SUPABASE_URL with SUPABASE_SECRET_KEY, from the environment or .env;
without them, the one of the npm start that is running.

Exit codes: 0 done, 1 failed, 2 wrong usage.`

/**
 * The whole command line. Usage errors are thrown, after commander has printed them.
 *
 * @param options.json leaves the printing of usage errors to the caller
 */
export function createProgram({ json }: { json: boolean }): Command {
  const program = new Command('ops-loop')
    .description('An ops loop for autonomous agents that lives in your own Postgres.')
    .version(packageJson.version)
    .option('--json', 'answer in JSON on stdout, errors in JSON on stderr')
    .option('--data-dir <folder>', 'data folder of npm start (default: .ops-loop beside package.json)')
    .addHelpText('after', DATABASE_HELP)
  const commands = [
    startCommand(),
    apiCommand(),
    workerCommand(),
    heartbeatCommand(),
    migrateCommand(),
    doctorCommand(),
    verifyCommand(),
    statusCommand(),
    eventsCommand(),
    proposalsCommand(),
    policyCommand(),
    missionsCommand(),
    stepsCommand(),
    deadCommand(),
    traceCommand(),
    whyCommand(),
    alertsCommand(),
    invariantsCommand(),
    backupCommand(),
    restoreCommand(),
    tokenCommand(),
    completionCommand(),
  ]
  for (const command of commands) program.addCommand(command)
  program.addCommand(completeCommand(program), { hidden: true })
  for (const command of everyCommand(program)) {
    command.helpCommand(false).exitOverride().configureHelp({ showGlobalOptions: true })
    if (json) command.configureOutput({ outputError: () => undefined, writeErr: () => undefined })
    else command.showHelpAfterError('Add --help for usage.')
  }
  return program
}

/** Commands that are added ready-made inherit no settings from their parent. */
function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)]
}
