/** The gate: what it refuses, what it admits, what it holds, and what it says about each. */

import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSessions, whileBlocked } from './contention.js'
import { matched, settle } from './loop.js'
import {
  ask,
  count,
  noop,
  only,
  proposalRow,
  propose,
  proposeAll,
  proposeOne,
  refusal,
  used,
} from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import { claimOne, complete, registerWorker } from './work.js'
import { brokenInvariants, setPolicy, stopClock } from './world.js'

let db: SharedDatabase

beforeAll(async () => {
  db = await openSharedDatabase()
})
beforeEach(() => db.reset())
afterEach(async () => expect(await brokenInvariants(db.sql)).toEqual([]))

const finishMission = async (missionId: string | null) => {
  const worker = await registerWorker(db.sql)
  const claimed = await claimOne(db.sql, worker)
  expect(claimed.mission_id).toBe(missionId)
  await complete(db.sql, [{ step_id: claimed.step_id, token: claimed.token }])
}

describe('a template that cannot run is refused with OPS_004 and the path of its problem', () => {
  const steps = (...list: unknown[]) => ({ title: 't', steps: list })
  const long = (length: number) => 'x'.repeat(length)
  const cases: [string, unknown, string, RegExp][] = [
    ['null', null, '', /must be an object/],
    ['a string', 'noop', '', /must be an object/],
    ['an array', [], '', /must be an object/],
    ['no title', { steps: [{ kind: 'noop' }] }, 'title', /is required/],
    ['an empty title', { title: '', steps: [{ kind: 'noop' }] }, 'title', /1 to 200 characters/],
    ['a title too long', { title: long(201), steps: [{ kind: 'noop' }] }, 'title', /1 to 200 characters/],
    ['a title of another type', { title: 7, steps: [{ kind: 'noop' }] }, 'title', /must be a string/],
    ['a description too long', { ...noop(), description: long(4001) }, 'description', /0 to 4000/],
    [
      'an unknown field',
      { ...noop(), step: [] },
      'step',
      /is not a field of a template; known fields: title/,
    ],
    ['an unknown risk', { ...noop(), risk_level: 'huge' }, 'risk_level', /low, medium, high or critical/],
    ['an agent that is no string', { ...noop(), agent: {} }, 'agent', /must be a string/],
    ['a priority out of range', { ...noop(), priority: 101 }, 'priority', /between -100 and 100/],
    ['a fractional priority', { ...noop(), priority: 0.5 }, 'priority', /whole number/],
    ['no steps', { title: 't' }, 'steps', /is required/],
    ['steps that are no array', { title: 't', steps: {} }, 'steps', /must be an array/],
    ['an empty list of steps', steps(), 'steps', /1 to 100 steps/],
    ['101 steps', noop(101), 'steps', /1 to 100 steps/],
    ['a step that is no object', steps({ kind: 'noop' }, 'noop'), 'steps[1]', /must be an object/],
    ['a step without kind', steps({ key: 'a' }), 'steps[0].kind', /is required/],
    ['a kind of another type', steps({ kind: ['noop'] }), 'steps[0].kind', /must be a string/],
    ['a kind with two colons', steps({ kind: 'a:b:c' }), 'steps[0].kind', /executor:agent/],
    ['a kind with a placeholder', steps({ kind: '{{event.type}}' }), 'steps[0].kind', /executor:agent/],
    [
      'an unknown field of a step',
      steps({ kind: 'noop', retries: 2 }),
      'steps[0].retries',
      /known fields: key/,
    ],
    ['an executor that is no name', steps({ kind: 'noop', executor: 'a b' }), 'steps[0].executor', /letters/],
    ['a key that is no name', steps({ kind: 'noop', key: 'a.b' }), 'steps[0].key', /letters, digits/],
    [
      'a key twice',
      steps({ kind: 'noop', key: 'a' }, { kind: 'noop', key: 'a' }),
      'steps[1].key',
      /earlier step/,
    ],
    [
      'a key that another step has by default',
      steps({ kind: 'noop', key: 'step-2' }, { kind: 'noop' }),
      'steps[1].key',
      /earlier step/,
    ],
    [
      'params that are no object',
      steps({ kind: 'noop', params: [] }),
      'steps[0].params',
      /must be an object/,
    ],
    [
      'retries out of range',
      steps({ kind: 'noop', max_retries: 101 }),
      'steps[0].max_retries',
      /between 0 and 100/,
    ],
    [
      'no time at all',
      steps({ kind: 'noop', timeout_seconds: 0 }),
      'steps[0].timeout_seconds',
      /between 1 and 86400/,
    ],
    ['a delay below zero', steps({ kind: 'noop', delay_seconds: -1 }), 'steps[0].delay_seconds', /between 0/],
    ['a cost below zero', steps({ kind: 'noop', cost_usd: -0.01 }), 'steps[0].cost_usd', /between 0/],
    ['a cost in words', steps({ kind: 'noop', cost_usd: '1' }), 'steps[0].cost_usd', /must be a number/],
    ['a time that is none', steps({ kind: 'noop', run_at: 'soon' }), 'steps[0].run_at', /must be a time/],
    [
      'a time without its zone',
      steps({ kind: 'noop', run_at: '2030-01-31T09:00:00' }),
      'steps[0].run_at',
      /must be a time/,
    ],
    [
      'a day that does not exist',
      steps({ kind: 'noop', run_at: '2030-02-31T09:00:00Z' }),
      'steps[0].run_at',
      /must be a time/,
    ],
    ['the end of time', steps({ kind: 'noop', run_at: 'infinity' }), 'steps[0].run_at', /must be a time/],
    [
      'a time beside a delay',
      steps({ kind: 'noop', run_at: '2030-01-31T09:00:00Z', delay_seconds: 5 }),
      'steps[0].delay_seconds',
      /beside run_at/,
    ],
    [
      'dependencies that are no array',
      steps({ kind: 'noop', depends_on: 'a' }),
      'steps[0].depends_on',
      /must be an array/,
    ],
    [
      'a dependency that is no key',
      steps({ kind: 'noop', depends_on: [1] }),
      'steps[0].depends_on',
      /step keys/,
    ],
    [
      'a dependency that is not there',
      steps({ kind: 'noop', depends_on: ['b'] }),
      'steps[0].depends_on',
      /no step of this template/,
    ],
    [
      'a step that waits for itself',
      steps({ kind: 'noop', key: 'a', depends_on: ['a'] }),
      'steps[0].depends_on',
      /circle/,
    ],
    [
      'a circle',
      steps(
        { kind: 'noop', key: 'a', depends_on: [] },
        { kind: 'noop', key: 'b', depends_on: ['c'] },
        { kind: 'noop', key: 'c', depends_on: ['b'] },
      ),
      'steps[1].depends_on',
      /circle/,
    ],
    [
      'the result of a step that comes later',
      steps({ kind: 'noop', key: 'a', params: { x: '{{steps.b.result.y}}' } }, { kind: 'noop', key: 'b' }),
      'steps[0].params',
      /"b", which is not done before/,
    ],
    [
      'the result of a step that runs beside it',
      steps(
        { kind: 'noop', key: 'a', depends_on: [] },
        { kind: 'noop', key: 'b', depends_on: [], params: { x: ['{{ steps.a.result }}'] } },
      ),
      'steps[1].params',
      /"a", which is not done before/,
    ],
    [
      'the result of a step that does not exist',
      steps({ kind: 'noop', params: { x: '{{steps.z.result}}' } }),
      'steps[0].params',
      /"z"/,
    ],
  ]

  test.each(cases)('%s', async (_, template, path, problem) => {
    const error = await refusal(propose(db.sql, template))
    expect(error).toMatchObject({ code: 'OP004', path })
    expect(error.message).toMatch(problem)
    expect(await count(db.sql, 'ops_mission_proposals')).toBe(0)
    expect(await used(db.sql)).toEqual({})
  })

  test('whole numbers that are written with a fraction of zero are refused by name, not by a crash', async () => {
    const text = '{"title": "t", "steps": [{"kind": "noop", "max_retries": 2.0}]}'
    const error = await refusal(
      db.sql`select * from ops_create_proposal_and_maybe_autoapprove(null, 'api', ${text}::text::jsonb)`,
    )
    expect(error).toMatchObject({ code: 'OP004', path: 'steps[0].max_retries' })
  })

  test('in a batch the others pass', async () => {
    const answers = await proposeAll(db.sql, [
      { template: noop() },
      { template: noop(0) },
      { template: { title: 't', steps: [[]] } },
      { template: { title: 't', steps: [{ kind: 'noop' }, ['noop']] } },
      { template: noop(), source: 'a b' },
      { template: noop(), source: null },
      { template: noop(), dedupe_key: 'k', dedupe_minutes: 'long' },
      { template: noop(), dedupe_key: 'k', dedupe_minutes: 1e300 },
      { template: noop(), dedupe_key: 'k', dedupe_minutes: -1 },
      { template: noop(), dedupe_key: '' },
      { template: noop(), idempotency_key: '' },
      { template: noop(), idempotency_key: 'x'.repeat(501) },
      { template: noop(), proposed_by: '' },
      { template: noop() },
    ])
    expect(answers.map((a) => [a.status, a.code])).toEqual([
      ['auto_approved', 'auto_approved'],
      ['invalid', 'OPS_004'],
      ['invalid', 'OPS_004'],
      ['invalid', 'OPS_004'],
      ...Array.from({ length: 9 }, () => ['invalid', 'OPS_011']),
      ['auto_approved', 'auto_approved'],
    ])
    expect(answers[1]).toMatchObject({ proposal_id: null, mission_id: null, verdict: { path: 'steps' } })
    expect(answers[2]).toMatchObject({ verdict: { path: 'steps[0]' } })
    expect(answers[3]).toMatchObject({ verdict: { path: 'steps[1]' } })
    expect(answers[4]).toMatchObject({ verdict: { path: 'source' } })
    expect(await used(db.sql)).toEqual({ daily: 2, 'source api': 2, 'step_kind noop': 2 })
  })

  test('items that are no objects are invalid, and a batch that is no array is refused', async () => {
    const answers =
      await db.sql`select status, code from ops_create_proposals('[1, "x", null, []]'::text::jsonb)`
    expect(answers.map((a) => a.status)).toEqual(['invalid', 'invalid', 'invalid', 'invalid'])
    expect(await refusal(db.sql`select * from ops_create_proposals('{}')`)).toMatchObject({
      code: 'OP011',
      path: 'p_proposals',
    })
    const many = JSON.stringify(Array.from({ length: 1001 }, () => 0))
    expect(await refusal(db.sql`select * from ops_create_proposals(${many}::text::jsonb)`)).toMatchObject({
      code: 'OP011',
    })
  })
})

describe('every verdict has a code, a reason in words and the numbers compared', () => {
  test('admitted', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 5, per_source: { api: 2 } })
    const answer = await propose(db.sql)
    expect(answer).toMatchObject({
      status: 'auto_approved',
      code: 'auto_approved',
      reason: 'admitted by policy auto_approve',
      verdict: {
        time_zone: 'UTC',
        counted: [
          { scope: 'daily', used: 1, limit: 5 },
          { scope: 'source', name: 'api', used: 1, limit: 2 },
        ],
      },
    })
    expect(answer.mission_id).not.toBeNull()
    expect(await proposalRow(db.sql, answer.proposal_id)).toMatchObject({
      verdict: answer.verdict,
      code: answer.code,
    })
  })

  test('over a cap', async () => {
    await setPolicy(db.sql, 'proposal_caps', { per_source: { api: 1 }, time_zone: 'Europe/Berlin' })
    await stopClock(db.sql, '2026-03-01T12:00:00Z')
    await propose(db.sql)
    expect(await propose(db.sql)).toMatchObject({
      status: 'rejected',
      mission_id: null,
      code: 'cap_source',
      reason: 'limit for source "api": 1 of 1 used on 2026-03-01 (Europe/Berlin), this needs 1',
      verdict: {
        code: 'cap_source',
        name: 'api',
        used: 1,
        wanted: 1,
        limit: 1,
        day: '2026-03-01',
        time_zone: 'Europe/Berlin',
      },
    })
  })

  const held: [string, Record<string, unknown> | null, object, RegExp][] = [
    ['no policy', null, noop(), /there is no policy auto_approve/],
    ['the policy is off', { enabled: false }, noop(), /policy auto_approve is not enabled/],
    ['the policy says nothing', {}, noop(), /policy auto_approve is not enabled/],
    [
      'too risky',
      { enabled: true, max_risk_level: 'medium' },
      noop(1, { risk_level: 'high' }),
      /risk "high" is above "medium"/,
    ],
    [
      'no risk stated counts as medium',
      { enabled: true, max_risk_level: 'low' },
      { title: 't', steps: [{ kind: 'noop' }] },
      /risk "medium" is above "low"/,
    ],
    [
      'a kind that is not listed',
      { enabled: true, allowed_step_kinds: ['noop'] },
      { title: 't', steps: [{ kind: 'noop' }, { kind: 'minion' }] },
      /step kind "minion" is not among/,
    ],
    [
      'another agent of the kind',
      { enabled: true, allowed_step_kinds: ['openclaw:scout'] },
      { title: 't', steps: [{ kind: 'openclaw:boss' }] },
      /"openclaw:boss"/,
    ],
    [
      'a kind that hides its agent',
      { enabled: true, allowed_step_kinds: ['openclaw:scout'] },
      { title: 't', steps: [{ kind: 'openclaw:scout', agent: 'boss' }] },
      /"openclaw:boss"/,
    ],
    [
      'a kind that hides its executor',
      { enabled: true, allowed_step_kinds: ['noop'] },
      { title: 't', steps: [{ kind: 'noop', executor: 'minion' }] },
      /"minion"/,
    ],
    ['an empty list', { enabled: true, allowed_step_kinds: [] }, noop(), /"noop"/],
  ]
  test.each(held)('held: %s', async (_, policy, template, reason) => {
    if (policy) await setPolicy(db.sql, 'auto_approve', policy)
    else await db.sql`delete from ops_policy where key = 'auto_approve'`
    const answer = await propose(db.sql, template)
    expect(answer).toMatchObject({ status: 'pending', code: 'pending_approval', mission_id: null })
    expect(answer.reason).toMatch(reason)
    expect(answer.verdict).toMatchObject({ counted: [] })
    expect(
      only(await db.sql`select ops_is_auto_approvable(${JSON.stringify(template)}::text::jsonb) as yes`).yes,
    ).toBe(false)
    const events = await db.sql`select type, data from ops_agent_events`
    expect(events).toMatchObject([{ type: 'proposal:pending', data: { proposal_id: answer.proposal_id } }])
  })

  const admitted: [string, Record<string, unknown>, object][] = [
    ['no list allows all kinds', { enabled: true }, { title: 't', steps: [{ kind: 'minion' }] }],
    [
      'a kind without agent allows all its agents',
      { enabled: true, allowed_step_kinds: ['openclaw'] },
      { title: 't', steps: [{ kind: 'openclaw:scout' }] },
    ],
    [
      'a kind with its agent',
      { enabled: true, allowed_step_kinds: ['openclaw:scout'] },
      { title: 't', steps: [{ kind: 'openclaw:scout' }] },
    ],
    [
      'the agent stated by the template',
      { enabled: true, allowed_step_kinds: ['openclaw:scout'] },
      { title: 't', agent: 'scout', steps: [{ kind: 'openclaw' }] },
    ],
    [
      'the highest risk allowed',
      { enabled: true, max_risk_level: 'critical' },
      noop(1, { risk_level: 'critical' }),
    ],
  ]
  test.each(admitted)('admitted: %s', async (_, policy, template) => {
    await setPolicy(db.sql, 'auto_approve', policy)
    expect(await propose(db.sql, template)).toMatchObject({ status: 'auto_approved' })
  })

  test('held while approvals are paused, whatever the policy says', async () => {
    await setPolicy(db.sql, 'control', { pause: { approvals: true } })
    expect(await ask(db.sql, noop())).toMatchObject({ ok: false, code: 'pending_approval' })
    const answer = await propose(db.sql)
    expect(answer).toMatchObject({ status: 'pending', code: 'pending_approval' })
    expect(answer.reason).toMatch(/approvals are paused by the control switch/)
    expect(await ask(db.sql, answer.proposal_id)).toMatchObject({ ok: false, code: 'pending_approval' })
  })

  test('the versions of the policies that decided are kept', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: true, max_risk_level: 'high' })
    const { proposal_id } = await propose(db.sql)
    const versions = await db.sql`select jsonb_object_agg(key, version) as all from ops_policy
      where key in ('auto_approve', 'proposal_caps', 'worker_policy', 'control', 'approvals', 'agent_roles')`
    expect(await proposalRow(db.sql, proposal_id)).toMatchObject({ policy_snapshot: only(versions).all })
  })
})

describe('asking the gate changes nothing', () => {
  test('about a template', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: true, max_risk_level: 'low' })
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1 })
    expect(await ask(db.sql, noop())).toMatchObject({ ok: true, code: 'auto_approved' })
    expect(await ask(db.sql, noop(1, { risk_level: 'high' }))).toMatchObject({
      ok: false,
      code: 'pending_approval',
    })
    expect(await ask(db.sql, noop(0))).toMatchObject({
      ok: false,
      code: 'OPS_004',
      verdict: { path: 'steps' },
    })
    expect(await used(db.sql)).toEqual({})
    await propose(db.sql)
    expect(await ask(db.sql, noop())).toMatchObject({
      ok: false,
      code: 'cap_daily',
      verdict: { used: 1, limit: 1 },
    })
  })

  test('about a proposal', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    const { proposal_id } = await propose(db.sql)
    expect(await ask(db.sql, proposal_id)).toMatchObject({ ok: false, code: 'pending_approval' })
    await setPolicy(db.sql, 'auto_approve', { enabled: true })
    expect(await ask(db.sql, proposal_id)).toMatchObject({ ok: true, code: 'auto_approved' })
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 0 })
    expect(await ask(db.sql, proposal_id)).toMatchObject({
      ok: false,
      code: 'cap_daily',
      verdict: { used: 1, limit: 0 },
    })
    expect(await ask(db.sql, (await propose(db.sql)).proposal_id)).toMatchObject({
      ok: false,
      code: 'cap_daily',
    })
    const unknown = await refusal(ask(db.sql, '00000000-0000-0000-0000-000000000000'))
    expect(unknown).toMatchObject({ code: 'OP013', path: 'p_proposal_id' })
  })

  test('about no proposal: no answer', async () => {
    expect(
      await db.sql`select * from ops_gate_proposal((select id from ops_mission_proposals where status = 'pending' limit 1))`,
    ).toEqual([])
  })

  test('the kinds of a template', async () => {
    const kinds = async (template: unknown) =>
      only(await db.sql`select ops_extract_step_kinds(${JSON.stringify(template)}::text::jsonb) as kinds`)
        .kinds
    expect(await kinds({ steps: [{ kind: 'b' }, { kind: 'a' }, { kind: 'b' }] })).toEqual(['a', 'b'])
    expect(await kinds({ steps: 7 })).toEqual([])
    expect(await kinds({})).toEqual([])
  })
})

describe('a dedupe key', () => {
  test('answers with the live proposal that holds it, until its mission ends', async () => {
    const first = await propose(db.sql, noop(), { dedupeKey: 'k' })
    const second = await propose(db.sql, noop(2, { title: 'another' }), { dedupeKey: 'k' })
    expect(second).toMatchObject({
      proposal_id: first.proposal_id,
      mission_id: first.mission_id,
      status: 'auto_approved',
      code: 'duplicate',
      reason: 'dedupe key "k" is held by this proposal',
    })
    expect(await propose(db.sql, noop(), { dedupeKey: 'other' })).toMatchObject({ code: 'auto_approved' })
    expect(await used(db.sql)).toMatchObject({ daily: 2 })
    await finishMission(first.mission_id)
    const third = await propose(db.sql, noop(), { dedupeKey: 'k' })
    expect(third.code).toBe('auto_approved')
    expect(third.proposal_id).not.toBe(first.proposal_id)
  })

  test('is held by a pending proposal too, and free again when that is rejected', async () => {
    await setPolicy(db.sql, 'auto_approve', { enabled: false })
    const first = await propose(db.sql, noop(), { dedupeKey: 'k' })
    expect(await propose(db.sql, noop(), { dedupeKey: 'k' })).toMatchObject({
      code: 'duplicate',
      status: 'pending',
    })
    await db.sql`select * from ops_reject_proposal(${first.proposal_id}, 'dana')`
    expect(await propose(db.sql, noop(), { dedupeKey: 'k' })).toMatchObject({ code: 'pending_approval' })
  })

  test('is not taken by a rejected proposal', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 0 })
    expect(await propose(db.sql, noop(), { dedupeKey: 'k' })).toMatchObject({ status: 'rejected' })
    await setPolicy(db.sql, 'proposal_caps', {})
    expect(await propose(db.sql, noop(), { dedupeKey: 'k' })).toMatchObject({ status: 'auto_approved' })
  })

  test('stays taken for its window, and not longer', async () => {
    const clock = await stopClock(db.sql)
    const item = { template: noop(), dedupe_key: 'k', dedupe_minutes: 30 }
    const first = await proposeOne(db.sql, item)
    await finishMission(first.mission_id)
    await clock.advance(30 * 60 - 1)
    expect(await proposeOne(db.sql, item)).toMatchObject({
      code: 'duplicate',
      proposal_id: first.proposal_id,
    })
    await clock.advance(1)
    const second = await proposeOne(db.sql, item)
    expect(second.code).toBe('auto_approved')
    await clock.advance(31 * 60)
    expect(await proposeOne(db.sql, item)).toMatchObject({
      code: 'duplicate',
      proposal_id: second.proposal_id,
    })
    await finishMission(second.mission_id)
    expect(await proposeOne(db.sql, item)).toMatchObject({ code: 'auto_approved' })
  })

  test('that is still in its window answers with the proposal that had it when that is in the archive', async () => {
    const clock = await stopClock(db.sql)
    const item = { template: noop(), dedupe_key: 'k', dedupe_minutes: 525_600 }
    const first = await proposeOne(db.sql, item)
    await finishMission(first.mission_id)
    await db.sql`select * from ops_settle_events(1, (
      select jsonb_build_object('event_id', jsonb_agg(event_id)) from ops_pending_events(10)))`
    await clock.advance(100 * 86_400)
    expect(only(await db.sql`select chains from ops_archive('90 days')`)).toEqual({ chains: 1 })
    const again = {
      proposal_id: first.proposal_id,
      mission_id: first.mission_id,
      status: 'auto_approved',
      code: 'duplicate',
    }
    expect(await proposeOne(db.sql, item)).toMatchObject(again)
    expect(await proposeAll(db.sql, [item, { template: noop() }])).toMatchObject([
      again,
      { code: 'auto_approved' },
    ])
    await setPolicy(db.sql, 'retention', { delete_archived_after_days: 1 })
    await clock.advance(2 * 86_400)
    await db.sql`select * from ops_housekeeping()`
    expect(await count(db.sql, 'ops.archive')).toBe(0)
    expect(await proposeOne(db.sql, item)).toMatchObject({ ...again, mission_id: null, status: 'approved' })
  })

  test('within one batch goes to the first', async () => {
    const answers = await proposeAll(db.sql, [
      { template: noop(), dedupe_key: 'k' },
      { template: noop(), dedupe_key: 'k' },
    ])
    expect(answers.map((a) => a.code)).toEqual(['auto_approved', 'duplicate'])
  })

  test('proposed by ten at once starts one mission', async () => {
    const sessions = await openSessions(db, 10)
    const answers = await Promise.all(sessions.map(({ sql }) => propose(sql, noop(), { dedupeKey: 'k' })))
    expect(new Set(answers.map((a) => a.proposal_id)).size).toBe(1)
    expect(answers.filter((a) => a.code === 'auto_approved')).toHaveLength(1)
    expect(await count(db.sql, 'ops_missions')).toBe(1)
  })
})

describe('an idempotency key', () => {
  test('gives a retry the first answer, whatever has happened since', async () => {
    const item = { template: noop(), idempotency_key: 'call-1' }
    const first = await proposeOne(db.sql, item)
    await finishMission(first.mission_id)
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 0 })
    expect(await proposeOne(db.sql, item)).toEqual(first)
    expect(await count(db.sql, 'ops_mission_proposals')).toBe(1)
    expect(await used(db.sql)).toMatchObject({ daily: 1 })
  })

  test('gives a rejected call its rejection again', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 0 })
    const item = { template: noop(), idempotency_key: 'call-1' }
    const first = await proposeOne(db.sql, item)
    await setPolicy(db.sql, 'proposal_caps', {})
    expect(await proposeOne(db.sql, item)).toEqual(first)
  })

  test('whose call another still makes is waited for', async () => {
    const [one, two] = await openSessions(db, 2)
    if (!one || !two) throw new Error('two sessions expected')
    const item = { template: noop(), idempotency_key: 'call-1' }
    await one.begin()
    const first = await proposeOne(one.sql, item)
    const { answer } = await whileBlocked(db.sql, two, (sql) => proposeOne(sql, item))
    await one.commit()
    expect(await answer).toEqual(first)
  })
})

describe('the loop guard', () => {
  const react = async (eventId: string, pattern = 'p') => {
    await settle(db.sql, { [eventId]: [matched(pattern)] }, 1)
    return only(await db.sql`select * from ops_run_reactions(10)`)
  }
  const emit = async () =>
    only(await db.sql<{ event_id: string }[]>`select * from ops_emit_events('[{"type": "test:happened"}]')`)
      .event_id
  const endOf = async (missionId: string) =>
    only(
      await db.sql<
        { id: string }[]
      >`select id from ops_agent_events where mission_id = ${missionId} and type = 'mission:succeeded'`,
    ).id

  test('ends a chain that is too deep', async () => {
    await setPolicy(db.sql, 'control', { max_depth: 2 })
    let event = await emit()
    for (const depth of [0, 1]) {
      const reaction = await react(event)
      expect(reaction).toMatchObject({ code: 'auto_approved' })
      expect(await proposalRow(db.sql, reaction.proposal_id)).toMatchObject({ depth })
      await finishMission(reaction.mission_id)
      event = await endOf(reaction.mission_id)
    }
    await settle(db.sql, { [event]: [matched('p')] }, 1)
    expect(await db.sql`select decision from ops_why(${event}) where pattern_id = 'p'`).toEqual([
      { decision: 'depth' },
    ])
    expect(await db.sql`select * from ops_run_reactions(10)`).toEqual([])
  })

  test('a limit lowered between reaction and gate is answered by the gate', async () => {
    const event = await emit()
    await settle(db.sql, { [event]: [matched('p')] }, 1)
    await setPolicy(db.sql, 'control', { max_depth: 0 })
    const reaction = only(await db.sql`select * from ops_run_reactions(10)`)
    expect(reaction).toMatchObject({ status: 'done', proposal_status: 'rejected', code: 'depth' })
    expect(await proposalRow(db.sql, reaction.proposal_id)).toMatchObject({
      reason: 'loop guard: 0 missions deep, at most 0 are allowed',
      verdict: { code: 'depth', depth: 0, limit: 0 },
    })
  })

  test('counts the missions that one event has started; rejections use up nothing', async () => {
    await setPolicy(db.sql, 'control', { max_missions_per_root_event: 2 })
    await setPolicy(db.sql, 'proposal_caps', { per_pattern: { capped: 0 } })
    const event = await emit()
    await settle(db.sql, { [event]: ['a', 'capped', 'b', 'c'].map((id) => matched(id)) }, 1)
    const codes = (await db.sql`select code from ops_run_reactions(10)`).map((row) => row.code)
    expect(codes).toEqual(['auto_approved', 'cap_pattern', 'auto_approved', 'missions_per_root_event'])
    expect(await used(db.sql)).toMatchObject({ daily: 2 })
    const rejected =
      await db.sql`select verdict from ops_mission_proposals where code = 'missions_per_root_event'`
    expect(rejected).toMatchObject([{ verdict: { used: 2, limit: 2 } }])
  })

  test('what events say about depth and root is data, nothing more', async () => {
    const forged = [
      {
        type: 'test:happened',
        data: { depth: -5, root_event_id: null, mission_id: null },
        depth: 7,
        root_event_id: 'x',
      },
    ]
    await db.sql`select * from ops_emit_events(${JSON.stringify(forged)}::text::jsonb)`
    expect(await db.sql`select depth, root_event_id from ops_agent_events`).toEqual([
      { depth: 0, root_event_id: null },
    ])
  })
})
