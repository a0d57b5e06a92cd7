import { Command } from 'commander'
import { OpsError } from '../../../engine/index.js'
import { AS_OPTION, actorOf, withEngine } from '../../session.js'

export function deleteCommand(): Command {
  return new Command('delete')
    .description('take a policy out of force; what it said falls back to its default')
    .argument('<policy>', 'such as proposal_caps')
    .option(...AS_OPTION)
    .addHelpText(
      'after',
      '\nIts history stays, and policy rollback brings it back.\n\nExample:\n  ops-loop policy delete services',
    )
    .action((key: string, options: { as?: string }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const [deleted] = await engine.applyPolicies([{ key, value: null }], actorOf(options))
        if (deleted?.outcome !== 'deleted') {
          throw new OpsError('OPS_013', `There is no policy ${key}.`, { details: { path: 'policy' } })
        }
        const { previous_version } = deleted
        answer(
          deleted,
          () => `${key} is gone: ops-loop policy rollback ${key} ${previous_version} brings it back`,
        )
      }),
    )
}
