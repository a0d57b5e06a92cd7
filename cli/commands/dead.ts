import { Command } from 'commander'
import { shortId } from '../../embedded/shortId.js'
import type { Engine, RetriedDeadStep, StepRecord } from '../../engine/index.js'
import type { GlobalOptions } from '../connection.js'
import { wholeNumber } from '../numbers.js'
import { progress } from '../progress.js'
import { AS_OPTION, actorOf, withEngine } from '../session.js'
import { ago, count, short, table } from '../text.js'

const EXAMPLES = `
Examples:
  ops-loop dead list
  ops-loop dead retry --kind http --limit 20
  ops-loop dead retry --kind http --all
One of them alone: ops-loop steps retry <id>`

interface RetryOptions {
  kind?: string
  limit: number
  all?: boolean
  as?: string
}

export function deadCommand(): Command {
  const dead = new Command('dead')
    .description('dead letters: steps that are out of attempts')
    .addHelpText('after', EXAMPLES)

  dead
    .command('list')
    .description('the newest dead letters')
    .option('--kind <kind>', 'only of this kind')
    .option('--limit <n>', 'at most this many', wholeNumber(1, 200), 20)
    .action(({ kind, limit }: { kind?: string; limit: number }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const rows = await engine.listSteps({ status: 'failed', ...(kind && { kind }) }, limit)
        answer(rows, () =>
          rows.length === 0
            ? 'No dead letters'
            : table(['step', 'key', 'kind', 'failures', 'mission', 'made', 'last error'], rows.map(cells)),
        )
      }),
    )

  dead
    .command('retry')
    .description('put dead letters to work again, oldest first')
    .option('--kind <kind>', 'only of this kind')
    .option('--limit <n>', 'at most this many', wholeNumber(1, 1000), 100)
    .option('--all', 'all of them, in batches of --limit')
    .option(...AS_OPTION)
    .action((options: RetryOptions, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const retried = await retryDead(engine, options, progress(command.optsWithGlobals<GlobalOptions>()))
        answer(retried, () => `${count(retried.length, 'step')} queued again`)
      }),
    )
  return dead
}

/** Batch by batch, each of them a transaction: interrupted, it has done what it said. */
async function retryDead(
  engine: Engine,
  options: RetryOptions,
  say: (line: string) => void,
): Promise<RetriedDeadStep[]> {
  const { kind, limit, all } = options
  const request = { kind, limit, actor: actorOf(options) }
  const retried = new Map<string, RetriedDeadStep>()
  for (;;) {
    const batch = await engine.retryDeadSteps(request)
    const news = batch.filter(({ step_id }) => !retried.has(step_id))
    for (const step of batch) retried.set(step.step_id, step)
    say(`${count(retried.size, 'step')} queued again …`)
    // Those that die again meanwhile are not tried for ever.
    if (!all || batch.length < limit || news.length === 0) break
  }
  return [...retried.values()]
}

function cells(step: StepRecord): string[] {
  const { id, key, kind, failure_count, mission_id, created_at, last_error } = step
  const error = short(last_error ?? '', 70)
  return [shortId(id), key, kind, String(failure_count), shortId(mission_id), ago(created_at), error]
}
