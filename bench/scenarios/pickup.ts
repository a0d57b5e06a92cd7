import { percentile } from '../harness/numbers.js'
import { inTurn } from '../harness/rounds.js'
import {
  type ContenderName,
  type Context,
  contenderNames,
  type Scenario,
  type Subject,
  type Table,
} from '../harness/types.js'

const PAUSE_MS = 60

/** How soon a worker that sleeps starts a job that has just been committed. */
export const pickup: Scenario = {
  name: 'pickup',
  question: 'how long after its commit does a job start in a worker that was asleep?',
  async run(context) {
    const { halves, tails } = await pickups(context, contenderNames)
    return [
      table('Pickup after commit, median', halves, 1),
      table('Pickup after commit, 99th percentile', tails, 3),
    ]
  },
}

/** The median and the 99th percentile of each round, in milliseconds. */
export async function pickups(
  context: Context,
  names: readonly ContenderName[],
): Promise<{ halves: Subject[]; tails: Subject[] }> {
  const samples = context.quick ? 20 : 200
  const slow = new Map<string, number[]>()
  const halves = await inTurn(context, names, async (contender) => {
    await contender.call('watch', {})
    await contender.call('pickup', { samples: 10, pauseMs: PAUSE_MS })
    const waits = await contender.call('pickup', { samples, pauseMs: PAUSE_MS })
    slow.set(contender.name, [...(slow.get(contender.name) ?? []), percentile(waits, 99)])
    return percentile(waits, 50)
  })
  return { halves, tails: halves.map((subject) => ({ ...subject, rounds: slow.get(subject.name) ?? [] })) }
}

function table(metric: string, subjects: Table['subjects'], most: number): Table {
  const ours = percentile(subjects[0]?.rounds ?? [], 50)
  const goal = { goal: `at most ${most} ms`, measured: `${ours.toFixed(2)} ms`, reached: ours <= most }
  return { metric, unit: 'ms', better: 'lower', subjects, goals: [goal] }
}
