/** Why every row exists: the chain both ways, what each pattern decided, and depths that nobody can reset. */

import { beforeEach, describe, expect, test } from 'vitest'
import { openSession, whileBlocked } from './contention.js'
import { settleItems } from './loop.js'
import { only, propose, proposeAll, refusal } from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import { claimOne, complete, fail, lease, type Outcome, registerWorker, startMission } from './work.js'
import { brokenInvariants, type Clock, setPolicy, stopClock } from './world.js'

const db: SharedDatabase = await openSharedDatabase()
const { sql } = db
let clock: Clock
let worker: string

beforeEach(async () => {
  await db.reset()
  clock = await stopClock(sql)
  worker = await registerWorker(sql)
  return async () => expect(await brokenInvariants(sql)).toEqual([])
})

const template = { title: 'a mission', risk_level: 'low', steps: [{ kind: 'noop' }] }

interface Decision {
  pattern_id: string
  decision?: string
  mode?: string
  detail?: unknown
  cooldown?: { minutes: number; key?: string }
  threshold?: { count: number; within_minutes: number; key?: string }
  dedupe_key?: string
  template?: unknown
}

/** Reports an event and answers its id. */
async function emit(
  event: { type: string; data?: unknown; [field: string]: unknown } = { type: 'app:signup' },
) {
  const rows = await sql<{ event_id: string }[]>`
    select event_id from ops_emit_events(${JSON.stringify([event])}::text::jsonb)`
  return only(rows).event_id
}

/** Settles an event with these decisions; matched, by active patterns, where they do not say otherwise. */
async function settle(
  eventId: string,
  decisions: Decision[],
  rest: { error?: string; version?: number } = {},
) {
  // A version of the policy that never was, so that no pattern but these has a say.
  const { version = 0, ...fields } = rest
  const whole = decisions.map((d) => ({ decision: 'matched', mode: 'active', template, ...d }))
  return settleItems(sql, [{ event_id: eventId, decisions: whole, ...fields }], version)
}

interface Ran {
  reaction_id: string
  status: string
  proposal_id: string | null
  mission_id: string | null
  code: string
}
const react = (limit = 100, connection = sql) => connection<Ran[]>`select * from ops_run_reactions(${limit})`

/** From an event to the mission that answers it. */
async function answer(eventId: string, patternId = 'plain') {
  await settle(eventId, [{ pattern_id: patternId }])
  const ran = only(await react())
  if (!ran.proposal_id || !ran.mission_id) throw new Error(`no mission: ${ran.code}`)
  return { reaction: ran.reaction_id, proposal: ran.proposal_id, mission: ran.mission_id }
}

/** Claims and completes the one step there is. The run's id is its token. */
async function work(events: Outcome['events'] = []) {
  const claimed = await claimOne(sql, worker)
  await complete(sql, [{ ...lease(claimed), events }])
  return { step: claimed.step_id, run: claimed.token }
}

interface Traced {
  position: number
  entity: string
  id: string
  parent_id: string | null
  status: string
  details: Record<string, unknown>
}
const trace = (id: string) => sql<Traced[]>`select * from ops_trace(${id})`

const eventRow = async (id: string) =>
  only(
    await sql<
      { depth: number; root_event_id: string | null }[]
    >`select depth, root_event_id from ops_agent_events where id = ${id}`,
  )
const eventOf = async (type: string) =>
  only(
    await sql<
      { id: string }[]
    >`select id from ops_agent_events where type = ${type} order by id desc limit 1`,
  ).id

/** Two generations: an event, all that came of it, and all that came of what its executor emitted. */
async function twoGenerations() {
  const event = await emit()
  const first = { ...(await answer(event)), ...(await work([{ type: 'work:done' }])) }
  const ownEvent = await eventOf('work:done')
  const second = { ...(await answer(ownEvent, 'follow-up')), ...(await work()) }
  return { event, first, ownEvent, second }
}

describe('ops_trace', () => {
  test('tells the same whole chain, parents first, from every kind of id over two generations', async () => {
    const { event, first, ownEvent, second } = await twoGenerations()
    const whole = await trace(event)
    const parents = Object.fromEntries(whole.map((row) => [row.id, [row.entity, row.parent_id]]))
    expect(parents).toMatchObject({
      [event]: ['event', null],
      [first.reaction]: ['reaction', event],
      [first.proposal]: ['proposal', first.reaction],
      [first.mission]: ['mission', first.proposal],
      [first.step]: ['step', first.mission],
      [first.run]: ['run', first.step],
      [ownEvent]: ['event', first.run],
      [second.reaction]: ['reaction', ownEvent],
      [second.proposal]: ['proposal', second.reaction],
      [second.mission]: ['mission', second.proposal],
      [second.step]: ['step', second.mission],
      [second.run]: ['run', second.step],
    })
    // Beside these only the roll-up events of the two missions.
    expect(whole).toHaveLength(14)
    expect(whole.filter((row) => row.entity === 'event').map((row) => row.parent_id)).toEqual(
      expect.arrayContaining([null, first.run, first.mission, second.mission]),
    )
    expect(whole.map((row) => row.position)).toEqual(whole.map((_, i) => i + 1))
    for (const row of whole) {
      const parent = whole.find((other) => other.id === row.parent_id)
      if (row.parent_id !== null)
        expect(parent?.position, `parent of ${row.entity}`).toBeLessThan(row.position)
      expect(await trace(row.id), `from ${row.entity}`).toEqual(whole)
    }
  })

  test('does not mix chains', async () => {
    const one = await twoGenerations()
    const other = await twoGenerations()
    const ids = (await trace(one.event)).map((row) => row.id)
    for (const row of await trace(other.second.run)) expect(ids).not.toContain(row.id)
  })

  test('of a proposal that came without an event begins with it', async () => {
    const mission = await startMission(sql, [{}])
    const { run } = await work()
    expect((await trace(run)).map((row) => row.entity)).toEqual(
      ['proposal', 'mission', 'event', 'step', 'run'].sort(byChain),
    )
    expect((await trace(mission.id))[0]).toMatchObject({
      entity: 'proposal',
      id: mission.proposalId,
      parent_id: null,
    })
  })

  test('of a held proposal tells the event that asks for a decision', async () => {
    await setPolicy(sql, 'auto_approve', { enabled: false })
    const { proposal_id } = await propose(sql)
    const asked = await eventOf('proposal:pending')
    expect((await trace(proposal_id)).map((row) => row.id)).toEqual([proposal_id, asked])
    expect(await trace(asked)).toEqual(await trace(proposal_id))
  })

  test('holds every attempt of a step and the report of its death', async () => {
    const mission = await startMission(sql, [{ key: 'a' }])
    const firstTry = await claimOne(sql, worker)
    await fail(sql, [{ ...lease(firstTry), error: 'busy', retry_after_seconds: 0 }])
    const secondTry = await claimOne(sql, worker)
    await fail(sql, [{ ...lease(secondTry), error: 'gone', permanent: true }])
    const rows = await trace(mission.id)
    expect(rows.filter((row) => row.entity === 'run').map((row) => row.id)).toEqual([
      firstTry.token,
      secondTry.token,
    ])
    const death = rows.find((row) => row.id !== mission.id && row.parent_id === secondTry.token)
    expect(death).toMatchObject({ entity: 'event', id: await eventOf('step:noop:failed') })
  })

  test('of an id that is nowhere is OPS_013', async () => {
    expect(await refusal(trace('00000000-0000-4000-8000-000000000000'))).toMatchObject({
      code: 'OP013',
      path: 'p_id',
    })
  })
})

function byChain(a: string, b: string): number {
  // Under a mission the steps stand before the roll-up event: they were made earlier.
  const order = ['proposal', 'mission', 'step', 'run', 'event']
  return order.indexOf(a) - order.indexOf(b)
}

describe('ops_why', () => {
  interface Why {
    pattern_id: string
    decision: string
    detail: Record<string, unknown>
    reaction_id: string | null
  }
  const why = (eventId: string) => sql<Why[]>`select * from ops_why(${eventId})`
  const decisionOf = async (eventId: string) => only(await why(eventId)).decision

  test('a match names its reaction', async () => {
    const event = await emit()
    const { reaction } = await answer(event)
    expect(await why(event)).toEqual([
      { pattern_id: 'plain', decision: 'matched', detail: { mode: 'active' }, reaction_id: reaction },
    ])
  })

  test.each([
    ['not_matched', { condition: 'when', expression: "event.data.plan == 'pro'" }],
    ['probability', { probability: 0.1, drawn: 0.7 }],
    ['error', { code: 'unresolved', path: 'template.title' }],
  ])('%s is told with what the matcher said of it', async (decision, detail) => {
    const event = await emit()
    await settle(event, [{ pattern_id: 'plain', decision, detail }])
    expect(await why(event)).toEqual([
      { pattern_id: 'plain', decision, detail: { mode: 'active', detail }, reaction_id: null },
    ])
    expect(await react()).toEqual([])
  })

  test('cooldown: until it is over, by its key', async () => {
    const pattern = { pattern_id: 'cooling', cooldown: { minutes: 30, key: 'repo-1' } }
    const decide = async (key: string) => {
      const event = await emit()
      await settle(event, [{ ...pattern, cooldown: { minutes: 30, key } }])
      return decisionOf(event)
    }
    expect(await decide('repo-1')).toBe('matched')
    await clock.advance(30 * 60 - 1)
    expect(await decide('repo-1')).toBe('cooldown')
    expect(await decide('repo-2')).toBe('matched')
    await clock.advance(1)
    expect(await decide('repo-1')).toBe('matched')
  })

  test('threshold: until there are enough matches within the time', async () => {
    const decisions: string[] = []
    for (const minutes of [0, 6, 6, 1, 1]) {
      await clock.advance(minutes * 60)
      const event = await emit()
      await settle(event, [{ pattern_id: 'counting', threshold: { count: 3, within_minutes: 10 } }])
      decisions.push(await decisionOf(event))
    }
    // The first is forgotten after ten minutes; firing begins the count anew.
    expect(decisions).toEqual(['threshold', 'threshold', 'threshold', 'matched', 'threshold'])
  })

  test('dedupe: while the key is held, by a queued reaction or by live work', async () => {
    const pattern = { pattern_id: 'deduped', dedupe_key: 'run-1' }
    const [first, second, third, fourth] = [await emit(), await emit(), await emit(), await emit()]
    await settle(first, [pattern])
    await settle(second, [pattern])
    await react()
    await settle(third, [pattern])
    await work()
    await settle(fourth, [pattern])
    const decisions = [first, second, third, fourth].map(decisionOf)
    expect(await Promise.all(decisions)).toEqual(['matched', 'dedupe', 'dedupe', 'matched'])
  })

  test('depth: when the event lies as deep as missions may', async () => {
    await setPolicy(sql, 'control', { max_depth: 1 })
    await answer(await emit())
    await work([{ type: 'work:done' }])
    const deep = await eventOf('work:done')
    await settle(deep, [{ pattern_id: 'follow-up' }])
    expect(await decisionOf(deep)).toBe('depth')
  })

  test('a shadow pattern says what it would have done and does nothing', async () => {
    const event = await emit()
    await settle(event, [{ pattern_id: 'rehearsal', mode: 'shadow' }])
    expect(await why(event)).toEqual([
      { pattern_id: 'rehearsal', decision: 'matched', detail: { mode: 'shadow' }, reaction_id: null },
    ])
    expect(await react()).toEqual([])
  })

  test('patterns that the type ruled out are listed as the policy in force had them', async () => {
    const pattern = (id: string, event_type: string) => ({ id, event_type, template })
    await setPolicy(sql, 'reaction_matrix', {
      patterns: [pattern('plain', 'app:*'), pattern('other', 'github:push')],
    })
    const [{ version } = { version: 0 }] = await sql<{ version: number }[]>`
      select version from ops_policy where key = 'reaction_matrix'`
    const event = await emit()
    await settle(event, [{ pattern_id: 'plain' }], { version })
    await setPolicy(sql, 'reaction_matrix', { patterns: [] })
    expect(await why(event)).toMatchObject([
      { pattern_id: 'plain', decision: 'matched' },
      {
        pattern_id: 'other',
        decision: 'not_matched',
        detail: { condition: 'event_type', wanted: 'github:push', got: 'app:signup' },
        reaction_id: null,
      },
    ])
  })

  test('an event that could not be matched at all tells the error', async () => {
    const event = await emit()
    await settle(event, [], { error: 'no matcher' })
    expect(await why(event)).toEqual([
      { pattern_id: '*', decision: 'error', detail: { message: 'no matcher' }, reaction_id: null },
    ])
  })

  test('an event that nobody has settled has no answer yet', async () => {
    expect(await why(await emit())).toEqual([])
  })

  test('an event settled twice keeps its first verdict', async () => {
    const event = await emit()
    await settle(event, [{ pattern_id: 'plain' }])
    expect(await settle(event, [{ pattern_id: 'late' }])).toMatchObject([{ outcome: 'skipped', queued: 0 }])
    expect(only(await why(event)).pattern_id).toBe('plain')
  })

  test('of an event that is nowhere is OPS_013', async () => {
    expect(await refusal(why('00000000-0000-4000-8000-000000000000'))).toMatchObject({ code: 'OP013' })
  })
})

describe('depth and root', () => {
  test('count missions from the event that began the chain', async () => {
    const { event, ownEvent } = await twoGenerations()
    expect(await eventRow(event)).toEqual({ depth: 0, root_event_id: null })
    expect(await eventRow(ownEvent)).toEqual({ depth: 1, root_event_id: event })
    const rollUps = await sql`
      select depth, root_event_id from ops_agent_events where type = 'mission:succeeded' order by depth`
    expect(rollUps).toEqual([
      { depth: 1, root_event_id: event },
      { depth: 2, root_event_id: event },
    ])
  })

  const forged = { depth: 0, root_event_id: null, run_id: null, mission_id: null }

  test('of an event from outside are not what the event says', async () => {
    const event = await emit({
      type: 'app:signup',
      data: { depth: 5 },
      depth: 5,
      root_event_id: '00000000-0000-4000-8000-000000000000',
    })
    expect(await eventRow(event)).toEqual({ depth: 0, root_event_id: null })
  })

  test("of an executor's event are not what the event says", async () => {
    const root = await emit()
    const { mission } = await answer(root)
    const { run } = await work([Object.assign({ type: 'work:done', data: forged }, forged)])
    const event = await eventOf('work:done')
    expect(await eventRow(event)).toEqual({ depth: 1, root_event_id: root })
    expect(only(await sql`select mission_id, run_id from ops_agent_events where id = ${event}`)).toEqual({
      mission_id: mission,
      run_id: run,
    })
  })

  test('of a proposal are not what its template or params say', async () => {
    const root = await emit({ type: 'app:signup', data: { depth: -9, root_event_id: 'none' } })
    await settle(root, [
      { pattern_id: 'plain', template: { ...template, steps: [{ kind: 'noop', params: { depth: 0 } }] } },
    ])
    await react()
    expect(only(await sql`select depth, root_event_id from ops_mission_proposals`)).toEqual({
      depth: 0,
      root_event_id: root,
    })
  })

  test.each(['mission:succeeded', 'step:noop:failed', 'proposal:pending', 'heartbeat:success'])(
    'cannot be forged by an event of the type %s',
    async (type) => {
      expect(await refusal(emit({ type }))).toMatchObject({ code: 'OP011' })
      await answer(await emit())
      expect(await refusal(work([{ type }]))).toMatchObject({ code: 'OP011' })
    },
  )

  test('go on under a mission that somebody proposed by hand', async () => {
    const { proposalId: root_event_id } = await startMission(sql, [{}])
    await work([{ type: 'work:done' }])
    const event = await eventOf('work:done')
    expect(await eventRow(event)).toEqual({ depth: 1, root_event_id })
    await answer(event)
    await work([{ type: 'work:again' }])
    expect(await eventRow(await eventOf('work:again'))).toEqual({ depth: 2, root_event_id })
    expect((await eventRow(await eventOf('mission:succeeded'))).root_event_id).toBe(root_event_id)
  })

  test('are those of the proposal for the events that ask for a decision on it and tell of its end', async () => {
    await setPolicy(sql, 'auto_approve', { enabled: false })
    const { proposal_id: root_event_id } = await propose(sql)
    await clock.advance(2 * 86_400)
    await sql`select ops_expire_proposals()`
    for (const type of ['proposal:pending', 'proposal:expired'])
      expect(await eventRow(await eventOf(type))).toEqual({ depth: 1, root_event_id })
  })

  test('stand on every event but those that began a chain', async () => {
    await twoGenerations()
    await startMission(sql, [{}])
    await fail(sql, [{ ...lease(await claimOne(sql, worker)), error: 'no', permanent: true }])
    const rootless = await sql<{ type: string }[]>`
      select type from ops_agent_events where root_event_id is null or depth = 0`
    expect(rootless.map(({ type }) => type)).toEqual(['app:signup'])
  })
})

describe('the loop guard', () => {
  const codes = (rows: Ran[]) => rows.map((row) => row.code)
  const several = (n: number) => Array.from({ length: n }, (_, i) => ({ pattern_id: `pattern-${i}` }))

  test('a loop that feeds itself ends at max_depth', async () => {
    await setPolicy(sql, 'control', { max_depth: 3 })
    let event = await emit()
    let missions = 0
    while (missions < 10) {
      await settle(event, [{ pattern_id: 'loop' }])
      const [ran] = await react()
      if (!ran) break
      missions += 1
      await work([{ type: 'work:done', data: { depth: 0 } }])
      event = await eventOf('work:done')
    }
    expect(missions).toBe(3)
  })

  test('depth is judged again at the gate: a reaction that was queued before the limit fell is rejected', async () => {
    await answer(await emit())
    await work([{ type: 'work:done' }])
    await settle(await eventOf('work:done'), [{ pattern_id: 'follow-up' }])
    await setPolicy(sql, 'control', { max_depth: 1 })
    expect(await react()).toMatchObject([{ code: 'depth', proposal_status: 'rejected', mission_id: null }])
  })

  test('one event sets off at most max_missions_per_root_event missions, over all its generations', async () => {
    await setPolicy(sql, 'control', { max_missions_per_root_event: 3 })
    await settle(await emit(), several(2))
    expect(codes(await react())).toEqual(['auto_approved', 'auto_approved'])
    await work([{ type: 'work:done' }])
    await settle(await eventOf('work:done'), several(2))
    expect(codes(await react())).toEqual(['auto_approved', 'missions_per_root_event'])

    await settle(await emit(), several(1))
    expect(codes(await react()), 'another chain').toEqual(['auto_approved'])
  })

  test('one proposal that came without an event sets off no more either, however many events its mission emits', async () => {
    await setPolicy(sql, 'control', { max_missions_per_root_event: 3 })
    await startMission(sql, [{}])
    await work([{ type: 'work:a' }, { type: 'work:b' }])
    await settle(await eventOf('work:a'), several(2))
    expect(codes(await react())).toEqual(['auto_approved', 'auto_approved'])
    await settle(await eventOf('work:b'), several(2))
    expect(codes(await react())).toEqual(['auto_approved', 'missions_per_root_event'])
    await work([{ type: 'work:deeper' }])
    await settle(await eventOf('work:deeper'), several(1))
    expect(codes(await react())).toEqual(['missions_per_root_event'])

    await startMission(sql, [{}], { title: 'another chain', priority: -1 })
    await work([{ type: 'work:c' }])
    await settle(await eventOf('work:c'), several(1))
    expect(codes(await react())).toEqual(['auto_approved'])
  })

  test('a rejected or expired proposal gives its place in the chain back', async () => {
    await setPolicy(sql, 'control', { max_missions_per_root_event: 1 })
    await setPolicy(sql, 'auto_approve', { enabled: false })
    await settle(await emit(), several(3))
    const [held] = await react(1)
    expect(codes(await react(1))).toEqual(['missions_per_root_event'])
    await sql`select * from ops_reject_proposal(${held?.proposal_id ?? null}, 'dana')`
    expect(codes(await react(1))).toEqual(['pending_approval'])
  })

  test('gates that stand open at once count together', async () => {
    await setPolicy(sql, 'control', { max_missions_per_root_event: 3 })
    await settle(await emit(), several(6))
    const [one, other] = [await openSession(db), await openSession(db)]
    await one.begin()
    expect(codes(await react(2, one.sql))).toEqual(['auto_approved', 'auto_approved'])
    const { answer: rest } = await whileBlocked(sql, other, (connection) => react(4, connection))
    await one.commit()
    expect(codes(await rest)).toEqual([
      'auto_approved',
      'missions_per_root_event',
      'missions_per_root_event',
      'missions_per_root_event',
    ])
  })

  test('a gate that rolls back has counted nothing', async () => {
    await setPolicy(sql, 'control', { max_missions_per_root_event: 3 })
    await settle(await emit(), several(6))
    const [one, other] = [await openSession(db), await openSession(db)]
    await one.begin()
    await react(3, one.sql)
    const { answer: rest } = await whileBlocked(sql, other, (connection) => react(3, connection))
    await one.rollback()
    expect(codes(await rest)).toEqual(['auto_approved', 'auto_approved', 'auto_approved'])
    expect(codes(await react())).toEqual(Array.from({ length: 3 }, () => 'missions_per_root_event'))
  })
})

describe('ops_timeline', () => {
  interface Happened {
    at: Date
    entity: string
    id: string
    root_event_id: string | null
    status: string
  }
  const since = (at: Date, limit = 500) => sql<Happened[]>`select * from ops_timeline(${at}, ${limit})`

  test('tells what happened since a moment, oldest first, each with the root of its chain', async () => {
    const start = await clock.now()
    const event = await emit()
    await clock.advance(1)
    const { reaction, proposal, mission } = await answer(event)
    await clock.advance(1)
    const { step } = await work()
    const rows = await since(start)
    const rollUp = await eventOf('mission:succeeded')
    expect(rows.map(({ entity, id, status }) => [entity, id, status])).toEqual([
      ['event', event, 'received'],
      ['reaction', reaction, 'done'],
      ['proposal', proposal, 'auto_approved'],
      ...[
        ['mission', mission, 'succeeded'],
        ['step', step, 'succeeded'],
        ['event', rollUp, 'received'],
      ].sort((a, b) => String(a[1]).localeCompare(String(b[1]))),
    ])
    for (const row of rows) expect(row.root_event_id, row.entity).toBe(event)
    const later = await since(new Date(start.getTime() + 2000))
    expect(later.map((row) => row.entity).sort()).toEqual(['event', 'mission', 'step'])
    expect(await since(start, 2)).toEqual(rows.slice(0, 2))
  })

  test('tells a failed attempt as queued again, and then as failed', async () => {
    const start = await clock.now()
    await startMission(sql, [{ key: 'a' }])
    const again = await claimOne(sql, worker)
    await fail(sql, [{ ...lease(again), error: 'busy', retry_after_seconds: 0 }])
    await clock.advance(1)
    await fail(sql, [{ ...lease(await claimOne(sql, worker)), error: 'gone', permanent: true }])
    const steps = (await since(start)).filter((row) => row.entity === 'step')
    expect(steps.map((row) => row.status)).toEqual(['queued', 'failed'])
  })

  test('tells a rejection with its code', async () => {
    const start = await clock.now()
    await setPolicy(sql, 'proposal_caps', { daily_limit: 0 })
    await proposeAll(sql, [{ template }])
    expect(await since(start)).toMatchObject([
      { entity: 'proposal', status: 'rejected', details: { code: 'cap_daily' } },
    ])
  })
})
