import { Command } from 'commander'
import { applyCommand } from './apply.js'
import { deleteCommand } from './delete.js'
import { diffCommand } from './diff.js'
import { exportCommand } from './export.js'
import { historyCommand } from './history.js'
import { rollbackCommand } from './rollback.js'
import { simulateCommand } from './simulate.js'
import { testCommand } from './test.js'
import { validateCommand } from './validate.js'

const HELP = `
From an idea to a rule in force:
  ops-loop policy validate reaction_matrix.json             is it a policy at all?
  ops-loop policy diff reaction_matrix.json                 what would change?
  ops-loop policy test event.json reaction_matrix.json      what would this event do?
  ops-loop policy simulate reaction_matrix.json --since 7d  what would last week have been like?
  ops-loop policy apply reaction_matrix.json                put it in force
  ops-loop policy history reaction_matrix                   who changed what
  ops-loop policy rollback reaction_matrix 3                as it was

Every field: docs/policies.md.`

export function policyCommand(): Command {
  const policy = new Command('policy')
    .description('the rules of the loop: try them, apply them, look back')
    .addHelpText('after', HELP)
  const commands = [
    validateCommand(),
    diffCommand(),
    testCommand(),
    simulateCommand(),
    applyCommand(),
    historyCommand(),
    rollbackCommand(),
    deleteCommand(),
    exportCommand(),
  ]
  for (const command of commands) policy.addCommand(command)
  return policy
}
