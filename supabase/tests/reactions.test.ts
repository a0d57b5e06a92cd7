/** From event to proposal: what holds a match back, what becomes of the others, and that overlapping beats change nothing. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { holdCounter, openSession, type Session, whileBlocked } from './contention.js'
import {
  type Decision,
  decisionsOn,
  emit,
  emitOne,
  matched,
  pending,
  respond,
  runReactions,
  settle,
  settleItems,
} from './loop.js'
import { noop, only } from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import { cancelMission, claimOne, complete, lease, registerWorker, startMission } from './work.js'
import { brokenInvariants, type Clock, setPolicy, stopClock } from './world.js'

let db: SharedDatabase
let clock: Clock
let holder: Session
let one: Session
let two: Session

beforeAll(async () => {
  db = await openSharedDatabase()
  holder = await openSession(db)
  one = await openSession(db)
  two = await openSession(db)
})
beforeEach(async () => {
  await db.reset()
  clock = await stopClock(db.sql)
})
afterEach(async () => {
  // In this order: whoever waits, waits for one that stands before.
  await holder.rollback()
  await one.rollback()
  await two.rollback()
  expect(await brokenInvariants(db.sql)).toEqual([])
})

/** Reports an event and settles it at once; answers what became of its one match. */
async function happen(settings: Partial<Decision> = {}, pattern = 'p'): Promise<string | undefined> {
  const event = await emitOne(db.sql, { type: 'e' })
  await settle(db.sql, { [event]: [matched(pattern, settings)] })
  return (await decisionsOn(db.sql, event))[pattern]
}

const queuedReactions = async () =>
  (
    await db.sql<{ n: number }[]>`select count(*)::int as n from ops_agent_reactions where status = 'queued'`
  )[0]?.n

describe('settling', () => {
  test('marks every event processed, matched or not, and queues what matched', async () => {
    const [hit, miss, none] = await emit(db.sql, { type: 'e' }, { type: 'e' }, { type: 'e' })
    if (!hit || !miss || !none) throw new Error('three events expected')
    expect(await pending(db.sql)).toEqual([hit, miss, none])
    const settled = await settle(db.sql, {
      [hit]: [matched('a'), matched('b')],
      [miss]: [{ pattern_id: 'a', decision: 'not_matched', mode: 'active' }],
      [none]: [],
    })
    expect(settled).toEqual([
      { event_id: hit, outcome: 'settled', queued: 2 },
      { event_id: miss, outcome: 'settled', queued: 0 },
      { event_id: none, outcome: 'settled', queued: 0 },
    ])
    expect(await pending(db.sql)).toEqual([])
  })

  test('answers skipped for events that are settled or unknown, and for the second of a pair', async () => {
    const event = await emitOne(db.sql, { type: 'e' })
    const unknown = '00000000-0000-7000-8000-000000000000'
    const items = [event, event, unknown].map((event_id) => ({ event_id, decisions: [matched('p')] }))
    const call = () => settleItems(db.sql, items)
    expect(await call()).toEqual([
      { event_id: event, outcome: 'settled', queued: 1 },
      { event_id: unknown, outcome: 'skipped', queued: 0 },
    ])
    expect((await call()).map((row) => row.outcome)).toEqual(['skipped', 'skipped'])
    expect(await queuedReactions()).toBe(1)
  })

  test('takes events in any order, and answers in their own', async () => {
    const [first = '', second = ''] = await emit(db.sql, { type: 'e' }, { type: 'e' })
    expect(await settle(db.sql, { [second]: [matched('p')], [first]: [] })).toEqual([
      { event_id: first, outcome: 'settled', queued: 0 },
      { event_id: second, outcome: 'settled', queued: 1 },
    ])
    expect(await decisionsOn(db.sql, second)).toEqual({ p: 'matched' })
  })

  test('queues a pattern once for an event, however often it is named', async () => {
    const [first = '', second = ''] = await emit(db.sql, { type: 'e' }, { type: 'e' })
    const twice = [
      matched('p', { proposal_source: 'one' }),
      matched('q'),
      matched('p', { proposal_source: 'two' }),
    ]
    const settled = await settle(db.sql, { [first]: twice, [second]: [matched('p')] })
    expect(settled.map(({ queued }) => queued)).toEqual([2, 1])
    expect(
      await db.sql`select payload ->> 'proposal_source' as source from ops_agent_reactions where event_id = ${first} order by pattern_id`,
    ).toEqual([{ source: 'one' }, { source: 'reaction' }])
  })

  test('of an event that was given back keeps its reactions, adds what is new, and tells the last verdict', async () => {
    const [event = '', other = ''] = await emit(db.sql, { type: 'e' }, { type: 'e' })
    await settle(db.sql, { [event]: [matched('p')] })
    await db.sql`update ops_agent_events set processed_at = null where id = ${event}`
    const settled = await settle(
      db.sql,
      { [event]: [matched('p'), matched('q')], [other]: [matched('p')] },
      3,
    )
    expect(settled.map(({ queued }) => queued)).toEqual([1, 1])
    expect(await queuedReactions()).toBe(3)
    expect(await db.sql`select policy_version from ops.event_verdicts`).toEqual([
      { policy_version: 3 },
      { policy_version: 3 },
    ])
    expect(await decisionsOn(db.sql, event)).toEqual({ p: 'matched', q: 'matched' })
  })

  test('keeps what a reaction needs to become a proposal', async () => {
    const event = await emitOne(db.sql, { type: 'build.failed' })
    const decisions = [matched('triage', { dedupe_key: 'k', proposal_source: 'ci' })]
    await settleItems(db.sql, [{ event_id: event, type: 'build.failed', decisions }])
    const row = only(await db.sql`select payload, pattern_id, status from ops_agent_reactions`)
    expect(row).toEqual({
      pattern_id: 'triage',
      status: 'queued',
      payload: {
        pattern_id: 'triage',
        event_type: 'build.failed',
        proposal_source: 'ci',
        dedupe_key: 'k',
        proposal_template: noop(),
      },
    })
  })

  test('settles nothing while the event before is unsettled', async () => {
    const [first = '', ...others] = await emit(db.sql, { type: 'e' }, { type: 'e' }, { type: 'e' })
    const settling = (...events: string[]) => {
      const document = {
        event_id: events,
        decisions: events.map(() => [matched('p', { cooldown: { minutes: 5, key: '' } })]),
      }
      const matches = {
        event: events.map((_, n) => n),
        decision: events.map(() => 0),
        payload: events.map(() => ({ pattern_id: 'p' })),
      }
      return db.sql`select * from ops_settle_events(1, ${JSON.stringify(document)}::text::jsonb, ${JSON.stringify(matches)}::text::jsonb, ${first})`
    }
    const early = await settling(...others)
    expect(early.map(({ event_id, outcome, queued }) => [event_id, outcome, queued]).toSorted()).toEqual(
      others.map((id) => [id, 'early', 0]).toSorted(),
    )
    expect(await pending(db.sql)).toEqual([first, ...others])
    expect(await queuedReactions()).toBe(0)
    await settle(db.sql, { [first]: [] })
    expect(await settling(...others)).toMatchObject([
      { outcome: 'settled', queued: 1 },
      { outcome: 'settled', queued: 0 },
    ])
    // One that is gone by now holds up nothing.
    const last = await emitOne(db.sql, { type: 'e' })
    await db.sql`delete from ops_agent_events where id = ${first}`
    expect(await settling(last)).toMatchObject([{ outcome: 'settled', queued: 0 }])
  })

  test('refuses a reaction that no decision matched for, and the event waits', async () => {
    const event = await emitOne(db.sql, { type: 'e' })
    const events = {
      event_id: [event],
      decisions: [[{ ...matched('p') }, { ...matched('q'), decision: 'not_matched' }]],
    }
    const settling = (decision: number, pattern_id: string) => {
      const matches = { event: [0], decision: [decision], payload: [{ pattern_id }] }
      return db.sql`select * from ops_settle_events(1, ${JSON.stringify(events)}::text::jsonb, ${JSON.stringify(matches)}::text::jsonb)`
    }
    for (const [decision, pattern] of [
      [1, 'q'],
      [0, 'q'],
      [2, 'p'],
    ] as const)
      await expect(settling(decision, pattern)).rejects.toMatchObject({ code: 'OP011' })
    expect(await pending(db.sql)).toEqual([event])
    expect(await settling(0, 'p')).toMatchObject([{ outcome: 'settled', queued: 1 }])
  })

  test('keeps what was decided as it came, but for what held a match back', async () => {
    const source = { condition: 'source', expected: 'ci', actual: null }
    const decisions = [
      { pattern_id: 'a', mode: 'active', decision: 'not_matched', detail: source },
      { ...matched('p', { cooldown: { minutes: 5, key: 'k' } }) },
    ]
    const ids = await emit(db.sql, { type: 'e' }, { type: 'e' })
    await settleItems(
      db.sql,
      ids.map((event_id) => ({ event_id, decisions })),
    )
    const kept = (decision: string) => [
      decisions[0],
      { pattern_id: 'p', mode: 'active', decision, cooldown: { minutes: 5, key: 'k' } },
    ]
    expect(
      (await db.sql`select decisions from ops.event_verdicts order by event_id`).map((row) => row.decisions),
    ).toEqual([kept('matched'), kept('cooldown')])
  })

  test('leaves only a shadow of what a shadow pattern would have done', async () => {
    expect(await happen({ mode: 'shadow' })).toBe('matched')
    expect(await queuedReactions()).toBe(0)
    expect(await runReactions(db.sql)).toEqual([])
    expect(
      await db.sql`select mode, pattern_id, payload -> 'proposal_template' as template from ops_reactions_and_shadows`,
    ).toEqual([{ mode: 'shadow', pattern_id: 'p', template: noop() }])
  })
})

describe('a cooldown', () => {
  const cooldown = { minutes: 10, key: 'repo-1' }

  test('holds a pattern back for its minutes after it fired', async () => {
    expect(await happen({ cooldown })).toBe('matched')
    await clock.advance(599)
    expect(await happen({ cooldown })).toBe('cooldown')
    await clock.advance(1)
    expect(await happen({ cooldown })).toBe('matched')
    expect(await happen({ cooldown })).toBe('cooldown')
  })

  test('counts for each key and each pattern by itself', async () => {
    expect(await happen({ cooldown })).toBe('matched')
    expect(await happen({ cooldown: { minutes: 10, key: 'repo-2' } })).toBe('matched')
    expect(await happen({ cooldown }, 'other')).toBe('matched')
    expect(await happen({ cooldown: { minutes: 10, key: 'repo-2' } })).toBe('cooldown')
  })

  test('of a shadow pattern is not that of the active one', async () => {
    expect(await happen({ cooldown, mode: 'shadow' })).toBe('matched')
    expect(await happen({ cooldown })).toBe('matched')
    expect(await happen({ cooldown, mode: 'shadow' })).toBe('cooldown')
  })

  test('goes by the time of the events, so that a backlog settles as it would have live', async () => {
    const events = []
    for (let i = 0; i < 4; i++) {
      events.push(await emitOne(db.sql, { type: 'e' }))
      await clock.advance(360)
    }
    await clock.advance(86_400)
    await settle(db.sql, Object.fromEntries(events.map((id) => [id, [matched('p', { cooldown })]])))
    const decisions = await Promise.all(events.map(async (id) => (await decisionsOn(db.sql, id)).p))
    expect(decisions).toEqual(['matched', 'cooldown', 'matched', 'cooldown'])
  })

  test('without minutes holds nothing back, beside others of its key too', async () => {
    const events = await emit(db.sql, { type: 'e' }, { type: 'e' }, { type: 'e' })
    const guards = [{ cooldown }, JSON.parse('{"cooldown": {"key": "repo-1"}}'), { cooldown }]
    await settle(db.sql, Object.fromEntries(events.map((id, n) => [id, [matched('p', guards[n])]])))
    const decisions = await Promise.all(events.map(async (id) => (await decisionsOn(db.sql, id)).p))
    expect(decisions).toEqual(['matched', 'matched', 'cooldown'])
  })

  test('does not begin with a match that something else holds back', async () => {
    await startMission(db.sql, [{ key: 'a' }], { dedupeKey: 'k' })
    expect(await happen({ cooldown, dedupe_key: 'k' })).toBe('dedupe')
    expect(await happen({ cooldown })).toBe('matched')
  })
})

describe('a threshold', () => {
  const threshold = { count: 3, within_minutes: 10, key: 'host-1' }

  test('fires with the match that fills it, then begins anew', async () => {
    const decisions = []
    for (let i = 0; i < 7; i++) decisions.push(await happen({ threshold }))
    expect(decisions).toEqual([
      'threshold',
      'threshold',
      'matched',
      'threshold',
      'threshold',
      'matched',
      'threshold',
    ])
  })

  test('forgets what is older than its window', async () => {
    expect(await happen({ threshold })).toBe('threshold')
    await clock.advance(300)
    expect(await happen({ threshold })).toBe('threshold')
    await clock.advance(300)
    expect(await happen({ threshold })).toBe('threshold') // the first is ten minutes old
    expect(await happen({ threshold })).toBe('matched')
  })

  test('counts for each key and each pattern by itself', async () => {
    for (const key of ['host-1', 'host-2', 'host-1', 'host-2'])
      expect(await happen({ threshold: { ...threshold, key } })).toBe('threshold')
    expect(await happen({ threshold }, 'other')).toBe('threshold')
    expect(await happen({ threshold })).toBe('matched')
    expect(await happen({ threshold: { ...threshold, key: 'host-2' } })).toBe('matched')
  })

  test('that is full during a cooldown fires when that is over', async () => {
    const settings = { threshold: { ...threshold, count: 1 }, cooldown: { minutes: 5, key: '' } }
    expect(await happen(settings)).toBe('matched')
    expect(await happen(settings)).toBe('cooldown')
    await clock.advance(301)
    expect(await happen(settings)).toBe('matched')
  })
})

describe('a dedupe key', () => {
  test('holds a match back while live work, or a queued reaction, has it', async () => {
    expect(await happen({ dedupe_key: 'k' })).toBe('matched')
    expect(await happen({ dedupe_key: 'k' })).toBe('dedupe') // queued
    const { mission_id } = only(await runReactions(db.sql))
    expect(await happen({ dedupe_key: 'k' })).toBe('dedupe') // live
    expect(await happen({ dedupe_key: 'other' })).toBe('matched')
    await cancelMission(db.sql, mission_id ?? '')
    expect(await happen({ dedupe_key: 'k' })).toBe('matched')
  })

  test('holds matches of one batch back among each other', async () => {
    const [first, second] = await emit(db.sql, { type: 'e' }, { type: 'e' })
    if (!first || !second) throw new Error('two events expected')
    const settled = await settle(db.sql, {
      [first]: [matched('p', { dedupe_key: 'k' })],
      [second]: [matched('p', { dedupe_key: 'k' })],
    })
    expect(settled.map((row) => row.queued)).toEqual([1, 0])
  })

  test('that work took between matching and running is answered with that work', async () => {
    await happen({ dedupe_key: 'k' })
    const mission = await startMission(db.sql, [{ key: 'a' }], { dedupeKey: 'k' })
    expect(await runReactions(db.sql)).toMatchObject([
      { status: 'done', mission_id: mission.id, proposal_id: mission.proposalId, code: 'duplicate' },
    ])
  })
})

describe('running reactions', () => {
  test('takes them oldest first, up to the limit, into proposals that know their origin', async () => {
    const events = await emit(db.sql, { type: 'e' }, { type: 'e' }, { type: 'e' })
    await settle(
      db.sql,
      Object.fromEntries(events.map((id) => [id, [matched('p', { proposal_source: 'ci' })]])),
    )
    expect(await runReactions(db.sql, 2)).toHaveLength(2)
    expect(await runReactions(db.sql, 2)).toHaveLength(1)
    expect(await runReactions(db.sql, 2)).toEqual([])
    const proposals = await db.sql`
      select p.source, p.pattern_id, p.root_event_id, r.event_id, r.status, r.payload #>> '{result,mission_id}' = m.id::text as answered
      from ops_mission_proposals p join ops_agent_reactions r on r.id = p.reaction_id join ops_missions m on m.proposal_id = p.id
      order by p.id`
    expect(proposals).toEqual(
      events.map((id) => ({
        source: 'ci',
        pattern_id: 'p',
        root_event_id: id,
        event_id: id,
        status: 'done',
        answered: true,
      })),
    )
  })

  test('marks what cannot become a proposal failed, with its error, and goes on with the others', async () => {
    const broken: Decision[] = [
      matched('no-steps', { template: { title: 't', steps: [] } }),
      matched('bad-source', { proposal_source: 'not a source' }),
      { pattern_id: 'no-template', decision: 'matched', mode: 'active' },
    ]
    const event = await emitOne(db.sql, { type: 'e' })
    await settle(db.sql, { [event]: [...broken.slice(0, 2), matched('good'), ...broken.slice(2)] })
    const ran = await runReactions(db.sql)
    expect(ran.map((row) => row.status).sort()).toEqual(['done', 'failed', 'failed', 'failed'])
    const errors = await db.sql`
      select pattern_id, payload #>> '{error,code}' as code from ops_agent_reactions where status = 'failed' order by 1`
    expect(errors).toEqual([
      { pattern_id: 'bad-source', code: 'OPS_011' },
      { pattern_id: 'no-steps', code: 'OPS_004' },
      { pattern_id: 'no-template', code: 'OPS_004' },
    ])
    expect(await db.sql`select pattern_id from ops_mission_proposals`).toEqual([{ pattern_id: 'good' }])
    expect(await runReactions(db.sql)).toEqual([])
  })

  test('runs a failed one again that somebody mends and queues, and tells of its error no more', async () => {
    const event = await emitOne(db.sql, { type: 'e' })
    await settle(db.sql, { [event]: [matched('p', { proposal_source: 'not a source' })] })
    expect(await runReactions(db.sql)).toMatchObject([{ status: 'failed', code: 'OPS_011' }])
    await db.sql`
      update ops_agent_reactions set status = 'queued', payload = payload || '{"proposal_source": "reaction"}'`
    expect(await runReactions(db.sql)).toMatchObject([{ status: 'done', code: 'auto_approved' }])
    expect(
      await db.sql`select payload ? 'error' as failed, payload ? 'result' as done from ops_agent_reactions`,
    ).toEqual([{ failed: false, done: true }])
  })

  test('tells what the gate rejected, and that is the end of it', async () => {
    await setPolicy(db.sql, 'proposal_caps', { per_pattern: { p: 1 } })
    await happen()
    await happen()
    const ran = await runReactions(db.sql)
    expect(ran.map((row) => [row.status, row.proposal_status, row.code])).toEqual([
      ['done', 'auto_approved', 'auto_approved'],
      ['done', 'rejected', 'cap_pattern'],
    ])
  })

  test('stands still, as does settling, while reactions are paused; nothing is lost', async () => {
    await happen()
    const event = await emitOne(db.sql, { type: 'e' })
    await setPolicy(db.sql, 'control', { pause: { reactions: true } })
    expect(await pending(db.sql)).toEqual([])
    expect(await runReactions(db.sql)).toEqual([])
    await setPolicy(db.sql, 'control', {})
    expect(await pending(db.sql)).toEqual([event])
    expect(await runReactions(db.sql)).toHaveLength(1)
  })

  test('holds missions for approval while approvals are paused', async () => {
    await setPolicy(db.sql, 'control', { pause: { approvals: true } })
    const event = await emitOne(db.sql, { type: 'e' })
    expect(await respond(db.sql, event)).toMatchObject({ proposal_status: 'pending', mission_id: null })
  })
})

describe('overlapping beats', () => {
  test('that settle the same events give the result of one', async () => {
    const events = await emit(db.sql, { type: 'e' }, { type: 'e' })
    const decisions = Object.fromEntries(events.map((id) => [id, [matched('p')]]))
    await one.begin()
    await settle(one.sql, decisions)
    const { answer } = await whileBlocked(db.sql, two, (sql) => settle(sql, decisions))
    await one.commit()
    expect((await answer).map((row) => row.outcome)).toEqual(['skipped', 'skipped'])
    expect(await queuedReactions()).toBe(2)
  })

  test('settle an event that someone edits meanwhile', async () => {
    const event = await emitOne(db.sql, { type: 'e' })
    await one.begin()
    await one.sql`update ops_agent_events set data = '{"edited": true}' where id = ${event}`
    const { answer } = await whileBlocked(db.sql, two, (sql) => settle(sql, { [event]: [matched('p')] }))
    await one.commit()
    expect(await answer).toMatchObject([{ outcome: 'settled', queued: 1 }])
    expect(await pending(db.sql)).toEqual([])
  })

  test('settle an event whose first beat is taken back', async () => {
    const event = await emitOne(db.sql, { type: 'e' })
    await one.begin()
    await settle(one.sql, { [event]: [matched('p')] })
    const { answer } = await whileBlocked(db.sql, two, (sql) => settle(sql, { [event]: [matched('p')] }))
    await one.rollback()
    expect(await answer).toMatchObject([{ outcome: 'settled', queued: 1 }])
  })

  test.each<[string, Partial<Decision>, string[]]>([
    ['a cooldown', { cooldown: { minutes: 5, key: 'k' } }, ['matched', 'cooldown']],
    ['a threshold', { threshold: { count: 2, within_minutes: 5, key: 'k' } }, ['threshold', 'matched']],
    ['a dedupe key', { dedupe_key: 'k' }, ['matched', 'dedupe']],
  ])('share %s', async (_, settings, expected) => {
    const events = await emit(db.sql, { type: 'e' }, { type: 'e' })
    const [first = '', second = ''] = events
    await one.begin()
    await settle(one.sql, { [first]: [matched('p', settings)] })
    const { answer } = await whileBlocked(db.sql, two, (sql) =>
      settle(sql, { [second]: [matched('p', settings)] }),
    )
    await one.commit()
    await answer
    expect(await Promise.all(events.map(async (id) => (await decisionsOn(db.sql, id)).p))).toEqual(expected)
  })

  test('run each reaction once: the second passes over what the first holds', async () => {
    for (let i = 0; i < 3; i++) await happen()
    await one.begin()
    const first = await runReactions(one.sql, 2)
    const { answer } = await whileBlocked(db.sql, two, (sql) => runReactions(sql))
    await one.commit()
    const second = await answer
    expect([first.length, second.length]).toEqual([2, 1])
    expect(new Set([...first, ...second].map((row) => row.mission_id)).size).toBe(3)
  })

  test('make one mission of two reactions under one dedupe key', async () => {
    await happen({ dedupe_key: 'k' }, 'a')
    const event = await emitOne(db.sql, { type: 'e' })
    await settle(db.sql, { [event]: [matched('b')] })
    await db.sql`update ops_agent_reactions set payload = payload || '{"dedupe_key": "k"}' where pattern_id = 'b'`
    await one.begin()
    const first = only(await runReactions(one.sql, 1))
    const { answer } = await whileBlocked(db.sql, two, (sql) => runReactions(sql))
    await one.commit()
    expect(await answer).toMatchObject([{ code: 'duplicate', mission_id: first.mission_id }])
  })

  test('never start more missions of one root event than are allowed', async () => {
    await setPolicy(db.sql, 'control', { max_missions_per_root_event: 1 })
    const event = await emitOne(db.sql, { type: 'e' })
    await settle(db.sql, { [event]: [matched('a'), matched('b')] })
    await one.begin()
    expect(await runReactions(one.sql, 1)).toMatchObject([{ code: 'auto_approved' }])
    const { answer } = await whileBlocked(db.sql, two, (sql) => runReactions(sql))
    await one.commit()
    expect(await answer).toMatchObject([{ code: 'missions_per_root_event' }])
  })

  test('start the one that is left when the first is taken back', async () => {
    await setPolicy(db.sql, 'control', { max_missions_per_root_event: 1 })
    const event = await emitOne(db.sql, { type: 'e' })
    await settle(db.sql, { [event]: [matched('a'), matched('b')] })
    await one.begin()
    await runReactions(one.sql, 1)
    const { answer } = await whileBlocked(db.sql, two, (sql) => runReactions(sql))
    await one.rollback()
    expect(await answer).toMatchObject([{ code: 'auto_approved' }])
    expect(await runReactions(db.sql)).toMatchObject([{ code: 'missions_per_root_event' }])
  })

  test('over the same chains in opposite orders wait for each other without a deadlock', async () => {
    const [left = '', right = ''] = await emit(db.sql, { type: 'e' }, { type: 'e' })
    const slow = { template: noop(1, { agent: 'slow' }) }
    await settle(db.sql, {
      [left]: [matched('l1', slow), matched('l2')],
      [right]: [matched('r1'), matched('r2')],
    })
    // The first beat is to take l1 and r2, the second r1 and l2.
    await db.sql`update ops_agent_reactions set created_at = created_at + interval '1 second' where pattern_id in ('r1', 'l2')`
    await db.sql`update ops_agent_reactions set created_at = created_at + interval '1 second' where pattern_id = 'l2'`
    await holder.begin()
    await holdCounter(holder, 'agent', 'slow')
    const first = await whileBlocked(db.sql, one, (sql) => runReactions(sql, 2))
    const second = await whileBlocked(db.sql, two, (sql) => runReactions(sql, 2))
    await holder.rollback()
    expect(await first.answer).toHaveLength(2)
    expect(await second.answer).toHaveLength(2)
    expect(await db.sql`select from ops_missions`).toHaveLength(4)
  })

  test('and the end of a mission that holds a key of theirs do not deadlock', async () => {
    const worker = await registerWorker(db.sql)
    await startMission(db.sql, [{ key: 'a', cost_usd: 5 }], { dedupeKey: 'k' })
    const claimed = await claimOne(db.sql, worker)
    await happen({ proposal_source: 'slow' })
    const event = await emitOne(db.sql, { type: 'e' })
    await settle(db.sql, { [event]: [matched('p')] })
    await db.sql`update ops_agent_reactions set payload = payload || '{"dedupe_key": "k"}' where event_id = ${event}`
    await holder.begin()
    await holdCounter(holder, 'source', 'slow')
    const gate = await whileBlocked(db.sql, one, (sql) => runReactions(sql))
    const end = await whileBlocked(db.sql, two, (sql) => complete(sql, [{ ...lease(claimed), cost_usd: 1 }]))
    await holder.rollback()
    expect(await end.answer).toMatchObject([{ outcome: 'ok', mission_status: 'succeeded' }])
    expect((await gate.answer).map((row) => row.status)).toEqual(['done', 'done'])
  })
})
