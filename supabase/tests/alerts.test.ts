/** Alerts: each rule fires on its trouble at both thresholds and is silent without; what is told of an alert, and how often. */
import postgres from 'postgres'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import alertDefaults from '../../policies/default/alerts.json' with { type: 'json' }
import { adminUrlFor } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { emitOne, matched, respond, settle } from './loop.js'
import { only } from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import { type Connection, claimOne, complete, fail, lease, registerWorker, startMission } from './work.js'
import { type Clock, setPolicy, stopClock } from './world.js'

let db: SharedDatabase
let admin: Connection
let clock: Clock

beforeAll(async () => {
  db = await openSharedDatabase()
  admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
  onFileEnd(() => admin.end())
})

const defaults = { ...alertDefaults, resolve_after_minutes: 0 }
beforeEach(async () => {
  await db.reset()
  await db.sql`delete from ops.watch`
  await setPolicy(db.sql, 'alerts', defaults)
  clock = await stopClock(db.sql, new Date().toISOString())
})

interface Alert {
  id: string
  rule: string
  subject: string
  severity: string
  priority: string
  status: string
  value: string | null
  summary: string
  acknowledged_by: string | null
}

/** A look at the rules, however short ago the last one was. */
async function look(sql: Connection = db.sql, reports: Record<string, number> = {}): Promise<Alert[]> {
  await sql`delete from ops.watch where part = 'alerts'`
  await sql`select ops_evaluate_alerts(${JSON.stringify(reports)}::text::jsonb)`
  return sql<Alert[]>`select * from ops_alerts where status = 'open' order by rule, subject`
}

const told = async () =>
  (
    await db.sql<{ line: string }[]>`
    select transition || ' ' || (message ->> 'priority') || ' to ' || channel as line from ops_alert_notices order by created_at, id`
  ).map(({ line }) => line)

/** Steps of a mission each, straight to `queued` or to their end. */
async function ended(count: number, failed: number): Promise<void> {
  const worker = await registerWorker(db.sql)
  for (let i = 0; i < count; i++) {
    await startMission(db.sql, [{ key: 'a', max_retries: 1 }])
    const claimed = await claimOne(db.sql, worker)
    if (i < failed) await fail(db.sql, [{ ...lease(claimed), error: 'broken', permanent: true }])
    else await complete(db.sql, [lease(claimed)])
  }
}
const heartbeats = (count: number, ok: boolean) =>
  db.sql`insert into ops.heartbeats (ok, report, at)
    select ${ok}, '{"errors": [{"message": "no database"}]}', ops.now() - g * interval '1 minute' from generate_series(1, ${count}::int) g`
const queued = async (minutes: number) => {
  await startMission(db.sql, [{ key: 'a' }])
  await db.sql`select ops_report('x', 1)`
  await clock.advance(minutes * 60)
  await heartbeats(1, true)
}
const report = (name: string, value: number) => db.sql`select ops_report(${name}, ${value})`
const worker = (health: object) => db.sql`
  insert into ops.workers (name, version, executors, concurrency, role, health)
  values ('w', '1', '{noop}', 1, 'ops_worker', ${JSON.stringify(health)}::text::jsonb)`

/** For each rule: nothing wrong yet, just wrong enough for a warning, and for a critical alert (where the defaults have one). */
const rules: Record<
  string,
  { well: () => Promise<unknown>; warning: () => Promise<unknown>; critical?: () => Promise<unknown> }
> = {
  heartbeat_failures: {
    well: () => heartbeats(2, false),
    warning: () => heartbeats(3, false),
    critical: () => heartbeats(5, false),
  },
  heartbeat_silence_minutes: {
    well: () => heartbeats(1, true).then(() => clock.advance(13 * 60)),
    warning: () => heartbeats(1, true).then(() => clock.advance(14 * 60)),
    critical: () => heartbeats(1, true).then(() => clock.advance(60 * 60)),
  },
  worker_idle_minutes: { well: () => queued(9), warning: () => queued(10), critical: () => queued(30) },
  unclaimable_minutes: { well: () => queued(9), warning: () => queued(10), critical: () => queued(60) },
  proposal_latency_p95_seconds: {
    well: () => answeredAfter(300),
    warning: () => answeredAfter(301),
    critical: () => answeredAfter(601),
  },
  mission_success_percent: {
    well: () => ended(20, 1),
    warning: () => ended(19, 1),
    critical: () => ended(5, 2),
  },
  step_error_percent: {
    well: () => ended(20, 5),
    warning: () => ended(20, 6),
    critical: () => ended(20, 11),
  },
  dead_letters_per_hour: {
    well: () => ended(5, 5),
    warning: () => ended(6, 6),
    critical: () => ended(21, 21),
  },
  queued_events: { well: () => events(100), warning: () => events(101), critical: () => events(1001) },
  queued_steps: { well: () => steps(50), warning: () => steps(51), critical: () => steps(501) },
  proposals_per_hour: { well: () => proposals(100), warning: () => proposals(101) },
  average_step_seconds: { well: () => lasting(600), warning: () => lasting(601) },
  pattern_errors_per_hour: {
    well: async () => undefined,
    warning: () =>
      emitOne(db.sql, { type: 'test:begin' }).then((id) =>
        respond(db.sql, id, matched('p', { template: { title: 'x', steps: [] } })),
      ),
  },
  quarantined_patterns: {
    well: () => report('quarantined_patterns', 0),
    warning: () => report('quarantined_patterns', 1),
  },
  api_error_percent: {
    well: () => report('api_error_percent', 5),
    warning: () => report('api_error_percent', 5.1),
    critical: () => report('api_error_percent', 21),
  },
  api_p99_ms: {
    well: () => report('api_p99_ms', 1000),
    warning: () => report('api_p99_ms', 1001),
    critical: () => report('api_p99_ms', 5001),
  },
  database_latency_ms: {
    well: () => report('database_latency_ms', 500),
    warning: () => report('database_latency_ms', 501),
    critical: () => report('database_latency_ms', 2001),
  },
  worker_memory_percent: {
    well: () => worker({ memory_percent: 80 }),
    warning: () => worker({ memory_percent: 80.5 }),
    critical: () => worker({ memory_percent: 91 }),
  },
  backup_age_hours: {
    well: () => report('backup', 1).then(() => clock.advance(26 * 3600)),
    warning: () => report('backup', 1).then(() => clock.advance(27 * 3600)),
    critical: () => report('backup', 1).then(() => clock.advance(51 * 3600)),
  },
  service_down_minutes: {
    well: async () => undefined,
    warning: () => serviceDown(0),
    critical: () => serviceDown(10),
  },
  channel_failures: {
    well: () => db.sql`insert into ops.channels (name, failures) values ('slack', 2)`,
    warning: () =>
      db.sql`insert into ops.channels (name, failures, last_error) values ('slack', 3, '410 gone')`,
  },
}

async function answeredAfter(seconds: number) {
  const id = await emitOne(db.sql, { type: 'test:begin' })
  await clock.advance(seconds)
  await respond(db.sql, id)
  await db.sql`update ops_mission_steps set status = 'cancelled', completed_at = ops.now(), end_reason = 'test', revision = revision + 1`
}
const events = (count: number) => admin`
  insert into ops_agent_events (type, created_at) select 'test:event', ops.now() from generate_series(1, ${count}::int)`
async function steps(count: number) {
  const mission = await startMission(db.sql, [{ key: 'first' }])
  await admin`set session_replication_role = replica`
  await admin`
    insert into ops_mission_steps (mission_id, kind, executor, key, revision)
    select ${mission.id}, 'noop', 'noop', 'k' || g, 1 from generate_series(2, ${count}::int) g`
  await admin`set session_replication_role = origin`
  await admin`
    insert into ops.queue (step_id, mission_id, status, executor, priority, run_at, ready)
    select id, mission_id, status, executor, priority, run_at, ready from ops_mission_steps where mission_id = ${mission.id} and key <> 'first'`
}
const proposals = (count: number) => admin`
  insert into ops_mission_proposals (source, status, template, code, reason, created_at)
  select 'api', 'rejected', '{}', 'cap_daily', 'x', ops.now() from generate_series(1, ${count}::int)`
async function lasting(seconds: number) {
  const by = await registerWorker(db.sql)
  await startMission(db.sql, [{ key: 'a' }])
  const claimed = await claimOne(db.sql, by, { leaseSeconds: 3600 })
  await clock.advance(seconds)
  await complete(db.sql, [lease(claimed)])
}
const serviceDown = (minutes: number) => db.sql`
  insert into ops.services (name, state, opened_at, retry_at, error)
  values ('billing', 'open', ops.now() - ${minutes}::int * interval '1 minute', ops.now(), '502')`

async function patternFails() {
  const id = await emitOne(db.sql, { type: 'test:begin' })
  await settle(db.sql, { [id]: [{ pattern_id: 'p', decision: 'error', mode: 'active' }] })
}

/** Missions of a step each that were admitted last and wait. */
async function backlog(count: number) {
  await admin`set session_replication_role = replica`
  await admin`
    with mission as (
      insert into ops_missions (id, proposal_id, source, steps_total, steps_open)
      select ops.new_id(), ops.new_id(), 'api', 1, 1 from generate_series(1, ${count}::int) returning id
    ), step as (
      insert into ops_mission_steps (mission_id, kind, executor, key, revision) select id, 'noop', 'noop', 'a', 1 from mission
      returning id, mission_id, status, executor, priority, run_at, ready
    )
    insert into ops.queue (step_id, mission_id, status, executor, priority, run_at, ready) select * from step`
  await admin`set session_replication_role = origin`
}

const openRule = async (name: string) => (await look()).filter(({ rule }) => rule === name)

describe('rules', () => {
  const server = ['connections_percent', 'longest_query_seconds', 'database_gigabytes']

  test('are all tried here', () => {
    expect([...Object.keys(rules), ...server].sort()).toEqual(
      [...Object.keys(alertDefaults.rules), 'database_gigabytes'].sort(),
    )
  })

  describe.each(Object.entries(rules))('%s', (name, { well, warning, critical }) => {
    test('is silent below its thresholds', async () => {
      await well()
      expect(await openRule(name)).toEqual([])
    })

    test('warns', async () => {
      await warning()
      expect(await openRule(name)).toMatchObject([{ severity: 'warning', priority: 'P2' }])
    })

    if (critical)
      test('is critical', async () => {
        await critical()
        expect(await openRule(name)).toMatchObject([{ severity: 'critical', priority: 'P0' }])
      })
  })

  test.each(server)('%s is measured in the server itself', async (name) => {
    const busy = name === 'longest_query_seconds' ? db.sql`select pg_sleep(30)`.execute() : undefined
    busy?.catch(() => undefined)
    await setPolicy(db.sql, 'alerts', { rules: { [name]: { warning: 1000 } }, resolve_after_minutes: 0 })
    expect(await openRule(name)).toEqual([])
    await setPolicy(db.sql, 'alerts', {
      rules: { [name]: { warning: 0, critical: 1000 } },
      resolve_after_minutes: 0,
    })
    await expect.poll(() => openRule(name)).toMatchObject([{ severity: 'warning' }])
    busy?.cancel()
  })

  test('of a healthy loop at work say nothing', async () => {
    await heartbeats(5, true)
    await ended(25, 0)
    await emitOne(db.sql, { type: 'test:quiet' })
    expect(await look(db.sql, { database_latency_ms: 3, api_p99_ms: 20, api_error_percent: 0 })).toEqual([])
  })

  test('count up to twice the higher threshold, and say so', async () => {
    await steps(99)
    const rule = (critical: number) =>
      setPolicy(db.sql, 'alerts', { rules: { queued_steps: { warning: 10, critical } } })
    await rule(50)
    expect(await openRule('queued_steps')).toMatchObject([
      { value: '99', summary: '99 steps wait for a worker' },
    ])
    await rule(49.5)
    expect(await openRule('queued_steps')).toMatchObject([
      { value: '99', summary: 'at least 99 steps wait for a worker' },
    ])
    await rule(20)
    expect(await openRule('queued_steps')).toMatchObject([
      { value: '40', summary: 'at least 40 steps wait for a worker' },
    ])
  })

  test.each([
    ['queued_steps', steps],
    ['queued_events', events],
    ['proposals_per_hour', proposals],
  ])('%s keeps any threshold that an operator sets', async (name, store) => {
    await setPolicy(db.sql, 'alerts', { rules: { [name]: { warning: 10_500 } } })
    await store(10_500)
    expect(await openRule(name)).toEqual([])
    await store(10_501)
    expect(await openRule(name)).toMatchObject([{ severity: 'warning' }])
  })

  test.each([
    ['mission_success_percent', () => ended(5, 2), 'critical'],
    ['step_error_percent', () => ended(20, 11), 'critical'],
    ['average_step_seconds', () => lasting(601), 'warning'],
    ['pattern_errors_per_hour', patternFails, 'warning'],
  ])('%s sees what went on before a long backlog came in', async (name, wrong, severity) => {
    await wrong()
    await backlog(5001)
    await events(2001)
    expect(await openRule(name)).toMatchObject([{ severity }])
  })

  describe('worker_idle_minutes counts from the last claim', () => {
    beforeEach(async () => {
      await startMission(db.sql, [{ key: 'a', priority: -1 }])
      await queued(10)
    })
    const claimedFirst = async () => claimOne(db.sql, await registerWorker(db.sql), { leaseSeconds: 3600 })

    test('of an attempt at work', async () => {
      await claimedFirst()
      await clock.advance(9 * 60)
      expect(await openRule('worker_idle_minutes')).toEqual([])
      await clock.advance(60)
      expect(await openRule('worker_idle_minutes')).toMatchObject([{ value: '10.0' }])
    })

    test('of an attempt that has ended', async () => {
      await complete(db.sql, [lease(await claimedFirst())])
      await db.sql`delete from ops.claims`
      await clock.advance(9 * 60)
      expect(await openRule('worker_idle_minutes')).toEqual([])
      await clock.advance(60)
      expect(await openRule('worker_idle_minutes')).toMatchObject([{ value: '10.0' }])
    })

    test('that took more than a canary', async () => {
      await db.sql`update ops_mission_steps set kind = 'noop:canary' where priority = -1`
      const canary = await claimedFirst()
      expect(await openRule('worker_idle_minutes')).toMatchObject([{ value: '10.0' }])
      await complete(db.sql, [lease(canary)])
      expect(await openRule('worker_idle_minutes')).toMatchObject([{ value: '10.0' }])
    })
  })

  test('a pattern that is out of service stays an alert from one round of checks to the next', async () => {
    const { rules } = defaults
    await setPolicy(db.sql, 'invariants', { every_minutes: 120 })
    await setPolicy(db.sql, 'alerts', {
      ...defaults,
      rules: { quarantined_patterns: rules.quarantined_patterns },
    })
    await report('quarantined_patterns', 1)
    const [first] = await look()
    expect(first).toMatchObject({ rule: 'quarantined_patterns' })
    await clock.advance(119 * 60)
    expect(await look()).toMatchObject([{ id: first?.id }])
    await clock.advance(122 * 60)
    expect(await look()).toEqual([])
  })

  test('that cannot be measured stop no other, and are an alert themselves', async () => {
    await db.sql`insert into ops.workers (name, version, executors, concurrency, role, health)
      values ('w', '1', '{noop}', 1, 'ops_worker', '{"memory_percent": "much"}')`
    await heartbeats(3, false)
    expect(await look()).toMatchObject([
      { rule: 'heartbeat_failures' },
      { rule: 'rule_failed', subject: 'worker_memory_percent', severity: 'warning' },
    ])
  })

  test('leave the canary out', async () => {
    await db.sql`select ops_send_canary()`
    await clock.advance(3600)
    await heartbeats(1, true)
    expect((await look()).filter(({ rule }) => rule !== 'invariant')).toEqual([])
  })

  test('are looked at once a minute, however many heartbeats overlap', async () => {
    const looks = await Promise.all(
      Array.from(
        { length: 8 },
        () => db.sql<{ open: number | null }[]>`select ops_evaluate_alerts() as open`,
      ),
    )
    expect(looks.flat().filter(({ open }) => open !== null)).toHaveLength(1)
  })

  test('a violated check is an alert with the severity of the check', async () => {
    await db.sql`select ops.open_violation('negative_invoices', '7', 'high', 'invoice 7 is negative')`
    expect(await look()).toMatchObject([
      {
        rule: 'invariant',
        subject: 'negative_invoices',
        severity: 'high',
        priority: 'P1',
        summary: '1 violation of negative_invoices: invoice 7 is negative',
      },
    ])
    await db.sql`select ops.resolve_violations('negative_invoices')`
    expect(await look()).toEqual([])
  })
})

describe('an alert', () => {
  const policy = (more: object = {}) =>
    setPolicy(db.sql, 'alerts', {
      repeat_minutes: 60,
      resolve_after_minutes: 5,
      rules: { queued_events: { warning: 1, critical: 3 } },
      channels: { chat: { type: 'slack' }, pager: { type: 'webhook', url_variable: 'PAGER' } },
      routes: { critical: ['chat', 'pager'], high: ['chat'], warning: ['chat'], info: [] },
      ...more,
    })
  const settleAll = () => db.sql`update ops_agent_events set processed_at = ops.now()`
  beforeEach(() => policy())

  test('is told once, when it gets worse, after the set time, and when it is over', async () => {
    await events(2)
    await look()
    await look()
    expect(await told()).toEqual(['opened P2 to chat'])
    await events(2)
    await look()
    expect(await told()).toEqual(['opened P2 to chat', 'escalated P0 to chat', 'escalated P0 to pager'])
    await clock.advance(59 * 60)
    await look()
    expect(await told()).toHaveLength(3)
    await clock.advance(60)
    await look()
    expect((await told()).slice(3)).toEqual(['repeated P0 to chat', 'repeated P0 to pager'])
    await settleAll()
    expect(only(await look())).toMatchObject({ status: 'open' })
    await clock.advance(5 * 60)
    expect(await look()).toEqual([])
    expect((await told()).slice(5)).toEqual(['resolved P0 to chat', 'resolved P0 to pager'])
    await look()
    expect(await told()).toHaveLength(7)
  })

  test('that wavers stays one: its severity only rises, and it is over only after a while', async () => {
    for (const count of [4, -4, 2, -2, 4, -4, 2]) {
      if (count > 0) await events(count)
      else await settleAll()
      await look()
      await clock.advance(60)
    }
    expect(await told()).toEqual(['opened P0 to chat', 'opened P0 to pager'])
    expect(only(await db.sql`select severity from ops_alerts`)).toEqual({ severity: 'critical' })
  })

  test('that is acknowledged is told again only when it gets worse or ends', async () => {
    await events(2)
    const { id } = only(await look())
    await db.sql`select ops_acknowledge_alert(${id}, 'dana', 'on it')`
    await db.sql`select ops_acknowledge_alert(${id}, 'erin')`
    expect(only(await look())).toMatchObject({ acknowledged_by: 'dana', note: 'on it' })
    await clock.advance(7200)
    await look()
    expect(await told()).toEqual(['opened P2 to chat'])
    await events(2)
    expect(only(await look())).toMatchObject({ severity: 'critical', acknowledged_by: null })
    expect(await told()).toHaveLength(3)
    await settleAll()
    await look()
    await clock.advance(300)
    await look()
    expect((await told()).slice(3)).toEqual(['resolved P0 to chat', 'resolved P0 to pager'])
    await expect(db.sql`select ops_acknowledge_alert(${id}, 'dana')`).rejects.toMatchObject({ code: 'OP014' })
    await expect(db.sql`select ops_acknowledge_alert(gen_random_uuid(), 'dana')`).rejects.toMatchObject({
      code: 'OP013',
    })
  })

  test('that is silenced is told when the silence is over, if it is still there', async () => {
    await db.sql`select * from ops_silence_alerts('queued_events', 30, 'a load test', 'dana')`
    await events(2)
    expect(await look()).toHaveLength(1)
    await clock.advance(29 * 60)
    await look()
    expect(await told()).toEqual([])
    await clock.advance(60)
    await look()
    expect(await told()).toEqual(['opened P2 to chat'])
  })

  test('silenced after it was told of leaves no notice that has not left yet', async () => {
    await events(2)
    await look()
    await db.sql`select * from ops_silence_alerts('*', 30, 'a load test', 'dana')`
    expect(await db.sql`select * from ops_claim_notices()`).toEqual([])
  })

  test.each([
    ['no reason', ['queued_events', 30, '', 'dana']],
    ['an unknown rule', ['queued_eventz', 30, 'why', 'dana']],
    ['no end', ['queued_events', 0, 'why', 'dana']],
    ['nobody', ['queued_events', 30, 'why', '']],
  ] as const)('is not silenced by %s', async (_, [rule, minutes, reason, actor]) => {
    await expect(
      db.sql`select * from ops_silence_alerts(${rule}, ${minutes}, ${reason}, ${actor})`,
    ).rejects.toMatchObject({
      code: 'OP011',
    })
  })

  test('whose rule is taken out is over at once, and so are all when alerts are turned off', async () => {
    await events(2)
    await look()
    await policy({ rules: {} })
    expect(await look()).toEqual([])
    await policy()
    expect(await look()).toHaveLength(1)
    await policy({ enabled: false })
    expect(await look()).toEqual([])
  })

  test('of a channel is not told through that channel', async () => {
    await policy({ rules: { channel_failures: { critical: 3 } } })
    await db.sql`insert into ops.channels (name, failures, last_error) values ('pager', 3, '410 gone')`
    await look()
    expect(await told()).toEqual(['opened P0 to chat'])
  })
})

describe('notices', () => {
  interface Taken {
    id: string
    token: string
    channel: string
    message: { transition: string }
    attempt: number
  }
  const take = (limit = 20, leaseSeconds = 60) =>
    db.sql<Taken[]>`select * from ops_claim_notices(${limit}, ${leaseSeconds})`
  const record = async (
    { id, token }: Taken,
    outcome: string,
    error: string | null = null,
    after: number | null = null,
  ) =>
    only(
      await db.sql<
        { answer: string }[]
      >`select ops_record_notice(${id}, ${token}, ${outcome}, '{}', ${error}, ${after}) as answer`,
    ).answer

  beforeEach(async () => {
    await setPolicy(db.sql, 'alerts', {
      resolve_after_minutes: 0,
      rules: { queued_events: { warning: 1, critical: 3 } },
      channels: { chat: { type: 'slack' } },
      routes: { critical: ['chat'], warning: ['chat'] },
    })
    await events(2)
    await look()
  })

  test('are taken by one of many', async () => {
    const taken = await Promise.all(Array.from({ length: 8 }, () => take()))
    expect(taken.flat()).toHaveLength(1)
  })

  test('that were lost with their taker come back under the same id, and the loser cannot record', async () => {
    const lost = only(await take())
    await clock.advance(59)
    expect(await take()).toEqual([])
    await clock.advance(1)
    const again = only(await take())
    expect(again).toMatchObject({ id: lost.id, attempt: 2 })
    expect(await record(lost, 'delivered')).toBe('lost')
    expect(await record(again, 'delivered')).toBe('ok')
    expect(await record(again, 'delivered')).toBe('lost')
    await clock.advance(3600)
    expect(await take()).toEqual([])
  })

  test('that fail are tried again with backoff, given up after a day, and counted against their channel', async () => {
    const waits: number[] = []
    for (let i = 0; i < 4; i++) {
      await record(only(await take()), 'later', '503')
      const [{ wait } = { wait: -1 }] = await db.sql<{ wait: number }[]>`
        select extract(epoch from due_at - ops.now())::int as wait from ops.alert_notices`
      waits.push(wait)
      await clock.advance(wait - 1)
      expect(await take()).toEqual([])
      await clock.advance(1)
    }
    expect(waits).toEqual([30, 60, 120, 240])
    await record(only(await take()), 'later', '429', 1000)
    await clock.advance(999)
    expect(await take()).toEqual([])
    await clock.advance(86_400)
    await record(only(await take()), 'later', '503')
    expect(only(await db.sql`select status, attempts, last_error from ops_alert_notices`)).toEqual({
      status: 'refused',
      attempts: 6,
      last_error: '503',
    })
    expect(only(await db.sql`select failures from ops.channels`)).toEqual({ failures: 6 })
  })

  test('about one alert leave in order', async () => {
    const first = only(await take())
    await events(2)
    await look()
    await record(first, 'later', '503')
    expect(await take()).toEqual([])
    await clock.advance(30)
    const again = only(await take())
    expect(again.message.transition).toBe('opened')
    await record(again, 'delivered')
    expect(only(await take()).message.transition).toBe('escalated')
  })

  test('a channel that works again has no failures', async () => {
    await record(only(await take()), 'later', '503')
    await clock.advance(30)
    await record(only(await take()), 'delivered')
    expect(only(await db.sql`select failures, last_error from ops.channels`)).toEqual({
      failures: 0,
      last_error: null,
    })
  })

  test('for a channel that is gone are skipped', async () => {
    await setPolicy(db.sql, 'alerts', { channels: {} })
    expect(await take()).toEqual([])
    expect(only(await db.sql`select status from ops_alert_notices`)).toEqual({ status: 'skipped' })
  })
})

describe('the digest', () => {
  test('leaves once a day, when its hour has come in its time zone', async () => {
    await db.reset()
    clock = await stopClock(db.sql, '2026-07-01T05:59:00Z')
    await db.sql`delete from ops.watch`
    await setPolicy(db.sql, 'alerts', {
      channels: { mail: { type: 'email', from: 'ops@example.com', to: ['dana@example.com'] } },
      digest: { channels: ['mail'], hour: 8, time_zone: 'Europe/Berlin' },
    })
    const digests = async () => {
      await look()
      return (await db.sql`select from ops_alert_notices where transition = 'digest'`).length
    }
    expect(await digests()).toBe(0)
    await clock.advance(60)
    expect(await digests()).toBe(1)
    await clock.advance(3600)
    expect(await digests()).toBe(1)
    await clock.advance(23 * 3600)
    expect(await digests()).toBe(2)
  })
})
