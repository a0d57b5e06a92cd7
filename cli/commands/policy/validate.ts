import { Command } from 'commander'
import type { GlobalOptions } from '../../connection.js'
import { answerFor } from '../../session.js'
import { FILES_HELP, readPolicies } from './files.js'

export function validateCommand(): Command {
  return new Command('validate')
    .description('check policy files; needs no database')
    .argument('<files...>', 'files or folders')
    .addHelpText('after', `${FILES_HELP}\n\nExample:\n  ops-loop policy validate policies/default`)
    .action(async (names: string[], _options: object, command: Command) => {
      const files = await readPolicies(names)
      answerFor(command.optsWithGlobals<GlobalOptions>())(
        { valid: true, policies: files.map(({ key, path }) => ({ key, path })) },
        () => files.map(({ key, path }) => `${path}: a valid ${key}`).join('\n'),
      )
    })
}
