import { Command } from 'commander'
import { wholeNumber } from '../../numbers.js'
import { AS_OPTION, actorOf, withEngine } from '../../session.js'

export function rollbackCommand(): Command {
  return new Command('rollback')
    .description('put an earlier version of a policy in force again, as a new version')
    .argument('<policy>', 'such as proposal_caps')
    .argument('<version>', 'see policy history', wholeNumber(1, 2 ** 31 - 1))
    .option(...AS_OPTION)
    .addHelpText('after', '\nExample:\n  ops-loop policy rollback proposal_caps 3')
    .action((key: string, version: number, options: { as?: string }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const now = await engine.rollbackPolicy(key, version, actorOf(options))
        answer(
          { key, version: now, as_version: version },
          () => `${key} is as in version ${version} again: version ${now}`,
        )
      }),
    )
}
