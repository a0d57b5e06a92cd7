import postgres from 'postgres'
import { connectEngine } from '../../engine/index.js'
import { median } from '../harness/numbers.js'
import { inTurn, oursInTurn } from '../harness/rounds.js'
import type { Context, Database, Scenario, Subject, Table } from '../harness/types.js'

const CONNECTIONS = 16
const BATCH = 1000
const BULK_GOAL = 20_000

/** How fast proposals come in: one commit each, and many to a call. */
export const gate: Scenario = {
  name: 'gate',
  question: 'how many proposals a second pass the gate, with caps on?',
  async run(context) {
    return [await oneAtATime(context), await inBulk(context)]
  },
}

async function oneAtATime(context: Context): Promise<Table> {
  const jobs = context.quick ? 300 : 4000
  const subjects = await inTurn(context, ['ops-loop', 'graphile-worker'], async (contender) => {
    await contender.call('add', { jobs: jobs / 10, connections: CONNECTIONS })
    const { ms } = await contender.call('add', { jobs, connections: CONNECTIONS })
    return jobs / (ms / 1000)
  })
  const [ours = Number.NaN, theirs = Number.NaN] = subjects.map(({ rounds }) => median(rounds))
  const goal = {
    goal: "no slower than graphile-worker's addJob",
    measured: `${(ours / theirs).toFixed(2)} ×`,
    reached: ours >= theirs,
  }
  return {
    metric: `One at a time over ${CONNECTIONS} connections`,
    unit: 'jobs/s',
    better: 'higher',
    subjects,
    goals: Number.isNaN(ours / theirs) ? [] : [goal],
  }
}

async function inBulk(context: Context): Promise<Table> {
  const subjects: Subject[] = []
  for (const connections of [1, 2, 4])
    subjects.push(
      await oursInTurn(context, `ops_create_proposals, ${connections} × ${BATCH}`, (database) =>
        bulk(context, database, connections),
      ),
    )
  const best = Math.max(...subjects.map(({ rounds }) => median(rounds)))
  const goal = {
    goal: `at least ${BULK_GOAL.toLocaleString('en')} proposals/s`,
    measured: `${Math.round(best).toLocaleString('en')} at best`,
    reached: best >= BULK_GOAL,
  }
  return { metric: 'In bulk', unit: 'proposals/s', better: 'higher', subjects, goals: [goal] }
}

async function bulk(context: Context, database: Database, connections: number): Promise<number> {
  const sql = postgres(database.url, { max: 1, onnotice: () => undefined })
  await sql`
    update ops_policy set value = ${sql.json({
      daily_limit: 1_000_000,
      daily_budget_usd: 1_000_000,
      per_source: { bench: 1_000_000 },
      per_step_kind: { noop: 1_000_000 },
    })} where key = 'proposal_caps'`
  await sql.end()
  const engine = connectEngine({ databaseUrl: database.url, maxConnections: connections })
  const proposals = Array.from({ length: BATCH }, (_, n) => ({
    source: 'bench',
    template: {
      title: `proposal ${n}`,
      risk_level: 'low' as const,
      steps: [{ kind: 'noop', params: { n } }],
    },
  }))
  const run = async (calls: number) => {
    let left = calls
    const one = async () => {
      while (left-- > 0) await engine.createProposals(proposals)
    }
    await Promise.all(Array.from({ length: connections }, one))
  }
  await run(connections)
  const calls = context.quick ? 4 : 40
  const began = performance.now()
  await run(calls)
  const seconds = (performance.now() - began) / 1000
  await engine.close()
  return (calls * BATCH) / seconds
}
