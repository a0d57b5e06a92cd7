import { median } from '../harness/numbers.js'
import { inTurn } from '../harness/rounds.js'
import { analyze } from '../harness/statistics.js'
import {
  type Contender,
  type Context,
  contenderNames,
  type Goal,
  type PeerName,
  type Scenario,
  type Shape,
  type Subject,
  type Table,
} from '../harness/types.js'

/** Jobs that each contender drains: enough for some seconds of work, as fast as it is. */
const jobs: Record<PeerName, number> = {
  'ops-loop': 100_000,
  'graphile-worker, best': 100_000,
  'graphile-worker': 20_000,
  'pg-boss, best': 100_000,
  dbos: 5_000,
  openworkflow: 3_000,
  absurd: 3_000,
  pgflow: 3_000,
}
/** Those whose drain takes less time than Postgres takes to notice what has been stored. */
const fastest: PeerName[] = ['ops-loop', 'graphile-worker, best', 'pg-boss, best']
const durableWorkflows = ['dbos', 'openworkflow', 'absurd', 'pgflow']

/** How fast work that is there gets done. */
export const drain: Scenario = {
  name: 'drain',
  question: 'how many jobs a second does one worker process take, run and record?',
  async run(context) {
    const single: Table = {
      metric: 'Drain of one-step missions (jobs that do nothing)',
      unit: 'jobs/s',
      better: 'higher',
      subjects: await inTurn(context, contenderNames, (contender, name) =>
        drained(context, contender, 'single', jobs[name]),
      ),
    }
    const ours = median(single.subjects[0]?.rounds ?? [])
    const burst: Table = {
      metric: 'The same right after they were stored, before Postgres has counted them',
      unit: 'jobs/s',
      better: 'higher',
      subjects: await inTurn(context, fastest, (contender, name) =>
        drained(context, contender, 'single', jobs[name], { counted: false }),
      ),
    }
    const tables: Table[] = [{ ...single, goals: goals(ours, single.subjects) }, burst]
    for (const [shape, metric] of [
      ['chain', 'Drain of three-step missions, in order'],
      ['fan', 'Drain of missions of ten steps at once'],
    ] as const) {
      const subjects = await inTurn(context, ['ops-loop'], (contender) =>
        drained(context, contender, shape, 60_000),
      )
      const speed = median(subjects[0]?.rounds ?? [])
      const goal = {
        goal: 'no worse than half the speed of one-step missions',
        measured: `${(speed / ours).toFixed(2)} of it`,
        reached: speed >= ours / 2,
      }
      tables.push({ metric, unit: 'steps/s', better: 'higher', subjects, goals: [goal] })
    }
    return tables
  },
}

/** Steps per second of one drain, after a small one that warms the process up. Without `counted` the planner knows of that one only. */
export async function drained(
  context: Context,
  contender: Contender,
  shape: Shape,
  wanted: number,
  { counted = true } = {},
): Promise<number> {
  const perMission = { single: 1, chain: 3, fan: 10 }[shape]
  const missions = Math.round((context.quick ? wanted / 20 : wanted) / perMission)
  const warmUp = Math.ceil(missions / 20)
  await contender.call('fill', { missions: warmUp, shape })
  await contender.call('drain', { steps: warmUp * perMission })
  await contender.call('fill', { missions, shape })
  if (counted) await analyze(contender.database)
  const { ms } = await contender.call('drain', { steps: missions * perMission })
  return (missions * perMission) / (ms / 1000)
}

function goals(ours: number, subjects: readonly Subject[]): Goal[] {
  if (Number.isNaN(ours)) return []
  return subjects
    .slice(1)
    .filter(({ missing }) => missing === undefined)
    .flatMap(({ name, rounds }) => {
      const wanted = name === 'graphile-worker, best' ? 1 : durableWorkflows.includes(name) ? 10 : undefined
      if (wanted === undefined) return []
      const found = ours / median(rounds)
      return {
        goal: `at least ${wanted} × ${name}`,
        measured: `${found.toFixed(2)} ×`,
        reached: found >= wanted,
      }
    })
}
