import { apiConfigFromEnv } from '../../api/config.js'
import { beat } from '../../api/heartbeat.js'
import { createLog } from '../../api/log.js'
import { ReactionTrigger } from '../../api/trigger.js'
import { connectEngine, type Engine } from '../../engine/index.js'
import { median } from '../harness/numbers.js'
import { oursInTurn } from '../harness/rounds.js'
import type { Context, Database, Goal, Scenario, Subject, Table } from '../harness/types.js'

const MATRICES = [10, 100, 1000]
const BATCH = 1000
const config = {
  ...apiConfigFromEnv({ OPS_API_KEY: 'x'.repeat(40) }),
  eventBatchSize: BATCH,
  reactionBatchSize: BATCH,
  beatBudgetMs: 600_000,
}
const log = createLog('silent')
const SETTLE_GOAL = 20_000
const MISSIONS_GOAL = 5_000

/** The way of events through the matrix, as a heartbeat goes it. */
export const events: Scenario = {
  name: 'events',
  question: 'how many events a second are matched and settled, and become missions?',
  async run(context) {
    const settled: Subject[] = []
    const missions: Subject[] = []
    const memory: Subject[] = []
    for (const patterns of MATRICES) {
      const name = `${patterns.toLocaleString('en')} patterns`
      const ways: Way[] = []
      settled.push(
        await oursInTurn(context, name, async (database) => {
          const way = await walk(context, database, patterns)
          ways.push(way)
          return way.settled
        }),
      )
      missions.push({ name, rounds: ways.map((way) => way.missions) })
      memory.push({ name, rounds: ways.map((way) => way.memory) })
    }
    const at100 = (subjects: Subject[]) => median(subjects[1]?.rounds ?? [])
    const table = (metric: string, unit: string, subjects: Subject[], goals: Goal[] = []): Table => ({
      metric,
      unit,
      better: unit === 'MB' ? 'lower' : 'higher',
      subjects,
      goals,
    })
    return [
      table('Matched and settled into reactions', 'events/s', settled, [goal(SETTLE_GOAL, at100(settled))]),
      table('All the way into missions', 'events/s', missions, [goal(MISSIONS_GOAL, at100(missions))]),
      table('Memory of the process that matches', 'MB', memory),
    ]
  },
}

function goal(wanted: number, found: number): Goal {
  return {
    goal: `at least ${wanted.toLocaleString('en')} events/s with 100 patterns`,
    measured: Math.round(found).toLocaleString('en'),
    reached: found >= wanted,
  }
}

interface Way {
  settled: number
  missions: number
  memory: number
}

async function walk(context: Context, database: Database, patterns: number): Promise<Way> {
  const count = context.quick ? 1000 : 10_000
  const engine = connectEngine({ databaseUrl: database.url, maxConnections: 4 })
  try {
    await engine.applyPolicies([{ key: 'reaction_matrix', value: matrix(patterns) }], 'bench')
    await report(engine, 'warm-up', BATCH, patterns)
    await settle(engine)
    await start(engine)
    await report(engine, 'measured', count, patterns)
    const settling = await seconds(async () => {
      const queued = await settle(engine)
      if (queued !== count) throw new Error(`${queued} reactions to ${count} events`)
    })
    const memory = process.memoryUsage().rss / 1e6
    await start(engine)
    await report(engine, 'whole', count, patterns)
    const whole = await seconds(async () => {
      const { ok, drained, reactionResult } = await beat({ engine, config, log })
      if (!ok || !drained || reactionResult?.created !== count) throw new Error('the beat left something')
    })
    return { settled: count / settling, missions: count / whole, memory }
  } finally {
    await engine.close()
  }
}

/**
 * Two patterns for each type of event, so that an event meets two however many there are: one with a condition that every second
 * event meets, one with a cooldown that every second event finds running. On average an event gets one reaction.
 */
function matrix(patterns: number): Record<string, unknown> {
  const template = {
    title: 'answer {{event.data.n}}',
    risk_level: 'low',
    steps: [{ kind: 'noop', params: { n: '{{event.data.n}}' } }],
  }
  return {
    patterns: Array.from({ length: patterns }, (_, n) => ({
      id: `pattern-${n}`,
      event_type: `bench:type-${Math.floor(n / 2)}`,
      ...(n % 2 === 0
        ? { when: 'event.data.even && event.data.label.startsWith("event")' }
        : { cooldown_minutes: 10, cooldown_key: '{{event.data.pair}}' }),
      template,
    })),
  }
}

async function report(engine: Engine, phase: string, count: number, patterns: number): Promise<void> {
  const types = patterns / 2
  for (let from = 0; from < count; from += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => {
      const n = from + i
      const turn = Math.floor(n / types)
      const data = { n, even: turn % 2 === 0, pair: `${phase}-${Math.floor(turn / 2)}`, label: `event ${n}` }
      return { type: `bench:type-${n % types}`, data }
    })
    await engine.emitEvents(batch)
  }
}

/** Answers how many reactions were queued. */
async function settle(engine: Engine): Promise<number> {
  const trigger = new ReactionTrigger(engine, BATCH)
  for (let queued = 0; ; ) {
    const batch = await trigger.batch()
    if (batch.found === 0) return queued
    queued += batch.queued
  }
}

async function start(engine: Engine): Promise<void> {
  while ((await engine.runReactions(BATCH)).length > 0);
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}
