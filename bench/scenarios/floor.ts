import { inTurn } from '../harness/rounds.js'
import { bareNames, type ContenderName, type Scenario } from '../harness/types.js'
import { drained } from './drain.js'
import { pickups } from './pickup.js'

const JOBS = 100_000
const names: ContenderName[] = ['ops-loop', 'graphile-worker, best', ...bareNames]

/** What can be had on this machine at all by whoever keeps a step, its mission, its run and its event in rows of their own. */
export const floor: Scenario = {
  name: 'floor',
  question: 'how fast are the rows that a step writes by themselves, and what do two foreign keys add?',
  async run(context) {
    const drains = await inTurn(context, names, (contender) => drained(context, contender, 'single', JOBS))
    const { halves, tails } = await pickups(context, names)
    return [
      { metric: 'Drain of one-step missions', unit: 'jobs/s', better: 'higher', subjects: drains },
      { metric: 'Pickup after commit, median', unit: 'ms', better: 'lower', subjects: halves },
      { metric: 'Pickup after commit, 99th percentile', unit: 'ms', better: 'lower', subjects: tails },
    ]
  },
}
