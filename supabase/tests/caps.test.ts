/** Caps: how much may start in a day, whoever asks and however many ask at once. */

import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { holdCounter, openSession, openSessions, type Session, whileBlocked } from './contention.js'
import { matched, settle, settleItems } from './loop.js'
import { openPlanner } from './plans.js'
import {
  type Answer,
  approve,
  expire,
  noop,
  only,
  pool,
  propose,
  proposeAll,
  refusal,
  reject,
  untilBlocked,
  used,
} from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import { type Connection, claimOne, complete, fail, lease, registerWorker } from './work.js'
import { brokenInvariants, setPolicy, stopClock } from './world.js'

let db: SharedDatabase
/** 40 connections. */
let crowd: Connection

beforeAll(async () => {
  db = await openSharedDatabase()
  crowd = pool(db, 40)
  return () => crowd.end({ timeout: 1 })
})
beforeEach(() => db.reset())
afterEach(async () => expect(await brokenInvariants(db.sql)).toEqual([]))

const codes = (answers: { code: string }[]) => {
  const counted: Record<string, number> = {}
  for (const { code } of answers) counted[code] = (counted[code] ?? 0) + 1
  return counted
}

/** Stands before the day's counters, even those that do not exist yet, until `open`. */
const closeTheGate = async (): Promise<{ open: () => Promise<void> }> => {
  const session = await openSession(db)
  await session.begin()
  await holdCounter(session, 'daily')
  return { open: () => session.rollback() }
}

/** Lets as many calls as there are connections meet at the gate, and then all of them through. */
const rush = async <T>(calls: number, call: (sql: Connection, n: number) => Promise<T>): Promise<T[]> => {
  const gate = await closeTheGate()
  const answers = Promise.all(Array.from({ length: calls }, (_, n) => call(crowd, n)))
  try {
    await untilBlocked(db.sql, Math.min(calls, 40))
  } finally {
    await gate.open()
  }
  return answers
}

/** Two sessions that count in stripes of their own. */
const inDifferentStripes = async (): Promise<[Session, Session]> => {
  const [one, ...others] = await openSessions(db, 17)
  const other = others.find(({ pid }) => pid % 16 !== (one?.pid ?? 0) % 16)
  if (!one || !other) throw new Error('two stripes expected')
  return [one, other]
}

/** Settles one event for each id given, so that pattern `p` has a queued reaction to it. */
const queueReactions = async (count: number, pattern = 'p') => {
  const events = Array.from({ length: count }, () => ({ type: 'test:happened' }))
  const ids = await db.sql`select event_id from ops_emit_events(${JSON.stringify(events)}::text::jsonb)`
  const items = ids.map(({ event_id }) => ({ event_id, decisions: [matched(pattern)] }))
  await settleItems(db.sql, items, 1)
}

describe('40 connections at once are let through exactly up to the limit', () => {
  const scopes: [
    string,
    Record<string, unknown>,
    (n: number) => { template?: object; source?: string },
    string,
    number,
  ][] = [
    ['in all', { daily_limit: 17 }, () => ({}), 'cap_daily', 17],
    ['for a source', { per_source: { github: 17 } }, () => ({ source: 'github' }), 'cap_source', 17],
    [
      'for an agent',
      { per_agent: { scout: 17 } },
      () => ({ template: noop(1, { agent: 'scout' }) }),
      'cap_agent',
      17,
    ],
    // 17 steps have room for five missions of three steps, not for a sixth.
    ['for a step kind', { per_step_kind: { noop: 17 } }, () => ({ template: noop(3) }), 'cap_step_kind', 5],
    [
      'for several that cross',
      { daily_limit: 30, per_source: { a: 9, b: 8 } },
      (n) => ({ source: n % 2 ? 'a' : 'b' }),
      'cap_source',
      17,
    ],
  ]
  test.each(scopes)('%s', async (_, caps, proposal, code, admitted) => {
    await setPolicy(db.sql, 'proposal_caps', caps)
    const answers = await rush(60, (sql, n) => {
      const { template = noop(), ...options } = proposal(n)
      return propose(sql, template, options)
    })
    expect(codes(answers)).toEqual({ auto_approved: admitted, [code]: 60 - admitted })
    expect(await used(db.sql)).toMatchObject({ daily: admitted })
  })

  test('for a pattern', async () => {
    await setPolicy(db.sql, 'proposal_caps', { per_pattern: { p: 17 } })
    await queueReactions(60)
    const answers = await rush(12, (sql) => sql<{ code: string }[]>`select code from ops_run_reactions(5)`)
    expect(codes(answers.flat())).toEqual({ auto_approved: 17, cap_pattern: 43 })
    expect(await used(db.sql)).toMatchObject({ daily: 17, 'pattern p': 17 })
  })

  test('in batches', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 17 })
    const answers = await rush(12, (sql) =>
      proposeAll(
        sql,
        Array.from({ length: 5 }, () => ({ template: noop() })),
      ),
    )
    expect(codes(answers.flat())).toEqual({ auto_approved: 17, cap_daily: 43 })
  })

  test('under repeatable read, where whoever lost the race tries again', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 17 })
    let retries = 0
    const attempt = (sql: Connection): Promise<Answer> =>
      sql
        .begin(
          'isolation level repeatable read',
          (tx) => tx<Answer[]>`
          select * from ops_create_proposal_and_maybe_autoapprove(null, 'api', ${JSON.stringify(noop())}::text::jsonb)`,
        )
        .then((rows) => only(rows))
        .catch((error) => {
          if (error.code !== '40001') throw error
          retries++
          return attempt(sql)
        })
    const answers = await rush(60, attempt)
    expect(retries).toBeGreaterThan(0)
    expect(codes(answers)).toEqual({ auto_approved: 17, cap_daily: 43 })
  })
})

describe('what a rejection says, and that it uses up nothing', () => {
  const cases: [string, Record<string, unknown>, object, object, string][] = [
    ['cap_daily', { daily_limit: 2 }, noop(), { used: 2, wanted: 1, limit: 2 }, 'daily limit: 2 of 2 used'],
    [
      'cap_source',
      { per_source: { api: 2 } },
      noop(),
      { name: 'api', used: 2, limit: 2 },
      'limit for source "api": 2 of 2 used',
    ],
    [
      'cap_source',
      { per_source_limits: { api: 2 } },
      noop(),
      { name: 'api', used: 2, limit: 2 },
      'limit for source "api"',
    ],
    [
      'cap_agent',
      { per_agent: { scout: 2 } },
      noop(1, { agent: 'scout' }),
      { name: 'scout', used: 2, limit: 2 },
      'limit for agent "scout"',
    ],
    [
      'cap_step_kind',
      { per_step_kind: { noop: 5 } },
      noop(2),
      { name: 'noop', used: 4, wanted: 2, limit: 5 },
      'limit for step kind "noop": 4 of 5 used',
    ],
    [
      'cap_step_kind',
      { per_step_kind: { minion: 2 } },
      noop(0, { steps: [{ kind: 'noop', executor: 'minion' }] }),
      { name: 'minion', used: 2, limit: 2 },
      'limit for step kind "minion": 2 of 2 used',
    ],
  ]
  test.each(cases)('%s %j', async (code, caps, template, numbers, reason) => {
    await setPolicy(db.sql, 'proposal_caps', caps)
    await propose(db.sql, template)
    await propose(db.sql, template)
    const before = await used(db.sql)
    const answer = await propose(db.sql, template)
    expect(answer).toMatchObject({
      status: 'rejected',
      code,
      verdict: { code, ...numbers, time_zone: 'UTC' },
    })
    expect(answer.reason).toContain(reason)
    expect(await used(db.sql)).toEqual(before)
  })

  test('a source with a limit under both names of the field has the first, and is listed once', async () => {
    await setPolicy(db.sql, 'proposal_caps', {
      per_source: { api: 1 },
      per_source_limits: { api: 9, github: 2 },
    })
    await propose(db.sql)
    expect(await propose(db.sql)).toMatchObject({ code: 'cap_source', verdict: { limit: 1 } })
    expect(
      await db.sql`select name, used, max_units from ops_cap_usage() where scope = 'source' order by name`,
    ).toEqual([
      { name: 'api', used: 1, max_units: 1 },
      { name: 'github', used: 0, max_units: 2 },
    ])
  })

  test('a cap that one proposal does not fit lets a smaller one through', async () => {
    await setPolicy(db.sql, 'proposal_caps', { per_step_kind: { noop: 4 } })
    expect(
      codes([await propose(db.sql, noop(3)), await propose(db.sql, noop(2)), await propose(db.sql, noop(1))]),
    ).toEqual({
      auto_approved: 2,
      cap_step_kind: 1,
    })
    expect(await used(db.sql)).toMatchObject({ daily: 2, 'step_kind noop': 4 })
  })

  test('others keep their own caps', async () => {
    await setPolicy(db.sql, 'proposal_caps', { per_source: { github: 0 }, per_agent: { scout: 0 } })
    expect(await propose(db.sql, noop(), { source: 'github' })).toMatchObject({ code: 'cap_source' })
    expect(await propose(db.sql, noop(1, { agent: 'scout' }))).toMatchObject({ code: 'cap_agent' })
    expect(await propose(db.sql, noop(1, { agent: 'boss' }), { source: 'gitlab' })).toMatchObject({
      code: 'auto_approved',
    })
  })

  test('a limit that is raised or lowered counts what has been used', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1 })
    await propose(db.sql)
    expect(await propose(db.sql)).toMatchObject({ code: 'cap_daily' })
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 3 })
    expect(await propose(db.sql)).toMatchObject({ code: 'auto_approved' })
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 2 })
    expect(await propose(db.sql)).toMatchObject({ code: 'cap_daily', verdict: { used: 2, limit: 2 } })
  })

  test('what was counted while there was no limit counts when there is one again, whichever stripe it was counted in', async () => {
    const [one, other] = await inDifferentStripes()
    await setPolicy(db.sql, 'proposal_caps', { per_source: { api: 4 } })
    expect(await propose(one.sql)).toMatchObject({ code: 'auto_approved' })
    await setPolicy(db.sql, 'proposal_caps', {})
    for (let n = 0; n < 4; n++) expect(await propose(other.sql)).toMatchObject({ code: 'auto_approved' })
    await setPolicy(db.sql, 'proposal_caps', { per_source: { api: 4 } })
    expect(await propose(one.sql)).toMatchObject({ code: 'cap_source', verdict: { used: 5, limit: 4 } })
  })

  test('without the policy there is no limit, and use is still counted', async () => {
    await db.sql`delete from ops_policy where key = 'proposal_caps'`
    expect(await propose(db.sql)).toMatchObject({ code: 'auto_approved' })
    expect(await used(db.sql)).toEqual({ daily: 1, 'source api': 1, 'step_kind noop': 1 })
  })
})

describe('a held proposal keeps its place', () => {
  beforeEach(async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1 })
  })

  test('and it is the one that may be approved', async () => {
    const held = await propose(db.sql)
    expect(await propose(db.sql)).toMatchObject({ code: 'cap_daily' })
    expect(await approve(db.sql, held.proposal_id)).toMatchObject({ status: 'approved' })
    expect(await used(db.sql)).toMatchObject({ daily: 1 })
  })

  test('until it is rejected', async () => {
    const held = await propose(db.sql, noop(2, { agent: 'scout' }))
    expect(await used(db.sql)).toEqual({ daily: 1, 'source api': 1, 'agent scout': 1, 'step_kind noop': 2 })
    await reject(db.sql, held.proposal_id)
    expect(await used(db.sql)).toEqual({})
    expect(await propose(db.sql)).toMatchObject({ code: 'pending_approval' })
  })

  test('until it expires', async () => {
    const clock = await stopClock(db.sql)
    await setPolicy(db.sql, 'approvals', { expires_minutes: 10 })
    await propose(db.sql)
    await clock.advance(600)
    expect(await propose(db.sql)).toMatchObject({ code: 'cap_daily' })
    expect(await expire(db.sql)).toBe(1)
    expect(await propose(db.sql)).toMatchObject({ code: 'pending_approval' })
  })
})

describe("the day is that of the policy's time zone", () => {
  // [zone, the day's first moment, the next day's first moment]
  const days: [string, string, string, string][] = [
    ['UTC', '2026-03-08', '2026-03-08T00:00:00Z', '2026-03-09T00:00:00Z'],
    ['Asia/Kathmandu, +05:45', '2026-03-08', '2026-03-07T18:15:00Z', '2026-03-08T18:15:00Z'],
    [
      'America/New_York, 23 hours: the clock goes forward',
      '2026-03-08',
      '2026-03-08T05:00:00Z',
      '2026-03-09T04:00:00Z',
    ],
    [
      'America/New_York, 25 hours: the clock goes back',
      '2026-11-01',
      '2026-11-01T04:00:00Z',
      '2026-11-02T05:00:00Z',
    ],
    [
      'America/Santiago, where midnight itself is left out',
      '2026-09-06',
      '2026-09-06T04:00:00Z',
      '2026-09-07T03:00:00Z',
    ],
    [
      'Australia/Lord_Howe, which moves by half an hour',
      '2026-10-04',
      '2026-10-03T13:30:00Z',
      '2026-10-04T13:00:00Z',
    ],
  ]
  test.each(days)('%s', async (title, day, begins, ends) => {
    const time_zone = title.split(',')[0]
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1, time_zone })
    const clock = await stopClock(db.sql, begins)
    const seconds = (Date.parse(ends) - Date.parse(begins)) / 1000
    await clock.advance(-1)
    expect(await propose(db.sql)).toMatchObject({ code: 'auto_approved' })
    expect(await propose(db.sql)).toMatchObject({ code: 'cap_daily' })
    await clock.advance(1)
    expect(await propose(db.sql)).toMatchObject({ code: 'auto_approved', verdict: { day } })
    await clock.advance(seconds - 1)
    expect(await propose(db.sql)).toMatchObject({ code: 'cap_daily', verdict: { day, time_zone } })
    await clock.advance(1)
    expect(await propose(db.sql)).toMatchObject({ code: 'auto_approved' })
  })

  test("whatever the session's own time zone", async () => {
    await stopClock(db.sql, '2026-03-08T23:30:00Z')
    const session = await openSession(db)
    await session.sql`set time zone 'Pacific/Kiritimati'`
    expect((await propose(session.sql)).verdict).toMatchObject({ day: '2026-03-08' })
    await session.sql`set time zone 'Pacific/Pago_Pago'`
    expect((await propose(session.sql)).verdict).toMatchObject({ day: '2026-03-08' })
  })
})

describe('calls that cross each other wait, and never deadlock', () => {
  const two = async (): Promise<[Session, Session]> => {
    const [one, other] = await openSessions(db, 2)
    if (!one || !other) throw new Error('two sessions expected')
    return [one, other]
  }

  test('gates whose counters overlap in part', async () => {
    const [one, other] = await two()
    await propose(db.sql, noop(1, { agent: 'scout' }))
    await one.begin()
    await propose(one.sql)
    const { answer } = await whileBlocked(db.sql, other, (sql) => propose(sql, noop(1, { agent: 'scout' })))
    expect(await propose(one.sql, noop(1, { agent: 'scout' }))).toMatchObject({ code: 'auto_approved' })
    await one.commit()
    expect(await answer).toMatchObject({ code: 'auto_approved' })
  })

  test('a batch and the end of a mission whose key the batch wants', async () => {
    const worker = await registerWorker(db.sql)
    await propose(db.sql, noop(0, { steps: [{ kind: 'noop', cost_usd: 1 }] }), { dedupeKey: 'k' })
    const claimed = await claimOne(db.sql, worker)
    const [one, other] = await two()
    const keeper = await openSession(db)
    await keeper.begin()
    await keeper.sql`select from ops.cap_stripes where scope = 'daily' for update`
    const batch = await whileBlocked(db.sql, one, (sql) =>
      proposeAll(sql, [{ template: noop() }, { template: noop(), dedupe_key: 'k' }]),
    )
    const end = await whileBlocked(db.sql, other, (sql) =>
      complete(sql, [{ ...lease(claimed), cost_usd: 0.5 }]),
    )
    await keeper.commit()
    expect((await batch.answer).map((a) => a.code)).toEqual(['auto_approved', 'duplicate'])
    expect(await end.answer).toMatchObject([{ outcome: 'ok', mission_status: 'succeeded' }])
  })

  test('heartbeats whose reactions have the same root event', async () => {
    const [{ event_id } = { event_id: '' }] =
      await db.sql`select event_id from ops_emit_events('[{"type": "test:happened"}]')`
    await queueReactions(1, 'first')
    await settle(db.sql, { [event_id]: [matched('a'), matched('b')] }, 1)
    await propose(db.sql)
    const [one, other] = await two()
    const keeper = await openSession(db)
    await keeper.begin()
    await keeper.sql`select from ops.cap_stripes where scope = 'daily' for update`
    const run = (limit: number) => (sql: Connection) => sql`select code from ops_run_reactions(${limit})`
    const first = await whileBlocked(db.sql, one, run(2))
    const second = await whileBlocked(db.sql, other, run(2))
    await keeper.commit()
    expect(await first.answer).toHaveLength(2)
    expect(await second.answer).toHaveLength(1)
  })

  test('approvals of yesterday beside the expiry of yesterday', async () => {
    const clock = await stopClock(db.sql, '2026-03-01T23:00:00Z')
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    await setPolicy(db.sql, 'approvals', { expires_minutes: 90 })
    const old = await propose(db.sql, noop(1, { agent: 'scout' }))
    await setPolicy(db.sql, 'approvals', { expires_minutes: 600 })
    const kept = await propose(db.sql, noop(1, { agent: 'boss' }))
    await clock.advance(7200)
    await propose(db.sql)
    const [one, other] = await two()
    const keeper = await openSession(db)
    await keeper.begin()
    await keeper.sql`select from ops.cap_stripes where scope = 'daily' for update`
    const approval = await whileBlocked(db.sql, one, (sql) => approve(sql, kept.proposal_id))
    const expiry = await whileBlocked(db.sql, other, (sql) => expire(sql))
    await keeper.commit()
    expect(await approval.answer).toMatchObject({ status: 'approved' })
    expect(await expiry.answer).toBe(1)
    expect(await refusal(approve(db.sql, old.proposal_id))).toMatchObject({ code: 'OP009' })
  })
})

test('a mission that failed keeps the place it took', async () => {
  await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1 })
  await propose(db.sql)
  const claimed = await claimOne(db.sql, await registerWorker(db.sql))
  await fail(db.sql, [{ ...lease(claimed), error: 'no', permanent: true }])
  expect(await propose(db.sql)).toMatchObject({ code: 'cap_daily' })
})

test.each([50, 400])('dealing shares costs each of %i counters the same', async (counters) => {
  const { sql, ran } = await openPlanner(db)
  const undo = new Error('undo')
  await sql
    .begin(async (tx) => {
      await tx`
        insert into ops.cap_stripes (day, scope, name, stripe)
        select current_date, 'source', n::text, stripe from generate_series(1, ${counters}::int) n, generate_series(0, 15) stripe`
      await tx`select ops.deal_caps(current_date, array(
        select row('source', n::text, 1, 0, 100, null)::ops.cap_unit from generate_series(1, ${counters}::int) n))`
      throw undo
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error
    })
  const dealt = ran().find(({ query }) => query.includes('update ops.cap_stripes'))
  const each = (dealt?.rows ?? 0) / counters
  expect(each, 'its 16 stripes').toBeGreaterThan(16)
  expect(each, 'which a few nodes of the plan hand on').toBeLessThan(250)
})
