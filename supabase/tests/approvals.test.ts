/** Approvals: a person's decision, bound to what will run, once, in time, and never by the one who proposed it. */
import postgres from 'postgres'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { adminUrlFor, urlFor } from '../../test/support/database.js'
import { openSession, openSessions, whileBlocked } from './contention.js'
import {
  type Answer,
  approve,
  count,
  expire,
  noop,
  only,
  proposalRow,
  propose,
  proposeOne,
  refusal,
  reject,
  used,
} from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import { type Connection, claimOne, complete, lease, registerWorker, stepsOf } from './work.js'
import { brokenInvariants, setPolicy, stopClock } from './world.js'

let db: SharedDatabase

beforeAll(async () => {
  db = await openSharedDatabase()
})
beforeEach(async () => {
  await db.reset()
  await setPolicy(db.sql, 'auto_approve', { enabled: false })
})
afterEach(async () => expect(await brokenInvariants(db.sql)).toEqual([]))

const decisionsOn = (id: string) =>
  db.sql`select decision, actor, note, digest, actor_context from ops.decisions where proposal_id = ${id}`
const nothing = '00000000-0000-0000-0000-000000000000'

describe('an approval', () => {
  test('starts the mission, with exactly the steps that were shown', async () => {
    const held = await propose(
      db.sql,
      noop(0, {
        steps: [
          { key: 'a', kind: 'noop', params: { x: 1 } },
          { key: 'b', kind: 'noop' },
        ],
      }),
    )
    const { digest } = await proposalRow(db.sql, held.proposal_id)
    const answer = await approve(db.sql, held.proposal_id, { digest: String(digest), note: 'looks good' })
    expect(answer).toMatchObject({
      proposal_id: held.proposal_id,
      status: 'approved',
      code: 'approved',
      reason: 'looks good',
    })
    expect(Object.keys(await stepsOf(db.sql, answer.mission_id ?? ''))).toEqual(['a', 'b'])
    const row = await proposalRow(db.sql, held.proposal_id)
    expect(row).toMatchObject({ decided_by: 'dana', expires_at: expect.any(Date) })
    expect(row.approved_at).toEqual(row.decided_at)
  })

  test('says what was counted on the day it was given', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 3 })
    const held = await propose(db.sql)
    expect(await approve(db.sql, held.proposal_id)).toMatchObject({
      reason: 'approved by dana',
      verdict: { counted: [{ scope: 'daily', used: 1, limit: 3 }] },
    })
  })

  test('is kept with who gave it, as far as the database can tell', async () => {
    const { proposal_id } = await propose(db.sql)
    const login = postgres(urlFor(db, 'ops_operator'), {
      max: 1,
      connection: { application_name: 'console' },
    })
    await login`select set_config('request.jwt.claims', '{"sub": "user-7", "role": "ops_operator"}', false)`
    await approve(login, proposal_id, { note: 'fine' })
    await login.end()
    expect(await decisionsOn(proposal_id)).toMatchObject([
      {
        decision: 'approved',
        actor: 'dana',
        note: 'fine',
        actor_context: {
          session_user: 'test_operator',
          jwt_subject: 'user-7',
          jwt_role: 'ops_operator',
          application_name: 'console',
        },
      },
    ])
  })

  test('needs a person and a proposal', async () => {
    const { proposal_id } = await propose(db.sql)
    for (const actor of ['', '  ']) {
      expect(await refusal(approve(db.sql, proposal_id, { actor }))).toMatchObject({
        code: 'OP011',
        path: 'p_actor',
      })
      expect(await refusal(reject(db.sql, proposal_id, actor))).toMatchObject({
        code: 'OP011',
        path: 'p_actor',
      })
    }
    expect(await refusal(approve(db.sql, nothing))).toMatchObject({ code: 'OP013', path: 'p_proposal_id' })
    expect(await refusal(reject(db.sql, nothing))).toMatchObject({ code: 'OP013', path: 'p_proposal_id' })
  })
})

describe('it is bound to what will run', () => {
  test('the digest of another template is refused', async () => {
    const { proposal_id } = await propose(db.sql)
    const { digest: other } = await proposalRow(db.sql, (await propose(db.sql, noop(2))).proposal_id)
    expect(await refusal(approve(db.sql, proposal_id, { digest: String(other) }))).toMatchObject({
      code: 'OP009',
      path: 'p_digest',
    })
    expect(await refusal(approve(db.sql, proposal_id, { digest: '' }))).toMatchObject({ code: 'OP009' })
    expect(await proposalRow(db.sql, proposal_id)).toMatchObject({ status: 'pending' })
    expect(await count(db.sql, 'ops_missions')).toBe(0)
  })

  test('equal templates have one digest, however their fields are ordered', async () => {
    const one = await propose(db.sql, { title: 't', steps: [{ kind: 'noop', key: 'a' }] })
    const other = await propose(db.sql, { steps: [{ key: 'a', kind: 'noop' }], title: 't' })
    expect((await proposalRow(db.sql, one.proposal_id)).digest).toBe(
      (await proposalRow(db.sql, other.proposal_id)).digest,
    )
  })

  const edits: [string, string][] = [
    ['the template', `template = jsonb_set(template, '{steps,0,kind}', '"minion"')`],
    ['the digest', `digest = repeat('0', 64)`],
    ['the source', `source = 'other'`],
    ['the pattern', `pattern_id = 'other'`],
  ]
  test.each(edits)('%s cannot be altered, by nobody', async (_, change) => {
    const { proposal_id } = await propose(db.sql)
    const error = await refusal(
      db.sql.unsafe(`update ops_mission_proposals set ${change} where id = '${proposal_id}'`),
    )
    expect(error).toMatchObject({ code: 'OP014', hint: 'reject it and propose what you want instead' })
    expect(await approve(db.sql, proposal_id)).toMatchObject({ status: 'approved' })
  })

  test('a template altered past the triggers is refused all the same', async () => {
    const { proposal_id } = await propose(db.sql)
    const admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
    const alter = (kind: string) =>
      admin.unsafe(`set session_replication_role = replica;
        update public.ops_mission_proposals set template = jsonb_set(template, '{steps,0,kind}', '"${kind}"') where id = '${proposal_id}'`)
    await alter('minion')
    expect(await refusal(approve(db.sql, proposal_id))).toMatchObject({ code: 'OP009' })
    await alter('noop')
    await admin.end()
    expect(await approve(db.sql, proposal_id)).toMatchObject({ status: 'approved' })
  })
})

describe('it is never given by the one who proposed', () => {
  test.each([
    ['the agent of the template', { template: noop(1, { agent: 'scout' }) }, 'scout'],
    ['whoever sent it', { template: noop(1, { agent: 'scout' }), proposed_by: 'dana' }, 'dana'],
    ['the same name in other letters', { template: noop(), proposed_by: 'Dana' }, ' dana '],
  ])('%s', async (_, item, actor) => {
    const { proposal_id } = await proposeOne(db.sql, item)
    expect(await refusal(approve(db.sql, proposal_id, { actor }))).toMatchObject({
      code: 'OP009',
      path: 'p_actor',
    })
    expect(await proposalRow(db.sql, proposal_id)).toMatchObject({ status: 'pending' })
    expect(await approve(db.sql, proposal_id, { actor: 'kim' })).toMatchObject({ status: 'approved' })
  })

  test('but one may withdraw what one proposed', async () => {
    const { proposal_id } = await proposeOne(db.sql, { template: noop(), proposed_by: 'dana' })
    expect(await reject(db.sql, proposal_id, 'dana')).toMatchObject({
      status: 'rejected',
      reason: 'rejected by dana',
    })
  })
})

describe('it is given in time', () => {
  test('not a moment after the proposal has expired, whether or not that is recorded yet', async () => {
    const clock = await stopClock(db.sql)
    await setPolicy(db.sql, 'approvals', { expires_minutes: 30 })
    const [late, early] = [await propose(db.sql), await propose(db.sql)]
    await clock.advance(30 * 60 - 0.001)
    expect(await approve(db.sql, early.proposal_id)).toMatchObject({ status: 'approved' })
    await clock.advance(0.001)
    expect(await refusal(approve(db.sql, late.proposal_id))).toMatchObject({
      code: 'OP009',
      path: 'expires_at',
    })
    expect(await expire(db.sql)).toBe(1)
    expect(await expire(db.sql)).toBe(0)
    expect(await refusal(approve(db.sql, late.proposal_id))).toMatchObject({ code: 'OP009', path: 'status' })
    expect(await proposalRow(db.sql, late.proposal_id)).toMatchObject({
      status: 'expired',
      code: 'expired',
      decided_by: 'engine',
    })
    expect(await decisionsOn(late.proposal_id)).toMatchObject([{ decision: 'expired', actor: 'engine' }])
    const told =
      await db.sql`select data ->> 'proposal_id' as id from ops_agent_events where type = 'proposal:expired'`
    expect(told).toEqual([{ id: late.proposal_id }])
  })

  test('nor when it has expired while the approval waited for its turn', async () => {
    const clock = await stopClock(db.sql)
    await setPolicy(db.sql, 'approvals', { expires_minutes: 30 })
    const { proposal_id } = await propose(db.sql)
    const [holder, approver] = await openSessions(db, 2)
    if (!holder || !approver) throw new Error('two sessions expected')
    await holder.begin()
    await reject(holder.sql, proposal_id)
    const { answer } = await whileBlocked(db.sql, approver, (sql) => approve(sql, proposal_id))
    await clock.advance(30 * 60)
    await holder.rollback()
    expect(await refusal(answer)).toMatchObject({ code: 'OP009', path: 'expires_at' })
    expect(await proposalRow(db.sql, proposal_id)).toMatchObject({ status: 'pending' })
  })

  test('a day is the default', async () => {
    await db.sql`delete from ops_policy where key = 'approvals'`
    await stopClock(db.sql, '2026-03-01T12:00:00Z')
    const { proposal_id } = await propose(db.sql)
    expect(await proposalRow(db.sql, proposal_id)).toMatchObject({
      expires_at: new Date('2026-03-02T12:00:00Z'),
    })
  })

  test('expiry is recorded in bounded batches, the oldest first', async () => {
    const clock = await stopClock(db.sql)
    const first = await propose(db.sql)
    await clock.advance(1)
    for (let n = 0; n < 3; n++) await propose(db.sql)
    await clock.advance(86_400)
    expect(await expire(db.sql, 1)).toBe(1)
    expect(await proposalRow(db.sql, first.proposal_id)).toMatchObject({ status: 'expired' })
    expect(await expire(db.sql, 2)).toBe(2)
    expect(await expire(db.sql, 2)).toBe(1)
    expect(await used(db.sql)).toEqual({})
  })

  test('one that is being decided does not hold up the expiry of the others', async () => {
    const clock = await stopClock(db.sql)
    const [held] = [await propose(db.sql), await propose(db.sql)]
    const session = await openSession(db)
    await session.begin()
    await session.sql`select from ops_mission_proposals where id = ${held.proposal_id} for update`
    await clock.advance(86_400)
    expect(await expire(db.sql, 1)).toBe(1)
    expect(await expire(db.sql, 1)).toBe(0)
    await session.commit()
    expect(await expire(db.sql, 1)).toBe(1)
  })
})

describe('it is given once', () => {
  test.each([
    ['approved', approve],
    ['rejected', reject],
  ] as const)('what was %s cannot be decided again', async (status, decide) => {
    const { proposal_id } = await propose(db.sql)
    const { mission_id } = await decide(db.sql, proposal_id)
    const again = { code: 'OP009', path: 'status', message: `proposal ${proposal_id} is ${status} already` }
    expect(await refusal(approve(db.sql, proposal_id))).toMatchObject(again)
    expect(await refusal(reject(db.sql, proposal_id))).toMatchObject(again)
    expect(await count(db.sql, 'ops_missions')).toBe(mission_id ? 1 : 0)
    expect(await decisionsOn(proposal_id)).toHaveLength(1)
  })

  test('by a person, once policy has given it', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: true })
    const { proposal_id } = await propose(db.sql)
    expect(await refusal(approve(db.sql, proposal_id))).toMatchObject({ code: 'OP009' })
    expect(await refusal(reject(db.sql, proposal_id))).toMatchObject({ code: 'OP009' })
  })

  type Decide = (sql: Connection, id: string) => Promise<Answer>
  const kim: Decide = (sql, id) => approve(sql, id, { actor: 'kim' })
  const races: [string, Decide, Decide, string][] = [
    ['two approve', approve, kim, 'approved'],
    ['one approves, one rejects', approve, reject, 'approved'],
    ['one rejects, one approves', reject, kim, 'rejected'],
  ]
  test.each(races)('when %s at once, the first counts', async (_, first, second, status) => {
    const { proposal_id } = await propose(db.sql)
    const [one, other] = await openSessions(db, 2)
    if (!one || !other) throw new Error('two sessions expected')
    await one.begin()
    await first(one.sql, proposal_id)
    const { answer } = await whileBlocked(db.sql, other, (sql) => second(sql, proposal_id))
    await one.commit()
    expect(await refusal(answer)).toMatchObject({ code: 'OP009', path: 'status' })
    expect(await proposalRow(db.sql, proposal_id)).toMatchObject({ status })
    expect(await count(db.sql, 'ops_missions')).toBe(status === 'approved' ? 1 : 0)
  })

  test('when the first takes it back, the second counts', async () => {
    const { proposal_id } = await propose(db.sql)
    const [one, other] = await openSessions(db, 2)
    if (!one || !other) throw new Error('two sessions expected')
    await one.begin()
    await approve(one.sql, proposal_id)
    const { answer } = await whileBlocked(db.sql, other, (sql) => reject(sql, proposal_id))
    await one.rollback()
    expect(await answer).toMatchObject({ status: 'rejected' })
  })

  test('under repeatable read the second is told to try again, and then that it is late', async () => {
    const { proposal_id } = await propose(db.sql)
    const [one, other] = await openSessions(db, 2)
    if (!one || !other) throw new Error('two sessions expected')
    await one.begin()
    await approve(one.sql, proposal_id)
    await other.begin('repeatable read')
    const { answer } = await whileBlocked(db.sql, other, (sql) => approve(sql, proposal_id))
    await one.commit()
    expect(await refusal(answer)).toMatchObject({ code: '40001' })
    await other.rollback()
    expect(await refusal(approve(other.sql, proposal_id))).toMatchObject({ code: 'OP009' })
  })

  test('forty at once start one mission', async () => {
    const { proposal_id } = await propose(db.sql)
    const answers = await Promise.all(
      Array.from({ length: 40 }, () =>
        approve(db.sql, proposal_id).then(
          (a) => a.status,
          (error) => error.code,
        ),
      ),
    )
    expect(answers.filter((answer) => answer === 'approved')).toHaveLength(1)
    expect(answers.filter((answer) => answer === 'OP009')).toHaveLength(39)
    expect(await count(db.sql, 'ops_missions')).toBe(1)
  })
})

describe('while approvals are paused', () => {
  test('nothing is approved and nothing changes; rejecting and expiring go on', async () => {
    const clock = await stopClock(db.sql)
    const [one, other, third] = [await propose(db.sql), await propose(db.sql), await propose(db.sql)]
    await setPolicy(db.sql, 'control', { pause: { approvals: true } })
    expect(await refusal(approve(db.sql, one.proposal_id))).toMatchObject({
      code: 'OP015',
      path: 'control.pause.approvals',
    })
    expect(await proposalRow(db.sql, one.proposal_id)).toMatchObject({ status: 'pending' })
    expect(await reject(db.sql, other.proposal_id)).toMatchObject({ status: 'rejected' })
    await setPolicy(db.sql, 'control', {})
    expect(await approve(db.sql, one.proposal_id)).toMatchObject({ status: 'approved' })
    await setPolicy(db.sql, 'control', { pause: { approvals: true } })
    await clock.advance(86_400)
    expect(await expire(db.sql)).toBe(1)
    expect(await proposalRow(db.sql, third.proposal_id)).toMatchObject({ status: 'expired' })
  })

  test('a rule approves nothing either, and does not when the pause ends', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: true })
    await setPolicy(db.sql, 'control', { pause: { approvals: true } })
    const { proposal_id } = await propose(db.sql)
    await setPolicy(db.sql, 'control', {})
    expect(await proposalRow(db.sql, proposal_id)).toMatchObject({ status: 'pending' })
    expect(await approve(db.sql, proposal_id)).toMatchObject({ status: 'approved' })
  })
})

describe('caps are looked at again', () => {
  test('a limit lowered since leaves the proposal waiting, and says why', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 2 })
    const held = await propose(db.sql)
    await propose(db.sql)
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1 })
    expect(await approve(db.sql, held.proposal_id)).toMatchObject({
      status: 'pending',
      mission_id: null,
      code: 'cap_daily',
      verdict: { used: 2, limit: 1 },
    })
    expect(await decisionsOn(held.proposal_id)).toEqual([])
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 2 })
    expect(await approve(db.sql, held.proposal_id)).toMatchObject({ status: 'approved' })
  })

  test('on a later day it takes a place of that day, and gives back the old one', async () => {
    const clock = await stopClock(db.sql, '2026-03-01T12:00:00Z')
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1, time_zone: 'America/New_York' })
    await setPolicy(db.sql, 'approvals', { expires_minutes: 10_000 })
    const held = await propose(db.sql, noop(2, { agent: 'scout' }))
    await clock.advance(86_400)
    const today = await propose(db.sql)
    expect(await approve(db.sql, held.proposal_id)).toMatchObject({ status: 'pending', code: 'cap_daily' })
    const counters = () =>
      db.sql`select day::text, scope, used from ops.cap_counters where used <> 0 and scope <> 'source' order by day, scope`
    expect(await counters()).toMatchObject([
      { day: '2026-03-01', scope: 'agent', used: 1 },
      { day: '2026-03-01', scope: 'daily', used: 1 },
      { day: '2026-03-01', scope: 'step_kind', used: 2 },
      { day: '2026-03-02', scope: 'daily', used: 1 },
      { day: '2026-03-02', scope: 'step_kind', used: 1 },
    ])
    await reject(db.sql, today.proposal_id)
    expect(await approve(db.sql, held.proposal_id)).toMatchObject({
      status: 'approved',
      verdict: { day: '2026-03-02' },
    })
    expect(await counters()).toMatchObject([
      { day: '2026-03-02', scope: 'agent', used: 1 },
      { day: '2026-03-02', scope: 'daily', used: 1 },
      { day: '2026-03-02', scope: 'step_kind', used: 2 },
    ])
  })

  test('ten approvals of yesterday at once take no more places than today has', async () => {
    const clock = await stopClock(db.sql, '2026-03-01T12:00:00Z')
    await setPolicy(db.sql, 'approvals', { expires_minutes: 10_000 })
    const held: Answer[] = []
    for (let n = 0; n < 10; n++) held.push(await propose(db.sql))
    await clock.advance(86_400)
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 4 })
    const sessions = await openSessions(db, 10)
    const keeper = await openSession(db)
    await keeper.begin()
    await keeper.sql`select from ops.cap_stripes for update`
    const waiting: Promise<Answer>[] = []
    for (const [n, session] of sessions.entries()) {
      const { answer } = await whileBlocked(db.sql, session, (sql) =>
        approve(sql, held[n]?.proposal_id ?? nothing),
      )
      waiting.push(answer)
    }
    await keeper.commit()
    const codes = (await Promise.all(waiting)).map((answer) => answer.code)
    expect(codes.filter((code) => code === 'approved')).toHaveLength(4)
    expect(codes.filter((code) => code === 'cap_daily')).toHaveLength(6)
  })
})

describe('there is no second path to a mission', () => {
  const start = async (sql: Connection, id: string) =>
    only(await sql<{ id: string }[]>`select ops_create_mission_from_proposal(${id}) as id`).id

  test('not for a proposal that nobody approved', async () => {
    const pending = await propose(db.sql)
    expect(await refusal(start(db.sql, pending.proposal_id))).toMatchObject({ code: 'OP009' })
    await reject(db.sql, pending.proposal_id)
    expect(await refusal(start(db.sql, pending.proposal_id))).toMatchObject({ code: 'OP009' })
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 0 })
    const capped = await propose(db.sql)
    expect(await refusal(start(db.sql, capped.proposal_id))).toMatchObject({ code: 'OP009' })
    expect(await refusal(start(db.sql, nothing))).toMatchObject({ code: 'OP013' })
  })

  test('an approved one has its mission, the same however often one asks', async () => {
    const { proposal_id } = await propose(db.sql)
    const { mission_id } = await approve(db.sql, proposal_id)
    expect(await start(db.sql, proposal_id)).toBe(mission_id)
    expect(await count(db.sql, 'ops_missions')).toBe(1)
  })

  test('an approval whose mission was deleted is used up', async () => {
    const worker = await registerWorker(db.sql)
    const { proposal_id } = await propose(db.sql)
    await approve(db.sql, proposal_id)
    await complete(db.sql, [lease(await claimOne(db.sql, worker))])
    await db.sql`delete from ops_missions`
    expect(await refusal(start(db.sql, proposal_id))).toMatchObject({ code: 'OP009', path: 'p_proposal_id' })
    expect(await count(db.sql, 'ops_missions')).toBe(0)
  })

  test.each(['approved', 'auto_approved'])(
    'writing "%s" by hand is refused, also for the control plane',
    async (status) => {
      const { proposal_id } = await propose(db.sql)
      const service = postgres(urlFor(db, 'service_role'), { max: 1 })
      const error = await refusal(
        service`update ops_mission_proposals set status = ${status}, approved_at = now() where id = ${proposal_id}`,
      )
      await service.end()
      expect(error).toMatchObject({ code: 'OP014', path: 'status' })
      expect(error.hint).toContain('ops_approve_proposal')
      expect(await proposalRow(db.sql, proposal_id)).toMatchObject({ status: 'pending' })
    },
  )

  test('a rejected proposal cannot be opened again by hand', async () => {
    const { proposal_id } = await propose(db.sql)
    await reject(db.sql, proposal_id)
    const open = db.sql`update ops_mission_proposals set status = 'pending', expires_at = now() + interval '1 day' where id = ${proposal_id}`
    expect(await refusal(open)).toMatchObject({ code: 'OP014' })
  })

  test('a mission row written by hand finds no steps and cannot stand', async () => {
    const { proposal_id } = await propose(db.sql)
    const insert = db.sql`insert into ops_missions (proposal_id) values (${proposal_id})`
    expect(await refusal(insert)).toMatchObject({ code: '23514' })
  })
})
