import { Command } from 'commander'
import { withEngine } from '../../session.js'
import { compare, describeComparison } from './changes.js'
import { FILES_HELP, readPolicies } from './files.js'

export function diffCommand(): Command {
  return new Command('diff')
    .description('what would change if policy files were applied')
    .argument('<files...>', 'files or folders')
    .addHelpText('after', `${FILES_HELP}\n\nExample:\n  ops-loop policy diff reaction_matrix.json`)
    .action(async (names: string[], _options: object, command: Command) => {
      const files = await readPolicies(names)
      await withEngine(command, async (engine, answer) => {
        const compared = await compare(engine, files)
        answer(compared, () => compared.map(describeComparison).join('\n'))
      })
    })
}
