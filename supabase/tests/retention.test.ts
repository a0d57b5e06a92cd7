/** Retention: finished chains leave the live tables whole, in bounded batches, and can still be traced. */

import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSession, whileBlocked } from './contention.js'
import { matched, settleItems } from './loop.js'
import { count, propose, refusal, reject } from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import { runbook } from './runbook.js'
import {
  type Connection,
  claim,
  complete,
  fail,
  lease,
  registerWorker,
  retryStep,
  startMission,
  stepById,
} from './work.js'
import { brokenInvariants, type Clock, setPolicy, stopClock } from './world.js'

let db: SharedDatabase
let clock: Clock
let worker: string

beforeAll(async () => {
  db = await openSharedDatabase()
})
beforeEach(async () => {
  await db.reset()
  clock = await stopClock(db.sql)
  worker = await registerWorker(db.sql)
})
afterEach(async () => expect(await brokenInvariants(db.sql)).toEqual([]))

const day = 24 * 60 * 60
const liveTables = [
  'ops_agent_events',
  'ops_agent_reactions',
  'ops_mission_proposals',
  'ops_missions',
  'ops_mission_steps',
  'ops_action_runs',
]

async function archive(
  sql: Connection,
  olderThan: string | null = '30 days',
  limit = 1000,
): Promise<{ chains: number; rows: number }> {
  const [moved] = await sql<{ chains: number; rows: number }[]>`
    select * from ops_archive(${olderThan}::interval, ${limit})`
  if (!moved) throw new Error('no answer')
  return { chains: moved.chains, rows: moved.rows }
}

interface Kept {
  row: { id: string }
}

interface Link {
  entity: string
  id: string
  parent_id: string | null
  status: string
  summary: string
}

const trace = (id: string): Promise<Link[]> => db.sql<Link[]>`
  select entity, id, parent_id, status, summary from ops_trace(${id}) order by "position"`

const idsOf = (links: readonly Link[]) => links.map((link) => link.id).sort()

const liveRows = async () => {
  const counts = await Promise.all(liveTables.map((table) => count(db.sql, table)))
  return counts.reduce((sum, n) => sum + n, 0)
}

async function emit(type: string): Promise<string> {
  const [event] = await db.sql<{ event_id: string }[]>`
    select * from ops_emit_events(${JSON.stringify([{ type }])}::text::jsonb)`
  if (!event) throw new Error('no answer')
  return event.event_id
}

/** Settles all events; those of a type that has an answer get a reaction with a mission of one step. */
async function settle(answered: string[] = []): Promise<void> {
  const pending = await db.sql<{ event_id: string; type: string }[]>`select * from ops_pending_events(100)`
  const settled = pending.map(({ event_id, type }) => ({
    event_id,
    decisions: answered.includes(type)
      ? [
          matched(`on-${type}`, {
            template: { title: type, risk_level: 'low', steps: [{ kind: 'noop', key: 'a' }] },
          }),
        ]
      : [],
  }))
  await settleItems(db.sql, settled, 1)
}

const react = () => db.sql`select * from ops_run_reactions(100)`

/** Completes all that can be claimed; each step reports an event of this type, if there is one. */
async function work(type?: string): Promise<void> {
  const events = type === undefined ? [] : [{ type }]
  const claims = await claim(db.sql, worker, { limit: 100 })
  await complete(
    db.sql,
    claims.map((c) => ({ ...lease(c), events })),
  )
}

/** What follows a first cause until nothing is left to do: two generations of missions. */
async function secondGeneration(): Promise<void> {
  await work('test:report')
  await settle(['test:report'])
  await react()
  await work()
  await settle()
}

/** A finished chain under an event: event → … → run → event → … → run. Returns the event's id. */
async function eventChain(): Promise<string> {
  const root = await emit('test:begin')
  await settle(['test:begin'])
  await react()
  await secondGeneration()
  return root
}

/** A finished chain that began with a proposal. Returns the proposal's id. */
async function proposalChain(): Promise<string> {
  const { proposalId } = await startMission(db.sql, [{ key: 'a' }])
  await secondGeneration()
  return proposalId
}

describe('a finished chain of two generations', () => {
  test.each([
    ['an event', eventChain, 14],
    ['a proposal', proposalChain, 12],
  ])(
    'that %s began is moved whole, and any of its ids still answers with all of it',
    async (_, chain, rows) => {
      const root = await chain()
      const before = await trace(root)
      expect(before).toHaveLength(rows)
      expect(await liveRows()).toBe(rows)
      await clock.advance(31 * day)

      expect(await archive(db.sql)).toEqual({ chains: 1, rows })

      expect(await liveRows()).toBe(0)
      for (const { id } of before) expect(await trace(id)).toEqual(before)
      const details = await db.sql`select from ops_trace(${root}) where not details @> '{"archived": true}'`
      expect(details).toHaveLength(0)
    },
  )

  test('is kept with every column of its rows', async () => {
    const root = await eventChain()
    const rows = () => db.sql<Kept[]>`
      select to_jsonb(e) as row from ops_agent_events e
      union all select to_jsonb(r) from ops_agent_reactions r
      union all select to_jsonb(p) from ops_mission_proposals p
      union all select to_jsonb(m) from ops_missions m
      union all select to_jsonb(s) from ops_mission_steps s
      union all select to_jsonb(r) from ops_action_runs r`
    const byId = (a: Kept, b: Kept) => (a.row.id < b.row.id ? -1 : 1)
    const before = [...(await rows())]
    await clock.advance(31 * day)
    await archive(db.sql)
    const kept = [...(await db.sql<Kept[]>`select data as row from ops.archive`)]
    expect(kept.sort(byId)).toEqual(before.sort(byId))
    expect(await trace(root)).toHaveLength(before.length)
  })

  test('still says what was decided, by whom and why', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    const root = await emit('test:begin')
    await settle(['test:begin'])
    const [proposal] = await db.sql`select proposal_id from ops_run_reactions(10)`
    await reject(db.sql, proposal?.proposal_id)
    await settle()
    const why = [...(await db.sql`select * from ops_why(${root})`)]
    const [decision] = await db.sql`select to_jsonb(d) as decided from ops.decisions d`
    expect(decision?.decided).toMatchObject({
      decision: 'rejected',
      actor: 'dana',
      digest: expect.any(String),
    })
    expect(why[0]).toMatchObject({ decision: 'matched', reaction_id: expect.any(String) })
    await clock.advance(31 * day)

    expect(await archive(db.sql)).toMatchObject({ chains: 1 })

    expect(await db.sql`select decided from ops.archive where entity = 'proposal'`).toEqual([decision])
    expect([...(await db.sql`select * from ops_why(${root})`)]).toEqual(why)
  })

  test('stays until all of it is older than the limit', async () => {
    await eventChain()
    await clock.advance(30 * day)
    expect(await archive(db.sql)).toEqual({ chains: 0, rows: 0 })
    await clock.advance(1)
    expect(await archive(db.sql)).toMatchObject({ chains: 1 })
  })

  test('stays while its end is younger than the limit, however old its beginning', async () => {
    await emit('test:begin')
    await settle(['test:begin'])
    await react()
    await clock.advance(40 * day)
    await secondGeneration()
    await clock.advance(29 * day)
    expect(await archive(db.sql)).toEqual({ chains: 0, rows: 0 })
    await clock.advance(2 * day)
    expect(await archive(db.sql)).toEqual({ chains: 1, rows: 14 })
  })

  test('leaves the counters of the day it was admitted on', async () => {
    await eventChain()
    const counted = () => db.sql`select * from ops.cap_counters order by scope, name`
    const before = await counted()
    await clock.advance(31 * day)
    await archive(db.sql)
    expect(await counted()).toEqual(before)
  })

  test('is moved when some of it was rejected, failed or cancelled too', async () => {
    await startMission(db.sql, [{ key: 'a' }, { key: 'b' }])
    const [claimed] = await claim(db.sql, worker)
    if (!claimed) throw new Error('nothing to claim')
    await fail(db.sql, [{ ...lease(claimed), error: 'broken', permanent: true }])
    await db.sql`update ops_policy set value = '{"daily_limit": 0}' where key = 'proposal_caps'`
    expect(await propose(db.sql)).toMatchObject({ status: 'rejected' })
    await settle()
    await clock.advance(31 * day)
    expect(await archive(db.sql)).toMatchObject({ chains: 2 })
    expect(await liveRows()).toBe(0)
  })
})

describe('a chain with anything unfinished stays, whole', () => {
  const unfinished: [string, () => Promise<unknown>][] = [
    ['an event that nobody has settled', () => work('test:report')],
    [
      'a queued reaction',
      async () => {
        await work('test:report')
        await settle(['test:report'])
      },
    ],
    [
      'a queued step in a second generation',
      async () => {
        await work('test:report')
        await settle(['test:report'])
        await react()
        await settle()
      },
    ],
    [
      'a pending proposal in a second generation',
      async () => {
        await work('test:report')
        await settle(['test:report'])
        await db.sql`update ops_policy set value = '{"enabled": false}' where key = 'auto_approve'`
        await react()
        await settle()
      },
    ],
    ['a running step', () => claim(db.sql, worker)],
    [
      'a dead step that was set to work again',
      async () => {
        const [claimed] = await claim(db.sql, worker)
        if (!claimed) throw new Error('nothing to claim')
        await fail(db.sql, [{ ...lease(claimed), error: 'broken', permanent: true }])
        await settle()
        await clock.advance(60 * day)
        await retryStep(db.sql, claimed.step_id)
      },
    ],
  ]
  const begin = {
    event: async () => {
      await emit('test:begin')
      await settle(['test:begin'])
      await react()
    },
    proposal: () => startMission(db.sql, [{ key: 'a' }]),
  }

  describe.each(unfinished)('%s', (_, leaveUnfinished) => {
    test.each(['event', 'proposal'] as const)('that began with: %s', async (root) => {
      await begin[root]()
      await leaveUnfinished()
      await clock.advance(40 * day)
      const before = await liveRows()
      expect(await archive(db.sql)).toEqual({ chains: 0, rows: 0 })
      expect(await liveRows()).toBe(before)
    })
  })
})

describe('batches', () => {
  test('are as large as asked, and calls repeat until nothing is left', async () => {
    for (let i = 0; i < 3; i++) await emit('test:nothing')
    await settle()
    for (let i = 0; i < 2; i++) await startMission(db.sql, [{ key: 'a' }])
    await work()
    await settle()
    await clock.advance(31 * day)
    const moved = []
    for (let i = 0; i < 4; i++) moved.push(await archive(db.sql, '30 days', 2))
    expect(moved.map((m) => m.chains)).toEqual([2, 2, 1, 0])
    expect(await liveRows()).toBe(0)
  })

  test('pass over a chain that cannot go, before the limit counts', async () => {
    await emit('test:begin')
    await settle(['test:begin'])
    await emit('test:nothing')
    await settle()
    await clock.advance(31 * day)
    expect(await archive(db.sql, '30 days', 1)).toEqual({ chains: 1, rows: 1 })
  })

  test.each(['59 minutes', '0', '-1 day', null])('refuse an age of %s', async (age) => {
    expect(await refusal(archive(db.sql, age))).toMatchObject({ code: 'OP011', path: 'p_older_than' })
  })
})

describe('beside others', () => {
  const held: [string, string][] = [
    ['its event', 'ops_agent_events'],
    ['a reaction', 'ops_agent_reactions'],
    ['a mission', 'ops_missions'],
    ['a step', 'ops_mission_steps'],
  ]
  test.each(held)(
    'a chain of which somebody holds %s is passed over, and goes next time',
    async (_, table) => {
      const first = await eventChain()
      await clock.advance(1)
      await eventChain()
      await clock.advance(31 * day)
      const links = idsOf(await trace(first))
      const holder = await openSession(db)
      await holder.begin()
      await holder.sql`select from ${holder.sql(table)} where id = any (${links}) order by id limit 1 for update`
      const archiver = await openSession(db)
      await archiver.sql`set lock_timeout = '3s'`
      const moved = await archive(archiver.sql).finally(() => holder.rollback())
      expect(moved).toEqual({ chains: 1, rows: 14 })
      expect(await archive(db.sql)).toEqual({ chains: 1, rows: 14 })
      expect(await liveRows()).toBe(0)
    },
  )

  test('two archivers at once share the work without waiting for each other', async () => {
    for (let i = 0; i < 4; i++) await eventChain()
    await clock.advance(31 * day)
    const [a, b] = [await openSession(db), await openSession(db)]
    await a.begin()
    expect(await archive(a.sql, '30 days', 2)).toEqual({ chains: 2, rows: 28 })
    await b.sql`set lock_timeout = '3s'`
    const moved = await archive(b.sql, '30 days', 10).finally(() => a.commit())
    expect(moved).toEqual({ chains: 2, rows: 28 })
    expect(await liveRows()).toBe(0)
    expect(await count(db.sql, 'ops.archive')).toBe(56)
  })

  test('a retry under way keeps its chain; one that comes too late is told that the step has gone', async () => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    const [claimed] = await claim(db.sql, worker)
    if (!claimed) throw new Error('nothing to claim')
    await fail(db.sql, [{ ...lease(claimed), error: 'broken', permanent: true }])
    await settle()
    await clock.advance(31 * day)
    const session = await openSession(db)
    await session.begin()
    await retryStep(session.sql, mission.step('a'))
    const archiver = await openSession(db)
    await archiver.sql`set lock_timeout = '3s'`
    const moved = await archive(archiver.sql).finally(() => session.rollback())
    expect(moved).toEqual({ chains: 0, rows: 0 })

    await session.begin()
    expect(await archive(session.sql)).toMatchObject({ chains: 1 })
    const other = await openSession(db)
    const { answer } = await whileBlocked(db.sql, other, (sql) => refusal(retryStep(sql, mission.step('a'))))
    await session.commit()
    expect(await answer).toMatchObject({ code: 'OP013' })
  })
})

describe('rows that somebody deletes by hand', () => {
  test.each(liveTables)(
    'of %s are archived, with what goes with them, each under its parent',
    async (table) => {
      const before = await trace(await eventChain())
      const rows = await count(db.sql, table)
      const live = await liveRows()
      await db.sql`delete from ${db.sql(table)}`
      expect(await count(db.sql, table)).toBe(0)

      const kept = await db.sql<Link[]>`select entity, id, parent_id, status, summary from ops.archive`
      expect(kept.length).toBeGreaterThanOrEqual(rows)
      expect(kept.length).toBe(live - (await liveRows()))
      const parents = new Map(before.map((link) => [link.id, link.parent_id]))
      for (const link of kept) expect(parents.get(link.id)).toBe(link.parent_id)
      for (const { id } of before) expect(idsOf(await trace(id))).toEqual(idsOf(before))
    },
  )

  test('one table after the other, from the top or from the bottom, leave the trace whole', async () => {
    const chains = [await eventChain(), await proposalChain()]
    const before = await Promise.all(chains.map(trace))
    for (const table of liveTables) await db.sql`delete from ${db.sql(table)}`
    const again = await trace(await eventChain())
    for (const table of liveTables.toReversed()) await db.sql`delete from ${db.sql(table)}`
    expect(await liveRows()).toBe(0)
    for (const links of [...before, again]) {
      for (const { id } of links) expect(idsOf(await trace(id))).toEqual(idsOf(links))
    }
    expect(await count(db.sql, 'ops.severed_links')).toBe(0)
  })

  test('still say what was decided about them, by whom and why', async () => {
    const root = await eventChain()
    const why = [...(await db.sql`select * from ops_why(${root})`)]
    const decided = () => db.sql`
      select to_jsonb(d) as decided from ops.decisions d union all select to_jsonb(v) from ops.event_verdicts v order by 1`
    const before = await decided()
    await db.sql`delete from ops_mission_proposals`
    await db.sql`delete from ops_agent_events`
    expect(await decided()).toHaveLength(0)
    expect(await db.sql`select decided from ops.archive where decided is not null order by 1`).toEqual(before)
    expect([...(await db.sql`select * from ops_why(${root})`)]).toEqual(why)
  })

  test('whose children stay are archived later, each under the parent that it had', async () => {
    const root = await eventChain()
    const before = await trace(root)
    await db.sql`delete from ops_missions`
    expect(await liveRows()).toBeGreaterThan(0)
    await clock.advance(31 * day)
    while ((await archive(db.sql)).chains > 0);
    expect(await liveRows()).toBe(0)
    for (const { id } of before) expect(idsOf(await trace(id))).toEqual(idsOf(before))
  })

  test('cannot be a proposal that waits for a decision: it holds its place, its money and its key', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    const held = await propose(db.sql, undefined, { dedupeKey: 'k' })
    expect(await refusal(db.sql`delete from ops_mission_proposals`)).toMatchObject({
      code: 'OP014',
      path: 'status',
      hint: expect.stringContaining('ops_reject_proposal'),
    })
    await reject(db.sql, held.proposal_id)
    await db.sql`delete from ops_mission_proposals`
    expect(await propose(db.sql, undefined, { dedupeKey: 'k' })).toMatchObject({ code: 'pending_approval' })
  })

  test('cannot be open work', async () => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    const refused = { code: 'OP014', path: 'status' }
    expect(await refusal(db.sql`delete from ops_mission_steps`)).toMatchObject(refused)
    expect(await refusal(db.sql`delete from ops_missions`)).toMatchObject(refused)
    expect(await refusal(db.sql`delete from ops_mission_proposals`)).toMatchObject(refused)
    expect(await stepById(db.sql, mission.step('a'))).toMatchObject({ status: 'queued' })
  })
})

describe("the runbook's own archive statements", () => {
  test('copy and delete the old finished steps, keep the trace, and leave the rest to ops_archive', async () => {
    const chains = [await eventChain(), await proposalChain()]
    await clock.advance(100 * day)
    await db.sql`update ops_mission_steps set updated_at = now() - interval '100 days'`
    const before = await Promise.all(chains.map(trace))
    const statements = runbook.filter((s) => s.heading === 'Archive old completed missions')
    expect(statements).toHaveLength(3)
    for (const { sql } of statements) await db.sql.unsafe(sql)

    expect(await count(db.sql, 'ops_mission_steps_archive')).toBe(4)
    expect(await count(db.sql, 'ops_mission_steps')).toBe(0)
    for (const links of before) {
      for (const { id } of links) expect(idsOf(await trace(id))).toEqual(idsOf(links))
    }
    expect(await brokenInvariants(db.sql)).toEqual([])

    expect(await archive(db.sql)).toMatchObject({ chains: 2 })
    expect(await liveRows()).toBe(0)
    for (const links of before) {
      for (const { id } of links) expect(idsOf(await trace(id))).toEqual(idsOf(links))
    }
    await db.sql`drop table ops_mission_steps_archive`
  })
})
