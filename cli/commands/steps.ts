import { Command } from 'commander'
import { idArgument, NEWEST, wholeId } from '../ids.js'
import { AS_OPTION, actorOf, withEngine } from '../session.js'
import { count } from '../text.js'

const EXAMPLES = `
Examples:
  ops-loop steps retry 3f2a91             a dead step again, and its mission with it
  ops-loop steps cancel 3f2a91 --reason "no longer needed"`

export function stepsCommand(): Command {
  const steps = new Command('steps').description('units of work of a mission').addHelpText('after', EXAMPLES)

  steps
    .command('retry')
    .description('put a dead step to work again, with its mission and the steps cancelled with it')
    .argument('<id>', 'of the step, or its beginning or end', idArgument)
    .option(...AS_OPTION)
    .action((part: string, options: { as?: string }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const id = await wholeId(part, 'step', () => engine.listSteps({}, NEWEST))
        const outcome = await engine.retryStep(id, { actor: actorOf(options) })
        answer(outcome, () => {
          const others =
            outcome.reopened_steps > 0 ? `, with ${count(outcome.reopened_steps, 'step')} more` : ''
          return `step ${id} is ${outcome.status} again${others}; its mission is ${outcome.mission_status}`
        })
      }),
    )

  steps
    .command('cancel')
    .description('cancel a step and all that depend on it')
    .argument('<id>', 'of the step, or its beginning or end', idArgument)
    .option(...AS_OPTION)
    .option('--reason <text>', 'kept with the step')
    .action((part: string, options: { as?: string; reason?: string }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const id = await wholeId(part, 'step', () => engine.listSteps({}, NEWEST))
        const { reason } = options
        const outcome = await engine.cancelStep(id, { actor: actorOf(options), reason })
        answer(outcome, () => `step ${id} is ${outcome.status}; its mission is ${outcome.mission_status}`)
      }),
    )
  return steps
}
