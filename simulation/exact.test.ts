/** A simulation of the policies that were in force tells what happened, row for row. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectEngine, type Engine } from '../engine/index.js'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { compareOutcomes } from './compare.js'
import { openSimulatedDatabase, type SimulatedDatabase } from './database.js'
import { outcomeSchema, recordedOutcome } from './outcome.js'
import { type Recording, recordingOf } from './recording.js'
import { replay } from './replay.js'
import { liveThroughDay } from './testing.js'
import { DAY, microsOf, textOf } from './time.js'

const START = '2031-03-04T00:00:00Z'
const database = await freshDatabase()
let engine: Engine
let recording: Recording
let reported = 0

beforeAll(async () => {
  engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })

  reported = await liveThroughDay({ sql: database.sql, engine, start: START, beats: 96, eventsPerBeat: 105 })

  const from = microsOf(START)
  recording = await recordingOf(engine, { start: from, from, to: from + DAY })
}, 240_000)
afterAll(() => engine.close())

/** Every row that policies have a say in, as text; `<…>` stands for the recorded id of a row. */
const FACTS = {
  verdicts: `select v.event_id, e.type, v.policy_version, v.decisions, v.error
    from ops.event_verdicts v join public.ops_agent_events e on e.id = v.event_id order by 1`,
  events: `select id, type, data, dedupe_key is not null as keyed, <root_event_id>, depth, processed_at is not null as processed, created_at
    from public.ops_agent_events where type not like 'heartbeat:%' order by 1`,
  reactions: `select event_id, pattern_id, status, (payload #- '{result,proposal_id}') #- '{result,mission_id}' as payload
    from public.ops_agent_reactions order by 1, 2`,
  proposals: `select <p.id>, source, status, code, case when status <> 'expired' then reason end as reason, verdict, digest, dedupe_key,
      proposed_by, pattern_id, <root_event_id>, depth, cap_day, reserved_usd, decided_by, policy_snapshot
    from public.ops_mission_proposals p order by 1`,
  missions: `select <m.id>, case when source = 'canary' and status in ('approved', 'running') then 'open' else status::text end as status, title, dedupe_key, <root_event_id>, depth, steps_total, steps_open, steps_failed, steps_cancelled, round
    from public.ops_missions m order by 1`,
  steps: `select <s.id>, key, kind, status, params, failure_count, attempt, max_retries, last_error, end_reason, cost_usd
    from public.ops_mission_steps s where status <> 'running' and not (status = 'queued' and attempt = 0) order by 1`,
  shadows: `select event_id, pattern_id, payload from ops.shadow_reactions order by 1, 2`,
  cooldowns: `select pattern_id, key, shadow, fired_at, event_id from ops.cooldowns order by 1, 2, 3`,
  thresholds: `select pattern_id, key, shadow, at, event_id from ops.threshold_hits order by 1, 2, 3, 4, 5`,
  keys: `select dedupe_key, live from ops.live_keys order by 1`,
  counters: `select day, scope, name, used, used_usd from ops.cap_counters where used <> 0 or used_usd <> 0 order by 1, 2, 3`,
  roots: `select <root_event_id>, missions from ops.root_missions order by 1`,
}

const query = (facts: string, name: (column: string) => string) =>
  `select to_json(f)::text as row from (${facts.replace(/<((?:[pms]\.)?(\w+))>/g, (_, column: string, as: string) => `${name(column)} as ${as}`)}) f`

async function simulatedRows(db: SimulatedDatabase, facts: string): Promise<string[]> {
  return (
    await db.sim(`rows`, ['text', query(facts, (column) => `coalesce(sim.recorded(${column}), ${column})`)])
  ).map(String)
}

async function recordedRows(facts: string): Promise<string[]> {
  const rows = await database.sql.unsafe<{ row: string }[]>(query(facts, (column) => column))
  return rows.map(({ row }) => row)
}

describe('a simulation of the policies that were in force', () => {
  let db: SimulatedDatabase

  beforeAll(async () => {
    db = await openSimulatedDatabase()
    await db.define(`
      create function sim.rows(p_query text) returns setof text language plpgsql as $$
      begin return query execute p_query; end $$`)

    await replay(db, recording, {})
  }, 240_000)
  afterAll(() => db.close())

  test('is made of a day with everything in it', async () => {
    expect(reported).toBeGreaterThanOrEqual(10_000)
    const { was } = compareOutcomes(recordedOutcome(recording), { verdicts: [], proposals: [] })
    expect(Object.keys(was.held_back).sort()).toEqual([
      'cooldown',
      'dedupe',
      'depth',
      'error',
      'probability',
      'threshold',
    ])
    expect(was).toMatchObject({ events: expect.any(Number), shadow_reactions: expect.any(Number) })
  })

  test.each(Object.entries(FACTS))('has the same %s', async (_name, facts) => {
    const recorded = await recordedRows(facts)
    const simulated = await simulatedRows(db, facts)
    const [before, after] = [new Set(recorded), new Set(simulated)]
    const missing = recorded.filter((row) => !after.has(row))
    const added = simulated.filter((row) => !before.has(row))
    expect({ missing: missing.slice(0, 3), added: added.slice(0, 3), of: recorded.length }).toEqual({
      missing: [],
      added: [],
      of: simulated.length,
    })
  })

  test('therefore finds no difference', async () => {
    const [answer] = await db.sim(
      'outcome',
      ['timestamptz', textOf(recording.from)],
      ['timestamptz', textOf(recording.to)],
    )
    const comparison = compareOutcomes(recordedOutcome(recording), outcomeSchema.parse(answer))
    expect(comparison).toMatchObject({ same: true, differences: [], patterns: [] })
    expect(comparison.would_be).toEqual(comparison.was)
  })
})
