import { Command } from 'commander'
import { findDatabase, type GlobalOptions } from '../connection.js'

export function heartbeatCommand(): Command {
  return new Command('heartbeat')
    .description('beat once, without HTTP, and print the report as JSON')
    .addHelpText('after', '\nExample, for cron:\n  * * * * * ops-loop heartbeat')
    .action(async (_options: object, command: Command) => {
      const { heartbeatMain } = await import('../../api/server.js')
      await findDatabase(command.optsWithGlobals<GlobalOptions>())
      process.exitCode = await heartbeatMain()
    })
}
