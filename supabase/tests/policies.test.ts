/** Policies as rows: checked, versioned, audited, rolled back; and what comes before what. */

import fc from 'fast-check'
import postgres from 'postgres'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { defaultPolicies, parsePolicy, policyJsonSchemas } from '../../policies/index.js'
import { suggestion } from '../../policies/suggest.js'
import { urlFor } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import type { EngineRole } from '../../test/support/names.js'
import { openSession, openSessions, whileBlocked } from './contention.js'
import { fullPolicies, pattern } from './full-policies.js'
import { matched, settle } from './loop.js'
import { approve, count, noop, only, propose, proposeOne, refusal } from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import {
  type Connection,
  claim,
  claimOne,
  complete,
  fail,
  lease,
  registerWorker,
  renew,
  stepById,
} from './work.js'
import { brokenInvariants, setPolicy, stopClock } from './world.js'
import { wrongEdits } from './wrong-policies.js'

let db: SharedDatabase

beforeAll(async () => {
  db = await openSharedDatabase()
})
beforeEach(() => db.reset())
afterEach(async () => expect(await brokenInvariants(db.sql)).toEqual([]))

interface Row {
  key: string
  value: unknown
  version: number
}
const inForce = async (key: string): Promise<Row | undefined> =>
  (await db.sql<Row[]>`select key, value, version from ops_policy where key = ${key}`)[0]
const versionOf = async (key: string) => (await inForce(key))?.version ?? 0
const history = (key: string) =>
  db.sql<Row[]>`select key, value, version from ops_policy_history where key = ${key} order by version`
const lastAudit = async () =>
  only(await db.sql`select * from ops_policy_audit order by changed_at desc, id desc limit 1`)

/** A login of its own as one of the engine's roles. */
const login = (role: EngineRole, connection: Record<string, string> = {}): Connection => {
  const sql = postgres(urlFor(db, role), { max: 1, onnotice: () => undefined, connection })
  onFileEnd(() => sql.end({ timeout: 1 }))
  return sql
}

describe('a wrong edit is refused by Postgres, with its path and the reason, and nothing changes', () => {
  test.each(Object.entries(policyJsonSchemas()))('%s', async (key, schema) => {
    const example = fullPolicies[key]
    const edits = [...wrongEdits(schema, example)]
    expect(edits.length).toBeGreaterThan(5)
    await setPolicy(db.sql, key, example)
    const before = await inForce(key)
    const audited = await count(db.sql, 'ops_policy_audit')
    for (const { title, path, value } of edits) {
      const edit = db.sql`update ops_policy set value = ${JSON.stringify(value)}::text::jsonb where key = ${key}`
      const error = await refusal(edit).catch(() => ({ code: 'accepted', path, message: '' }))
      expect({ title, code: error.code, path: error.path }).toEqual({ title, code: 'OP011', path })
      expect(error.message).toMatch(/^policy [a-z_]+: \S+ ./)
      expect(parsePolicy(key, value).ok, `${key} ${path} ${title}`).toBe(false)
    }
    expect(await inForce(key)).toEqual(before)
    expect(await count(db.sql, 'ops_policy_audit')).toBe(audited)
  })

  test('every field of every policy is among those tried', () => {
    const seen = new Set<string>()
    const known = new Set<string>()
    const walk = (schema: unknown, value: unknown, path: string): void => {
      if (typeof schema !== 'object' || schema === null) return
      for (const [field, inner] of Object.entries('properties' in schema ? (schema.properties ?? {}) : {})) {
        known.add(`${path}.${field}`)
        if (typeof value === 'object' && value !== null && field in value) {
          seen.add(`${path}.${field}`)
          walk(inner, Object.entries(value).find(([name]) => name === field)?.[1], `${path}.${field}`)
        }
      }
      if ('items' in schema && Array.isArray(value)) walk(schema.items, value.at(-1), `${path}[]`)
      else if ('additionalProperties' in schema && typeof value === 'object' && value !== null)
        walk(schema.additionalProperties, Object.values(value)[0], `${path}.*`)
    }
    for (const [key, schema] of Object.entries(policyJsonSchemas())) walk(schema, fullPolicies[key], key)
    expect([...known].filter((path) => !seen.has(path))).toEqual([])
  })

  const others: [string, string, string, RegExp][] = [
    [
      'an unknown policy',
      `insert into ops_policy (key, value) values ('reaction_matrx', '{}')`,
      'key',
      /no policy "reaction_matrx"/,
    ],
    [
      'another name',
      `update ops_policy set key = 'approvals' where key = 'auto_approve'`,
      'key',
      /cannot be renamed/,
    ],
    [
      'no object',
      `update ops_policy set value = '[]' where key = 'auto_approve'`,
      '',
      /must be object, not array/,
    ],
    [
      'null',
      `update ops_policy set value = 'null' where key = 'auto_approve'`,
      '',
      /must be object, not null/,
    ],
    [
      'a whole number with a point',
      `update ops_policy set value = '{"daily_limit": 2.0}' where key = 'proposal_caps'`,
      'daily_limit',
      /whole number/,
    ],
    [
      'a time zone that is none',
      `update ops_policy set value = '{"time_zone": "Mars/Olympus"}' where key = 'proposal_caps'`,
      'time_zone',
      /known time zone/,
    ],
    [
      'an abbreviation for a time zone, which knows no summer',
      `update ops_policy set value = '{"time_zone": "CEST"}' where key = 'proposal_caps'`,
      'time_zone',
      /known time zone/,
    ],
    [
      'an offset with a name of its own',
      `update ops_policy set value = '{"time_zone": "FOO5"}' where key = 'proposal_caps'`,
      'time_zone',
      /known time zone/,
    ],
    [
      'an event type of another shape',
      `insert into ops_policy (key, value) values ('reaction_matrix', '{"patterns": [{"id": "p", "event_type": ["a b"], "template": {"title": "t", "steps": [{"kind": "noop"}]}}]}')`,
      'patterns[0].event_type[0]',
      /must match/,
    ],
    [
      'a pattern without a name',
      `insert into ops_policy (key, value) values ('reaction_matrix', '{"patterns": [{"event_type": "a", "template": {"title": "t", "steps": [{"kind": "noop"}]}}]}')`,
      'patterns[0]',
      /misses the field/,
    ],
    [
      'one wrong row among good ones',
      `insert into ops_policy (key, value) values ('retention', '{}'), ('control', '{"max_depth": -1}')`,
      'max_depth',
      /at least 0/,
    ],
    [
      'a wrong edit of many rows',
      `update ops_policy set value = '{"enabled": false}'`,
      'enabled',
      /is not a field of/,
    ],
  ]
  test.each(others)('%s', async (_, statement, path, problem) => {
    const before = await db.sql`select key, value, version from ops_policy order by key`
    const error = await refusal(db.sql.unsafe(statement))
    expect(error).toMatchObject({ code: 'OP011', path })
    expect(error.message).toMatch(problem)
    expect(await db.sql`select key, value, version from ops_policy order by key`).toEqual(before)
  })

  test('the hint names what there is', async () => {
    const unknown = await refusal(db.sql`insert into ops_policy (key, value) values ('x', '{}')`)
    expect(unknown.hint).toContain('agent_roles, alerts, approvals, auto_approve')
    const field = await refusal(
      db.sql`update ops_policy set value = '{"frobnicate": true}' where key = 'auto_approve'`,
    )
    expect(field.message).toContain('known names: allowed_step_kinds, enabled, max_risk_level')
  })

  test('a name that was mistyped gets the one that was meant', async () => {
    const policy = await refusal(db.sql`insert into ops_policy (key, value) values ('contol', '{}')`)
    expect(policy.message).toContain('there is no policy "contol"; did you mean "control"?')
    const field = await refusal(
      setPolicy(db.sql, 'reaction_matrix', { patterns: [{ ...pattern, colldown_minutes: 3 }] }),
    )
    expect(field).toMatchObject({
      path: 'patterns[0].colldown_minutes',
      message: expect.stringContaining('did you mean "cooldown_minutes"?'),
    })
  })

  test('the database suggests what the program suggests', async () => {
    const words = fc.string({ unit: fc.constantFrom('a', 'b', 'C', '_'), maxLength: 9 })
    const cases = fc.sample(fc.tuple(words, fc.array(words, { minLength: 1, maxLength: 4 })), {
      numRuns: 300,
      seed: 4,
    })
    const rows = await db.sql<{ told: string }[]>`
      select ops.suggestion(c ->> 0, array(select jsonb_array_elements_text(c -> 1))) as told
      from jsonb_array_elements(${JSON.stringify(cases)}::text::jsonb) with ordinality c(c, n) order by n`
    expect(rows.map(({ told }) => told)).toEqual(cases.map(([name, known]) => suggestion(name, known)))
  })

  test('the defaults, and whatever has all fields, are accepted', async () => {
    for (const [key, value] of [...Object.entries(defaultPolicies), ...Object.entries(fullPolicies)]) {
      await setPolicy(db.sql, key, value)
      expect((await inForce(key))?.value).toEqual(value)
    }
    await db.sql`delete from ops_policy where key in ('alerts', 'schedules', 'services', 'invariants')`
  })
})

describe('every change is a version', () => {
  test('numbered from one, or from where the key has been, and never going back', async () => {
    await db.sql`delete from ops_policy where key = 'approvals'`
    const first = Math.max(0, ...(await history('approvals')).map((row) => row.version)) + 1
    await setPolicy(db.sql, 'approvals', { expires_minutes: 1 })
    await db.sql`update ops_policy set value = '{"expires_minutes": 2}' where key = 'approvals'`
    expect(await versionOf('approvals')).toBe(first + 1)
    await db.sql`delete from ops_policy where key = 'approvals'`
    await setPolicy(db.sql, 'approvals', { expires_minutes: 3 })
    expect(await versionOf('approvals')).toBe(first + 2)
    expect((await history('approvals')).slice(-3)).toEqual(
      [1, 2, 3].map((n) => ({ key: 'approvals', value: { expires_minutes: n }, version: first + n - 1 })),
    )
  })

  test('an edit that changes nothing is none', async () => {
    const before = await versionOf('auto_approve')
    const audited = await count(db.sql, 'ops_policy_audit')
    await setPolicy(db.sql, 'auto_approve', { enabled: true })
    await db.sql`update ops_policy set value = value`
    expect(await versionOf('auto_approve')).toBe(before)
    expect(await count(db.sql, 'ops_policy_audit')).toBe(audited)
  })

  test('a number written by hand is not believed', async () => {
    const before = await versionOf('auto_approve')
    await db.sql`update ops_policy set version = 9000, value = '{"enabled": false}' where key = 'auto_approve'`
    expect(await versionOf('auto_approve')).toBe(before + 1)
  })

  test('two edits at once are two versions, and neither is lost', async () => {
    await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1 })
    const before = await versionOf('proposal_caps')
    const [one, other] = await openSessions(db, 2)
    if (!one || !other) throw new Error('two sessions expected')
    await one.begin()
    await one.sql`update ops_policy set value = jsonb_set(value, '{daily_limit}', '2') where key = 'proposal_caps'`
    const { answer } = await whileBlocked(
      db.sql,
      other,
      (sql) =>
        sql`update ops_policy set value = jsonb_set(value, '{per_source}', '{"api": 3}') where key = 'proposal_caps'`,
    )
    await one.commit()
    await answer
    expect(await inForce('proposal_caps')).toMatchObject({
      value: { daily_limit: 2, per_source: { api: 3 } },
      version: before + 2,
    })
  })

  test('neither history nor audit can be rewritten, not even by the control plane', async () => {
    const denied = { code: '42501' }
    for (const role of ['service_role', 'ops_operator', 'ops_readonly'] as const) {
      const sql = login(role)
      for (const relation of [
        'public.ops_policy_history',
        'public.ops_policy_audit',
        'ops.policy_history',
        'ops.policy_audit',
      ]) {
        expect(await refusal(sql.unsafe(`delete from ${relation}`))).toMatchObject(denied)
        expect(await refusal(sql.unsafe(`update ${relation} set changed_by = 'nobody'`))).toMatchObject(
          denied,
        )
      }
    }
  })
})

describe('every change is audited with who made it', () => {
  const change = `update ops_policy set value = '{"enabled": false}' where key = 'auto_approve'`

  test('an insert, an update, a delete: the values and versions before and after', async () => {
    await db.sql`delete from ops_policy where key = 'approvals'`
    await setPolicy(db.sql, 'approvals', { expires_minutes: 1 })
    const version = await versionOf('approvals')
    expect(await lastAudit()).toMatchObject({
      policy_key: 'approvals',
      action: 'insert',
      old_value: null,
      new_value: { expires_minutes: 1 },
      old_version: null,
      new_version: version,
    })
    await setPolicy(db.sql, 'approvals', { expires_minutes: 2 })
    expect(await lastAudit()).toMatchObject({
      action: 'update',
      old_value: { expires_minutes: 1 },
      new_value: { expires_minutes: 2 },
      old_version: version,
      new_version: version + 1,
    })
    await db.sql`delete from ops_policy where key = 'approvals'`
    expect(await lastAudit()).toMatchObject({
      action: 'delete',
      old_value: { expires_minutes: 2 },
      new_value: null,
      old_version: version + 1,
      new_version: null,
    })
  })

  test('the owner, by login and application', async () => {
    const session = await openSession(db)
    await session.sql`set application_name = 'psql on my laptop'`
    await session.sql.unsafe(change)
    expect(await lastAudit()).toMatchObject({
      changed_by: 'postgres',
      actor: { session_user: 'postgres', application_name: 'psql on my laptop' },
    })
  })

  test('an operator, by login, though the audit is written with the owner’s rights', async () => {
    await login('ops_operator', { application_name: 'console' }).unsafe(change)
    expect(await lastAudit()).toMatchObject({
      changed_by: 'test_operator',
      actor: { session_user: 'test_operator', application_name: 'console' },
    })
  })

  test('a person behind the API, by the subject of the token', async () => {
    const service = login('service_role')
    await service`select set_config('request.jwt.claims', '{"sub": "user-7", "role": "service_role"}', false)`
    await service.unsafe(change)
    expect(await lastAudit()).toMatchObject({
      changed_by: 'user-7',
      actor: { session_user: 'test_service', jwt_subject: 'user-7', jwt_role: 'service_role' },
    })
  })

  test('a token without a subject, by its role', async () => {
    const service = login('service_role')
    await service`select set_config('request.jwt.claims', '{"role": "service_role"}', false)`
    await service.unsafe(change)
    expect(await lastAudit()).toMatchObject({ changed_by: 'service_role' })
  })

  test('whoever puts on another role is still named by the login', async () => {
    const session = await openSession(db)
    await session.sql`set role service_role`
    await session.sql.unsafe(change)
    expect(await lastAudit()).toMatchObject({
      changed_by: 'postgres',
      actor: { session_user: 'postgres', role: 'service_role' },
    })
  })

  test('a truncate', async () => {
    const before = await db.sql<Row[]>`select key, value from ops_policy`
    await db.sql`truncate ops_policy`
    expect(await lastAudit()).toMatchObject({ policy_key: '*', action: 'truncate', changed_by: 'postgres' })
    expect((await history('auto_approve')).length).toBeGreaterThan(0)
    for (const { key, value } of before) await setPolicy(db.sql, key, value)
  })

  test('who may not edit is refused, and leaves no trace', async () => {
    const audited = await count(db.sql, 'ops_policy_audit')
    for (const role of ['ops_worker', 'ops_readonly'] as const) {
      expect(await refusal(login(role).unsafe(change))).toMatchObject({ code: '42501' })
    }
    for (const role of ['service_role', 'ops_operator'] as const) {
      expect(await refusal(login(role).unsafe('truncate ops_policy'))).toMatchObject({ code: '42501' })
    }
    expect(await count(db.sql, 'ops_policy_audit')).toBe(audited)
  })

  test('a change that is rolled back has not happened', async () => {
    const audited = await count(db.sql, 'ops_policy_audit')
    const session = await openSession(db)
    await session.begin()
    await session.sql.unsafe(change)
    await session.rollback()
    expect(await count(db.sql, 'ops_policy_audit')).toBe(audited)
  })
})

describe('rolling back', () => {
  const rollback = async (key: string, version: number, sql: Connection = db.sql) =>
    only(await sql<{ version: number }[]>`select ops_policy_rollback(${key}, ${version}) as version`).version

  test('puts an earlier version in force as a new one', async () => {
    await setPolicy(db.sql, 'approvals', { expires_minutes: 1 })
    const first = await versionOf('approvals')
    await setPolicy(db.sql, 'approvals', { expires_minutes: 2 })
    expect(await rollback('approvals', first, login('ops_operator'))).toBe(first + 2)
    expect(await inForce('approvals')).toMatchObject({ value: { expires_minutes: 1 }, version: first + 2 })
    expect(await lastAudit()).toMatchObject({
      action: 'rollback',
      changed_by: 'test_operator',
      old_value: { expires_minutes: 2 },
      new_value: { expires_minutes: 1 },
    })
    await setPolicy(db.sql, 'approvals', { expires_minutes: 3 })
    expect(await lastAudit()).toMatchObject({ action: 'update' })
  })

  test('brings back what was deleted', async () => {
    await setPolicy(db.sql, 'approvals', { expires_minutes: 1 })
    const first = await versionOf('approvals')
    await db.sql`delete from ops_policy where key = 'approvals'`
    expect(await rollback('approvals', first)).toBe(first + 1)
    expect(await lastAudit()).toMatchObject({ action: 'rollback' })
  })

  test('to what is in force changes nothing', async () => {
    await setPolicy(db.sql, 'approvals', { expires_minutes: 1 })
    const version = await versionOf('approvals')
    expect(await rollback('approvals', version)).toBe(version)
  })

  test('needs a version that was', async () => {
    expect(await refusal(rollback('approvals', 9000))).toMatchObject({ code: 'OP013', path: 'p_version' })
    expect(await refusal(rollback('nonsense', 1))).toMatchObject({ code: 'OP013' })
  })

  test('to a value that is not allowed any more is refused', async () => {
    await setPolicy(db.sql, 'approvals', { expires_minutes: 1 })
    const version = await versionOf('approvals')
    await setPolicy(db.sql, 'approvals', { expires_minutes: 2 })
    const session = await openSession(db)
    await session.begin()
    await session.sql`update ops.policy_schemas set schema = jsonb_set(schema, '{properties,expires_minutes,minimum}', '2') where key = 'approvals'`
    expect(await refusal(rollback('approvals', version, session.sql))).toMatchObject({
      code: 'OP011',
      path: 'expires_minutes',
    })
    await session.rollback()
  })
})

describe('the step says before the policy, the policy before the environment, and that before the default', () => {
  const start = (max_retries?: number) => propose(db.sql, noop(0, { steps: [{ kind: 'noop', max_retries }] }))
  const retries: [string, number | undefined, object | null, Record<string, number>, number][] = [
    ['the step', 7, { max_retries: 5 }, { max_retries: 4 }, 7],
    ['a step that says none', 0, { max_retries: 5 }, { max_retries: 4 }, 0],
    ['the policy', undefined, { max_retries: 5 }, { max_retries: 4 }, 5],
    ['a policy that says none', undefined, { max_retries: 0 }, { max_retries: 4 }, 0],
    ['the environment', undefined, { lease_minutes: 9 }, { max_retries: 4 }, 4],
    ['the environment, without a policy', undefined, null, { max_retries: 4 }, 4],
    ['the default', undefined, null, {}, 3],
  ]
  test.each(retries)('retries by %s', async (_, declared, policy, settings, expected) => {
    if (policy) await setPolicy(db.sql, 'worker_policy', policy)
    await start(declared)
    const worker = await registerWorker(db.sql, 'worker-1', ['noop'], settings)
    const claimed = await claimOne(db.sql, worker)
    expect(claimed.max_retries).toBe(expected)
    const [failed] = await fail(db.sql, [{ ...lease(claimed), error: 'no', retry_after_seconds: 0 }])
    expect(failed?.step_status).toBe(expected > 1 ? 'queued' : 'failed')
  })

  const leases: [string, number | null, object | null, Record<string, number>, number][] = [
    ['the call', 30, { lease_minutes: 2 }, { lease_minutes: 3 }, 30],
    ['the policy', null, { lease_minutes: 2 }, { lease_minutes: 3 }, 120],
    ['the environment', null, { max_retries: 1 }, { lease_minutes: 3 }, 180],
    ['the environment, without a policy', null, null, { lease_minutes: 3 }, 180],
    ['the default', null, null, {}, 300],
  ]
  test.each(leases)(
    'leases by %s, also when they are renewed',
    async (_, leaseSeconds, policy, settings, expected) => {
      const clock = await stopClock(db.sql)
      if (policy) await setPolicy(db.sql, 'worker_policy', policy)
      await start()
      const worker = await registerWorker(db.sql, 'worker-1', ['noop'], settings)
      const [claimed] = await claim(db.sql, worker, { leaseSeconds })
      if (!claimed) throw new Error('nothing to claim')
      expect(claimed.lease_seconds).toBe(expected)
      expect(claimed.lease_expires_at.getTime() - (await clock.now()).getTime()).toBe(expected * 1000)
      await clock.advance(10)
      const [renewed] = await renew(db.sql, [lease(claimed)], leaseSeconds)
      expect((renewed?.lease_expires_at?.getTime() ?? 0) - (await clock.now()).getTime()).toBe(
        expected * 1000,
      )
    },
  )

  const stale: [string, number | undefined, number | null, object | null, number][] = [
    ['the step, with a minute of grace', 600, 5, { stale_minutes: 30 }, 660],
    ['the call', undefined, 5, { stale_minutes: 30 }, 300],
    ['the policy', undefined, null, { stale_minutes: 30 }, 1800],
    ['the default', undefined, null, null, 900],
  ]
  test.each(stale)('staleness by %s', async (_, timeout_seconds, minutes, policy, expected) => {
    const clock = await stopClock(db.sql)
    if (policy) await setPolicy(db.sql, 'worker_policy', policy)
    await propose(db.sql, noop(0, { steps: [{ kind: 'noop', timeout_seconds }] }))
    await claim(db.sql, await registerWorker(db.sql), { leaseSeconds: 86_400 })
    const recovered = async () =>
      only(await db.sql`select * from ops_recover_stale_steps(${minutes})`).recovered_steps
    await clock.advance(expected)
    expect(await recovered()).toBe(0)
    await clock.advance(1)
    expect(await recovered()).toBe(1)
  })

  test('a policy that changes holds from the next claim on', async () => {
    await start()
    await start()
    const worker = await registerWorker(db.sql)
    const [first] = await claim(db.sql, worker, { limit: 1 })
    await setPolicy(db.sql, 'worker_policy', { max_retries: 9 })
    const [second] = await claim(db.sql, worker, { limit: 1 })
    expect([first?.max_retries, second?.max_retries]).toEqual([3, 9])
    if (first) expect((await stepById(db.sql, first.step_id)).max_retries).toBe(3)
  })
})

describe('the control switch stops one part and no other', () => {
  const event = '[{"type": "test:happened"}]'
  const refused = { code: 'OP015' }

  /** Tries each part of the loop once; says which of them stood still. */
  const standing = async (): Promise<string[]> => {
    const still: string[] = []
    const [known] = await db.sql`select id as event_id from ops_agent_events where type = 'test:before'`
    try {
      await db.sql`select * from ops_emit_events(${event}::text::jsonb)`
    } catch (error) {
      expect(error).toMatchObject(refused)
      still.push('intake')
    }

    const pending = await db.sql`select event_id from ops_pending_events(10)`
    await settle(db.sql, { [known?.event_id]: [matched('p')] }, 1)
    const reacted = await db.sql`select * from ops_run_reactions(10)`
    expect(pending.length === 0).toBe(reacted.length === 0)
    if (reacted.length === 0) still.push('reactions')

    const proposed = await propose(db.sql, noop(1, { risk_level: 'low' }))
    const [held] = await db.sql`select id from ops_mission_proposals where dedupe_key = 'held'`
    try {
      await approve(db.sql, held?.id)
      expect(proposed.status).toBe('auto_approved')
    } catch (error) {
      expect(error).toMatchObject(refused)
      expect(proposed.status).toBe('pending')
      still.push('approvals')
    }

    const worker = await registerWorker(db.sql, 'worker-1', ['noop', 'other'])
    const executors = new Set(
      (await db.sql`select executor from ops_claim_steps(${worker}, array['noop', 'other'], 100)`).map(
        (row) => row.executor,
      ),
    )
    for (const executor of ['noop', 'other'])
      if (!executors.has(executor)) still.push(`claims of ${executor}`)
    const next = await db.sql`select * from ops_claim_next_step(5)`
    if (executors.size === 0) expect(next).toEqual([])
    return still
  }

  const parts: [string, object, string[]][] = [
    ['nothing', {}, []],
    ['intake', { intake: true }, ['intake']],
    ['reactions', { reactions: true }, ['reactions']],
    ['approvals', { approvals: true }, ['approvals']],
    ['claims', { claims: true }, ['claims of noop', 'claims of other']],
    ['one executor', { executors: ['noop'] }, ['claims of noop']],
    [
      'all of it',
      { intake: true, reactions: true, approvals: true, claims: true },
      ['intake', 'reactions', 'approvals', 'claims of noop', 'claims of other'],
    ],
  ]
  test.each(parts)('%s', async (_, pause, expected) => {
    await db.sql`select * from ops_emit_events('[{"type": "test:before"}]')`
    await propose(db.sql)
    await propose(db.sql, noop(0, { steps: [{ kind: 'other' }] }))
    await setPolicy(db.sql, 'auto_approve', { enabled: true, max_risk_level: 'low' })
    await proposeOne(db.sql, { template: noop(1, { risk_level: 'high' }), dedupe_key: 'held' })
    await setPolicy(db.sql, 'control', { pause })
    expect(await standing()).toEqual(expected)
    await db.sql`delete from ops_policy where key = 'control'`
    expect(await db.sql`select * from ops_emit_events(${event}::text::jsonb)`).toMatchObject([
      { outcome: 'accepted' },
    ])
  })

  test('an executor that worker_policy blocks is not claimed either', async () => {
    await propose(db.sql)
    await setPolicy(db.sql, 'worker_policy', { blocked_executors: ['noop'] })
    expect(await claim(db.sql, await registerWorker(db.sql))).toEqual([])
    await setPolicy(db.sql, 'worker_policy', {})
    expect(await claim(db.sql, await registerWorker(db.sql))).toHaveLength(1)
  })

  test('work that is leased finishes, with everything paused', async () => {
    await propose(db.sql, noop(2))
    const worker = await registerWorker(db.sql)
    const claimed = await claimOne(db.sql, worker)
    await setPolicy(db.sql, 'control', {
      pause: { intake: true, reactions: true, approvals: true, claims: true, executors: ['noop'] },
    })
    expect(await renew(db.sql, [lease(claimed)])).toMatchObject([{ outcome: 'ok' }])
    const events = [{ type: 'test:done', data: {} }]
    expect(await complete(db.sql, [{ ...lease(claimed), events }])).toMatchObject([{ outcome: 'ok' }])
    expect(await db.sql`select type from ops_agent_events`).toEqual([{ type: 'test:done' }])
    expect(await claim(db.sql, worker)).toEqual([])
  })
})
