import { CommanderError } from 'commander'
import { OpsError } from '../engine/index.js'
import { reportError } from './errors.js'
import { EXIT } from './exit.js'
import { watchOutput } from './output.js'
import { createProgram } from './program.js'

/**
 * The `ops-loop` command. Sets the process's exit code and leaves ending to Node, so that nothing written is cut off.
 *
 * @param args without the program's own name
 */
export async function main(args: readonly string[]): Promise<void> {
  const json = args.includes('--json')
  watchOutput()
  try {
    await createProgram({ json }).parseAsync(args, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version are no mistake.
      process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage
      if (json && error.exitCode !== 0) reportError(usageError(error), { json })
      return
    }
    reportError(error, { json })
    process.exitCode = EXIT.failed
  }
}

function usageError({ code, message }: CommanderError): OpsError {
  // Where a command is missing, commander shows the help and says nothing else.
  return code === 'commander.help'
    ? new OpsError('OPS_011', 'no command was given', { hint: 'Add --help for the commands that there are.' })
    : new OpsError('OPS_011', message.replace(/^error: /, ''))
}
