import { Command } from 'commander'
import { OpsError, type StepRecord } from '../../engine/index.js'
import { formatJson } from '../../policies/index.js'
import { idArgument, stepPages, wholeId } from '../ids.js'
import { AS_OPTION, actorOf, withEngine } from '../session.js'
import { count, fields } from '../text.js'

const EXAMPLES = `
Examples:
  ops-loop steps show 3f2a91              what it is to do, and what came of it
  ops-loop steps retry 3f2a91             a dead step again, and its mission with it
  ops-loop steps cancel 3f2a91 --reason "no longer needed"`

export function stepsCommand(): Command {
  const steps = new Command('steps').description('units of work of a mission').addHelpText('after', EXAMPLES)

  steps
    .command('show')
    .description('a step with its params, its result and its last error')
    .argument('<id>', 'of the step, or its beginning or end', idArgument)
    .action((part: string, _options: object, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const id = await wholeId(part, 'step', stepPages(engine))
        const [step] = await engine.listSteps({ id }, 1)
        if (step === undefined) throw new OpsError('OPS_013', `There is no step ${id}.`)
        answer(step, () => describe(step))
      }),
    )

  steps
    .command('retry')
    .description('put a dead step to work again, with its mission and the steps cancelled with it')
    .argument('<id>', 'of the step, or its beginning or end', idArgument)
    .option(...AS_OPTION)
    .action((part: string, options: { as?: string }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const id = await wholeId(part, 'step', stepPages(engine))
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
        const id = await wholeId(part, 'step', stepPages(engine))
        const { reason } = options
        const outcome = await engine.cancelStep(id, { actor: actorOf(options), reason })
        answer(outcome, () => `step ${id} is ${outcome.status}; its mission is ${outcome.mission_status}`)
      }),
    )
  return steps
}

function describe(step: StepRecord): string {
  const json = (value: unknown) => (value === null ? undefined : formatJson(value).trimEnd())
  return fields({
    id: step.id,
    mission: step.mission_id,
    key: step.key,
    kind: step.kind,
    executor: step.executor,
    agent: step.agent,
    status: step.status,
    'depends on': step.depends_on.join(', '),
    attempts: step.attempt,
    failures: `${step.failure_count}${step.max_retries === null ? '' : ` of ${step.max_retries}`}`,
    'runs at': step.status === 'queued' ? step.run_at : undefined,
    started: step.reserved_at,
    'leased until': step.lease_expires_at,
    ended: step.completed_at,
    cost: step.cost_usd === null ? undefined : `$${step.cost_usd}`,
    reason: step.end_reason,
    error: step.last_error,
    params: json(step.params),
    result: json(step.result),
  })
}
