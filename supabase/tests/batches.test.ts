/** Many at once give what one by one would have given, however they are cut into calls. */
import fc from 'fast-check'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { holdCounter, openSession, type Session, whileBlocked } from './contention.js'
import { type Decision, decisionsOn, emit, matched, settle } from './loop.js'
import { type Answer, count, type Item, noop, only, propose, proposeAll, used, usedUsd } from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import type { Connection } from './work.js'
import { brokenInvariants, setPolicy, stopClock } from './world.js'

let db: SharedDatabase
let one: Session
let two: Session
let holder: Session

beforeAll(async () => {
  db = await openSharedDatabase()
  one = await openSession(db)
  two = await openSession(db)
  holder = await openSession(db)
})
beforeEach(() => db.reset())
afterEach(async () => {
  await holder.rollback()
  await one.rollback()
  await two.rollback()
  expect(await brokenInvariants(db.sql)).toEqual([])
})

/** What happens in a transaction that is undone, and what the invariants say at its end. */
async function dryRun<T>(work: (sql: Connection) => Promise<T>): Promise<T> {
  await one.begin()
  try {
    const outcome = await work(one.sql)
    expect(await brokenInvariants(one.sql)).toEqual([])
    return outcome
  } finally {
    await one.rollback()
  }
}

describe('proposals', () => {
  const step = fc.record(
    {
      kind: fc.constantFrom('noop', 'minion', 'minion:scout', ''),
      executor: fc.constantFrom('noop', 'minion'),
      cost_usd: fc.constantFrom(1, 2.5),
    },
    { requiredKeys: ['kind'] },
  )
  const item: fc.Arbitrary<Item> = fc.record(
    {
      source: fc.constantFrom('api', 'cron'),
      template: fc.record(
        {
          title: fc.constant('a mission'),
          agent: fc.constantFrom('scout', 'sage'),
          risk_level: fc.constantFrom('low', 'high'),
          steps: fc.array(step, { minLength: 1, maxLength: 3 }),
        },
        { requiredKeys: ['title', 'steps'] },
      ),
      dedupe_key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      dedupe_minutes: fc.constantFrom<unknown>(5, 'soon'),
      idempotency_key: fc.constantFrom('x', 'y', 'z'),
    },
    { requiredKeys: ['source', 'template'] },
  )
  const caps = fc.record(
    {
      daily_limit: fc.integer({ min: 1, max: 15 }),
      daily_budget_usd: fc.integer({ min: 1, max: 20 }),
      per_source: fc.constant({ cron: 3 }),
      per_agent: fc.constant({ scout: 4 }),
      per_step_kind: fc.constant({ minion: 5 }),
    },
    { requiredKeys: [] },
  )
  const autoApprove = fc.constantFrom(
    { enabled: true },
    { enabled: true, max_risk_level: 'medium' },
    { enabled: true, allowed_step_kinds: ['noop', 'minion:scout'] },
  )

  /** Answers with ids by the place where each was answered first, so that two runs can be compared. */
  const story = (answers: Answer[]) => {
    const seen: (string | null)[] = []
    const place = (id: string | null) => {
      if (id !== null && !seen.includes(id)) seen.push(id)
      return id === null ? null : seen.indexOf(id)
    }
    return answers.map(({ proposal_id, mission_id, ...rest }) => ({
      ...rest,
      proposal: place(proposal_id),
      mission: place(mission_id),
    }))
  }

  test('are answered as if they had come one by one, in their order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(item, { minLength: 1, maxLength: 25 }),
        caps,
        autoApprove,
        async (items, limits, auto) => {
          await setPolicy(db.sql, 'proposal_caps', limits)
          await setPolicy(db.sql, 'auto_approve', auto)
          const run = (calls: Item[][]) =>
            dryRun(async (sql) => {
              const answers: Answer[] = []
              for (const call of calls) answers.push(...(await proposeAll(sql, call)))
              const rows = await sql`
              select source, status, code, reason, verdict, reserved_usd, dedupe_key, decided_by from ops_mission_proposals order by id`
              const keys =
                await sql`select dedupe_key, live, held_until is null as ends from ops.live_keys order by 1`
              const steps =
                await sql`select kind, executor, agent, status, key, depends_on from ops_mission_steps order by id`
              return {
                answers: story(answers),
                rows,
                keys,
                steps,
                used: await used(sql),
                usd: await usedUsd(sql),
              }
            })
          const oneByOne = await run(items.map((each) => [each]))
          expect(await run([items])).toEqual(oneByOne)
          const middle = Math.ceil(items.length / 3)
          expect(
            await run([items.slice(0, middle), items.slice(middle)].filter((c) => c.length > 0)),
          ).toEqual(oneByOne)
        },
      ),
      { numRuns: 25, seed: 55 },
    )
  })

  test('of a batch that crosses a limit are admitted up to it, the earlier ones', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 700 })
    const answers = await proposeAll(
      db.sql,
      Array.from({ length: 1000 }, () => ({ template: noop() })),
    )
    expect(answers.map((answer) => answer.code)).toEqual([
      ...Array(700).fill('auto_approved'),
      ...Array(300).fill('cap_daily'),
    ])
    expect(answers[699]?.verdict).toMatchObject({ counted: [{ scope: 'daily', used: 700, limit: 700 }] })
    expect(await used(db.sql)).toMatchObject({ daily: 700 })
  })

  test('in a batch and one alone share what is left of a limit', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 3 })
    await propose(db.sql)
    await one.begin()
    const batch = await proposeAll(one.sql, [
      { template: noop() },
      { template: noop() },
      { template: noop() },
    ])
    const single = await whileBlocked(db.sql, two, (sql) => propose(sql))
    await one.commit()
    expect(batch.map(({ code }) => code)).toEqual(['auto_approved', 'auto_approved', 'cap_daily'])
    expect(await single.answer).toMatchObject({ code: 'cap_daily', verdict: { used: 3, limit: 3 } })
  })

  const items = (count: number): Item[] => Array.from({ length: count }, () => ({ template: noop() }))

  test('in two batches far from the limits do not wait for each other', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1000, per_source: { api: 1000 } })
    let other = await openSession(db)
    while (other.pid % 16 === one.pid % 16) other = await openSession(db)
    await other.sql`set lock_timeout = '5s'`
    for (const { sql } of [one, other]) await proposeAll(sql, items(2)) // a stripe's first batch deals the shares
    await one.begin()
    await proposeAll(one.sql, items(2))
    const beside = await proposeAll(other.sql, items(2))
    await one.commit()
    const after = await proposeAll(other.sql, items(2))
    const counted = [...beside, ...after].map(({ verdict }) => verdict.counted)
    const both = (used: number) => [
      { scope: 'daily', used, limit: 1000 },
      { name: 'api', scope: 'source', used, limit: 1000 },
    ]
    expect(counted).toEqual([both(5), both(6), both(9), both(10)])
    expect(await used(db.sql)).toMatchObject({ daily: 10, 'source api': 10 })
  })

  test('in batches that come at once over many sessions are admitted up to the limit', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 101, per_source: { api: 90 } })
    const sessions = await Promise.all(Array.from({ length: 5 }, () => openSession(db)))
    const batches = await Promise.all(
      sessions.map(async ({ sql }) => {
        const answers: Answer[] = []
        for (const size of [2, 7, 3, 11, 2, 5]) answers.push(...(await proposeAll(sql, items(size))))
        return answers
      }),
    )
    const codes = batches.flat().map(({ code }) => code)
    expect(codes.filter((code) => code === 'auto_approved')).toHaveLength(90)
    expect(codes.filter((code) => code === 'cap_source')).toHaveLength(60)
  })

  test('of a batch that is decided in parts count with the whole day locked', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1000 })
    let session = one
    while (session.pid % 16 === 0) session = await openSession(db)
    await proposeAll(session.sql, items(2))
    await holder.begin()
    await holder.sql`select from ops.cap_stripes where scope = 'daily' and stripe = 0 for update`
    const batch = await whileBlocked(db.sql, session, (sql) =>
      proposeAll(
        sql,
        ['k', 'l', 'm', 'k'].map((dedupe_key) => ({ template: noop(), dedupe_key })),
      ),
    )
    // While it waits for the first stripe it holds no other: two of those would wait for each other.
    await holder.sql`select from ops.cap_stripes where scope = 'daily' for update nowait`
    await holder.rollback()
    expect((await batch.answer).map(({ code }) => code)).toEqual([
      'auto_approved',
      'auto_approved',
      'auto_approved',
      'duplicate',
    ])
  })

  test('in two batches with the same keys and counters in opposite orders do not deadlock', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 10, per_agent: { a: 5, b: 5 } })
    const items = ['a', 'b'].map((name) => ({ template: noop(1, { agent: name }), dedupe_key: name }))
    await holder.begin()
    await holdCounter(holder, 'agent', 'b')
    const first = await whileBlocked(db.sql, one, (sql) => proposeAll(sql, items))
    const second = await whileBlocked(db.sql, two, (sql) => proposeAll(sql, items.toReversed()))
    await holder.rollback()
    const answers = await first.answer
    expect(answers.map(({ code }) => code)).toEqual(['auto_approved', 'auto_approved'])
    expect((await second.answer).map(({ code, mission_id }) => [code, mission_id])).toEqual([
      ['duplicate', answers[1]?.mission_id],
      ['duplicate', answers[0]?.mission_id],
    ])
    expect(await count(db.sql, 'ops_missions')).toBe(2)
  })
})

describe('events', () => {
  interface Happening {
    /** Seconds since the one before. */
    after: number
    depth: number
    decisions: Decision[]
  }
  const key = fc.constantFrom('', 'k', 'l')
  const verdict = {
    pattern_id: fc.constantFrom('p', 'q', 'r'),
    decision: fc.constantFrom('matched', 'matched', 'matched', 'not_matched'),
    mode: fc.constantFrom<Decision['mode'][]>('active', 'active', 'shadow'),
  }
  const cooldown = fc.record({ minutes: fc.constantFrom(1, 2.5), key })
  const anyGuards = fc.record(
    {
      ...verdict,
      cooldown,
      threshold: fc.record({ count: fc.constantFrom(1, 2, 3), within_minutes: fc.constantFrom(1, 3), key }),
      dedupe_key: fc.constantFrom('d', 'e', 'live'),
    },
    { requiredKeys: ['pattern_id', 'decision', 'mode'] },
  )
  const onlyCooldowns = fc.record(
    { ...verdict, cooldown },
    { requiredKeys: ['pattern_id', 'decision', 'mode'] },
  )
  const happening = (decision: fc.Arbitrary<Decision>, depth: number[]): fc.Arbitrary<Happening> =>
    fc.record({
      after: fc.constantFrom(0, 20, 45, 90),
      depth: fc.constantFrom(...depth),
      decisions: fc.uniqueArray(
        decision.map((rest) => ({ ...rest, template: noop() })),
        { maxLength: 3, selector: ({ pattern_id }) => pattern_id },
      ),
    })

  /** What becomes of each decision, by the rules of the design, one after the other. */
  function byTheRules(happenings: Happening[]): string[][] {
    const fired = new Map<string, number>()
    const hits = new Map<string, number[]>()
    const held = new Set(['live'])
    let now = 0
    const decide = (at: number, depth: number, d: Decision): string => {
      const mine = (guard?: { key: string }) => `${d.pattern_id} ${d.mode} ${guard?.key}`
      if (d.decision !== 'matched') return d.decision
      if (depth >= 8) return 'depth'
      const { threshold, cooldown } = d
      if (threshold) {
        const since = at - threshold.within_minutes * 60
        const counted = [...(hits.get(mine(threshold)) ?? []), at].filter((hit) => hit > since)
        hits.set(mine(threshold), counted)
        if (counted.length < threshold.count) return 'threshold'
      }
      if (cooldown && at < (fired.get(mine(cooldown)) ?? -Infinity) + cooldown.minutes * 60) return 'cooldown'
      if (d.dedupe_key && d.mode === 'active' && held.has(d.dedupe_key)) return 'dedupe'
      if (cooldown) fired.set(mine(cooldown), at)
      if (threshold) hits.delete(mine(threshold))
      if (d.dedupe_key && d.mode === 'active') held.add(d.dedupe_key)
      return 'matched'
    }
    return happenings.map(({ after, depth, decisions }) => {
      now += after
      return decisions.map((d) => decide(now, depth, d))
    })
  }

  test.each([
    ['any guards', happening(anyGuards, [0, 0, 0, 7, 8])],
    ['cooldowns alone', happening(onlyCooldowns, [0, 7])],
  ])('with %s are settled as the rules say, however they are cut into calls', async (_, happening) => {
    const clock = await stopClock(db.sql)
    await propose(db.sql, noop(), { dedupeKey: 'live' })
    const cuts = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(happening, { minLength: 1, maxLength: 20 }),
        cuts,
        async (happenings, sizes) => {
          const start = await clock.now()
          const outcome = await dryRun(async (sql) => {
            const ids: string[] = []
            for (const { after, depth } of happenings) {
              await sql`update ops.test_clock set at = at + ${after} * interval '1 second'`
              const { id } = only(
                await sql<
                  { id: string }[]
                >`insert into ops_agent_events (type, depth) values ('e', ${depth}) returning id`,
              )
              ids.push(id)
            }
            const order = await sql<
              { id: string }[]
            >`select id from ops_agent_events where type = 'e' order by created_at, id`
            const inOrder = order.map(({ id }) => happenings[ids.indexOf(id)]?.decisions ?? [])
            let at = 0
            let queued = 0
            for (let call = 0; at < order.length; call++) {
              const size = sizes[call % sizes.length] ?? 1
              const items = order
                .slice(at, at + size)
                .map(({ id }, n) => [id, inOrder[at + n] ?? []] as const)
              const settled = await settle(sql, Object.fromEntries(items))
              queued += settled.reduce((sum, row) => sum + row.queued, 0)
              at += size
            }
            const decided: string[][] = []
            for (const { id } of order) {
              const row = only(
                await sql<
                  { decisions: Decision[] }[]
                >`select decisions from ops.event_verdicts where event_id = ${id}`,
              )
              decided.push(row.decisions.map((d) => d.decision))
            }
            const rules = byTheRules(
              order.map(({ id }) => happenings[ids.indexOf(id)] ?? { after: 0, depth: 0, decisions: [] }),
            )
            return { decided, rules, queued, reactions: await count(sql, 'ops_agent_reactions') }
          })
          expect(outcome.decided).toEqual(outcome.rules)
          expect(outcome.queued).toBe(outcome.reactions)
          expect(await clock.now()).toEqual(start)
        },
      ),
      { numRuns: 40, seed: 58 },
    )
  })

  test('settled by two beats in opposite orders wait for each other without a deadlock', async () => {
    const [left = '', right = ''] = await emit(db.sql, { type: 'e' }, { type: 'e' })
    const cooldown = (name: string) => matched(name, { cooldown: { minutes: 5, key: '' } })
    await one.begin()
    await settle(one.sql, { [left]: [cooldown('p'), cooldown('q')] })
    const second = await whileBlocked(db.sql, two, (sql) =>
      settle(sql, { [right]: [cooldown('q'), cooldown('p')], [left]: [cooldown('p')] }),
    )
    await one.commit()
    expect((await second.answer).map(({ outcome }) => outcome)).toEqual(['settled', 'skipped'])
    expect(await decisionsOn(db.sql, right)).toEqual({ p: 'cooldown', q: 'cooldown' })
  })
})
