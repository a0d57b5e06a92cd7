import { CommanderError } from 'commander'
import { reportError } from './errors.js'
import { createProgram } from './program.js'

/** What the process's exit code says; every command keeps to it. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const

/**
 * The `ops-loop` command. Sets the process's exit code and leaves ending to Node, so that nothing written is cut off.
 *
 * @param args without the program's own name
 */
export async function main(args: readonly string[]): Promise<void> {
  try {
    await createProgram().parseAsync(args, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has said what is wrong. Help and version are no mistake.
      process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage
      return
    }
    reportError(error, { json: args.includes('--json') })
    process.exitCode = EXIT.failed
  }
}
