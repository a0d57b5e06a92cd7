/** Dashboards: the documented views on a small loop of known shape, their plans, and the runbook's own SQL, statement by statement. */
import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { beforeAll, describe, expect, test } from 'vitest'
import { adminUrlFor, type TestDatabase, urlFor } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { finishedWork } from './finished-work.js'
import { emit, matched, settle } from './loop.js'
import { only, propose, refusal } from './proposals.js'
import { type RunbookStatement, runbook } from './runbook.js'
import {
  type Connection,
  claimOne,
  complete,
  fail,
  lease,
  missionRow,
  registerWorker,
  startMission,
  stepById,
} from './work.js'
import { brokenInvariants, openDatabase, setPolicy, stopClock } from './world.js'

interface Loop {
  deadStep: string
  failedMission: string
}

/**
 * A loop with one of everything: 8 steps (2 succeeded, 1 failed, 1 running, 3 queued, 1 waiting), 9 proposals (6 admitted by
 * themselves, 1 pending, 2 over a cap), 2 reactions and a shadow, 3 beats, and 5 events that nobody has settled: one reported, two
 * ends of missions, one dead step, one proposal that waits.
 */
async function prepareLoop(sql: Connection): Promise<Loop> {
  await setPolicy(sql, 'auto_approve', { enabled: true, allowed_step_kinds: ['noop', 'radar'] })
  await setPolicy(sql, 'proposal_caps', { daily_limit: 50, per_source: { capped: 1 } })
  await setPolicy(sql, 'reaction_matrix', {
    patterns: ['begin', 'quiet'].map((id) => ({ id, name: id, event_type: 'test:begin', template: oneStep })),
  })
  const worker = await registerWorker(sql)
  const work = async () => complete(sql, [lease(await claimOne(sql, worker))])

  const [answered = '', shadowed = '', waiting = ''] = await emit(
    sql,
    ...['test:begin', 'test:begin', 'test:begin', 'test:other'].map((type) => ({ type })),
  )
  await settle(sql, begun(answered, 'active'), 1)
  await sql`select * from ops_run_reactions(10)`
  await work()
  await settle(sql, begun(shadowed, 'shadow'), 1)
  await settle(sql, begun(waiting, 'active'), 1)

  const failed = await startMission(sql, [{ key: 'a' }], { title: 'dies' })
  const dying = await claimOne(sql, worker)
  await fail(sql, [{ ...lease(dying), error: 'broken', permanent: true }])
  await startMission(sql, [{ key: 'a' }])
  await claimOne(sql, worker)
  await startMission(sql, [{ key: 'a' }, { key: 'b' }, { key: 'c' }])
  await work()
  await startMission(sql, [{ key: 'a', kind: 'radar', params: { action: 'list' } }])
  for (let i = 0; i < 3; i++) await propose(sql, oneStep, { source: 'capped' })
  await propose(sql, {
    ...oneStep,
    steps: [{ kind: 'openclaw', params: { message: 'hello', agent: 'main' } }],
  })
  for (const ok of [true, true, false]) await sql`select ops_record_heartbeat(${ok}, '{}')`
  return { deadStep: failed.step('a'), failedMission: failed.id }
}

const oneStep = { title: 'one step', risk_level: 'low', steps: [{ kind: 'noop' }] }

const begun = (eventId: string, mode: 'active' | 'shadow') => ({
  [eventId]: [matched('begin', { mode, template: oneStep })],
})

describe('each view answers a reader with the numbers of the loop', () => {
  let db: TestDatabase
  let loop: Loop
  let reader: Connection

  beforeAll(async () => {
    db = await openDatabase()
    loop = await prepareLoop(db.sql)
    reader = postgres(urlFor(db, 'ops_readonly'), { max: 1, onnotice: () => undefined })
    onFileEnd(() => reader.end({ timeout: 1 }))
  })

  const rows = async (view: string) => [...(await reader`select * from ${reader(view)}`)]
  /** Counts come as text, because they may be large. */
  const numbers = (row: Record<string, unknown> | undefined) =>
    Object.fromEntries(Object.entries(row ?? {}).map(([name, value]) => [name, Number(value)]))
  /** The sums of some columns, so that a test may run over midnight. */
  const sums = async (view: string, ...columns: string[]) => {
    const all = await rows(view)
    return columns.map((column) => all.reduce((sum, row) => sum + Number(row[column]), 0))
  }

  test('and there is no view without a test', async () => {
    const views = await db.sql<{ name: string }[]>`
      select viewname as name from pg_views where schemaname = 'public' and viewname like 'ops\\_%' order by 1`
    expect(views.map((v) => v.name)).toEqual([
      'ops_alert_notices',
      'ops_alerts',
      'ops_canary',
      'ops_check_runs',
      'ops_dead_letter_rate',
      'ops_dead_letters',
      'ops_heartbeat_health',
      'ops_held_steps',
      'ops_mission_success_rate',
      'ops_pattern_effectiveness',
      'ops_policy_audit',
      'ops_policy_compliance',
      'ops_policy_history',
      'ops_proposal_latency',
      'ops_proposal_rate',
      'ops_queue_depth',
      'ops_reactions_and_shadows',
      'ops_recent_failures',
      'ops_schedules',
      'ops_services',
      'ops_silences',
      'ops_step_durations',
      'ops_system_health',
      'ops_table_sizes',
      'ops_unclaimable_steps',
      'ops_worker_activity',
      'ops_workers',
    ])
  })

  test('and none that docs/views.md does not tell of', async () => {
    const page = await readFile('docs/views.md', 'utf8')
    const views = await db.sql<{ name: string }[]>`
      select viewname as name from pg_views where schemaname = 'public' and viewname like 'ops\\_%' order by 1`
    const told = [...page.matchAll(/^\| `(ops_\w+)`/gm)].map(([, name]) => name)
    expect(told.sort()).toEqual(views.map((v) => v.name))
  })

  test('ops_held_steps is empty where the work is at home', async () => {
    expect(await rows('ops_held_steps')).toEqual([])
  })

  test('ops_system_health', async () => {
    expect(numbers(only(await rows('ops_system_health')))).toEqual({
      unprocessed_events: 5,
      recent_events: 6,
      queued_reactions: 1,
      processing_reactions: 0,
      pending_proposals: 1,
      recent_proposals: 9,
      running_missions: 2,
      failed_missions: 1,
      queued_steps: 3,
      running_steps: 1,
      failed_steps: 1,
    })
  })

  test('ops_queue_depth', async () => {
    const depth = Object.fromEntries(
      (await rows('ops_queue_depth')).map((row) => [row.metric, Number(row.count)]),
    )
    expect(depth).toEqual({
      queued_events: 5,
      queued_reactions: 1,
      pending_proposals: 1,
      queued_steps: 3,
      running_steps: 1,
      waiting_steps: 1,
    })
  })

  test('ops_schedules', async () => {
    const event = { type: 'app:daily' }
    await setPolicy(db.sql, 'schedules', {
      schedules: [{ id: 'daily', cron: '0 9 * * *', time_zone: 'Europe/Berlin', event }],
    })
    expect(await rows('ops_schedules')).toMatchObject([
      { id: 'daily', cron: '0 9 * * *', time_zone: 'Europe/Berlin', event_type: 'app:daily', next_at: null },
    ])
  })

  test('ops_heartbeat_health', async () => {
    expect(await sums('ops_heartbeat_health', 'successes', 'failures')).toEqual([2, 1])
  })

  test('ops_worker_activity', async () => {
    expect(await sums('ops_worker_activity', 'steps_claimed', 'succeeded', 'failed')).toEqual([4, 2, 1])
  })

  test('ops_proposal_latency', async () => {
    const latency = numbers(only(await rows('ops_proposal_latency')))
    expect(latency.proposals).toBe(1)
    const [{ seconds } = { seconds: -1 }] = await db.sql<{ seconds: number }[]>`
      select extract(epoch from p.created_at - e.created_at)::float8 as seconds
      from ops_mission_proposals p join ops_agent_reactions r on r.id = p.reaction_id join ops_agent_events e on e.id = r.event_id`
    for (const name of ['avg_latency_seconds', 'p50_latency', 'p95_latency', 'p99_latency']) {
      expect(latency[name], name).toBeCloseTo(seconds, 5)
    }
  })

  test('ops_step_durations', async () => {
    const [durations, ...others] = await rows('ops_step_durations')
    expect(others).toEqual([])
    expect(durations).toMatchObject({ kind: 'noop', total_steps: '3' })
    const { avg_duration_seconds: whole = -1, avg_attempt_seconds: attempt = -1 } = numbers(durations)
    expect(attempt).toBeGreaterThan(0)
    expect(whole).toBeGreaterThan(attempt)
  })

  test('ops_proposal_rate', async () => {
    const bySource: Record<string, number[]> = {}
    for (const row of await rows('ops_proposal_rate')) {
      const [proposals = 0, rejected = 0] = bySource[row.source] ?? []
      bySource[row.source] = [proposals + Number(row.proposals), rejected + Number(row.rejected)]
    }
    expect(bySource).toEqual({ api: [5, 0], capped: [3, 2], reaction: [1, 0] })
  })

  test('ops_mission_success_rate', async () => {
    expect(await sums('ops_mission_success_rate', 'total_missions', 'succeeded')).toEqual([2, 1])
    const days = await rows('ops_mission_success_rate')
    if (days.length === 1) expect(Number(days[0]?.success_rate_pct)).toBe(50)
  })

  test('ops_dead_letter_rate, ops_dead_letters and ops_recent_failures', async () => {
    const dead = {
      step_id: loop.deadStep,
      mission_id: loop.failedMission,
      kind: 'noop',
      last_error: 'broken',
    }
    expect(await sums('ops_dead_letter_rate', 'dead_letters')).toEqual([1])
    expect(only(await rows('ops_recent_failures'))).toMatchObject({ ...dead, proposal_source: 'api' })
    expect(only(await rows('ops_dead_letters'))).toMatchObject({
      ...dead,
      failure_count: 1,
      mission_title: 'dies',
      mission_status: 'failed',
    })
  })

  test('ops_policy_compliance', async () => {
    const caps = (await rows('ops_policy_compliance')).map(({ scope, name, used, limit }) => ({
      scope,
      name,
      used,
      limit,
    }))
    expect(caps).toContainEqual({ scope: 'daily', name: '', used: 7, limit: 50 })
    expect(caps).toContainEqual({ scope: 'source', name: 'capped', used: 1, limit: 1 })
  })

  test('ops_pattern_effectiveness and ops_reactions_and_shadows', async () => {
    expect(await rows('ops_pattern_effectiveness')).toEqual([
      { pattern_id: 'begin', mode: 'active', reactions_created: '2' },
      { pattern_id: 'quiet', mode: 'active', reactions_created: '0' },
    ])
    const modes = (await rows('ops_reactions_and_shadows')).map(({ mode, status }) => `${mode} ${status}`)
    expect(modes.sort()).toEqual(['active done', 'active queued', 'shadow shadow'])
  })

  test('ops_unclaimable_steps and ops_workers', async () => {
    expect(await rows('ops_unclaimable_steps')).toMatchObject([{ executor: 'radar', steps: '1' }])
    expect(await rows('ops_workers')).toMatchObject([{ name: 'worker-1', executors: ['noop'], live: true }])
  })

  test('ops_policy_history and ops_policy_audit', async () => {
    const [latest] = await reader`
      select key, version, value from ops_policy_history where key = 'proposal_caps' order by version desc`
    expect(latest).toMatchObject({ value: { daily_limit: 50 } })
    const [audit] = await reader`
      select * from ops_policy_audit where policy_key = 'proposal_caps' order by changed_at desc, id desc`
    expect(audit).toMatchObject({ action: 'update', new_version: latest?.version, new_value: latest?.value })
  })

  test('ops_table_sizes', async () => {
    const sizes = await rows('ops_table_sizes')
    expect(sizes.filter((row) => row.schema === 'public')).toHaveLength(8)
    expect(sizes.map((row) => row.table)).toEqual(expect.arrayContaining(['archive', 'policy_audit']))
    expect(sizes.every((row) => Number(row.total_bytes) >= 0)).toBe(true)
  })

  test('and each looks back over its window, no further', async () => {
    const { now } = only(await db.sql<{ now: Date }[]>`select ops.now()`)
    const clock = await stopClock(db.sql, now.toISOString())
    await clock.advance(25 * hour)
    expect(numbers(only(await rows('ops_system_health'))).recent_proposals).toBe(0)
    for (const view of [
      'ops_heartbeat_health',
      'ops_worker_activity',
      'ops_step_durations',
      'ops_recent_failures',
    ]) {
      expect(await rows(view), view).toEqual([])
    }
    expect(only(await rows('ops_proposal_latency'))).toMatchObject({
      proposals: '0',
      avg_latency_seconds: null,
    })
    expect(await sums('ops_dead_letter_rate', 'dead_letters')).toEqual([1])
    await clock.advance(6 * 24 * hour)
    for (const view of ['ops_proposal_rate', 'ops_mission_success_rate', 'ops_dead_letter_rate']) {
      expect(await rows(view), view).toEqual([])
    }
    expect((await rows('ops_pattern_effectiveness'))[0]).toMatchObject({ reactions_created: '2' })
    await clock.advance(24 * 24 * hour)
    expect((await rows('ops_pattern_effectiveness'))[0]).toMatchObject({ reactions_created: '0' })
    expect(await rows('ops_dead_letters')).toHaveLength(1)
  })
})

const hour = 60 * 60

describe('no view reads a whole table', () => {
  let db: TestDatabase

  beforeAll(async () => {
    db = await openDatabase()
    const admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
    await admin.unsafe(finishedWork)
    await admin.end()
  })

  const views = [
    'ops_system_health',
    'ops_queue_depth',
    'ops_dead_letters',
    'ops_unclaimable_steps',
    'ops_heartbeat_health',
    'ops_worker_activity',
    'ops_proposal_latency',
    'ops_step_durations',
    'ops_proposal_rate',
    'ops_mission_success_rate',
    'ops_dead_letter_rate',
    'ops_recent_failures',
    'ops_pattern_effectiveness',
  ]
  test.each(views)('%s goes by an index where there is one to go by', async (view) => {
    const plan = await db.sql.begin(async (sql) => {
      await sql`set local enable_seqscan = off`
      return only(
        await sql<{ 'QUERY PLAN': [{ Plan: PlanNode }] }[]>`explain (format json) select * from ${sql(view)}`,
      )
    })
    expect(seqScans(plan['QUERY PLAN'][0].Plan)).toEqual([])
  })
})

interface PlanNode {
  'Node Type': string
  'Relation Name'?: string
  Plans?: PlanNode[]
}

const bigTables = [
  'ops_agent_events',
  'ops_agent_reactions',
  'ops_mission_proposals',
  'ops_missions',
  'ops_mission_steps',
]

function seqScans(node: PlanNode): string[] {
  const name = node['Relation Name'] ?? ''
  const here = node['Node Type'] === 'Seq Scan' && bigTables.includes(name) ? [name] : []
  return [...here, ...(node.Plans ?? []).flatMap(seqScans)]
}

describe("the runbook's own SQL", () => {
  let db: TestDatabase
  let loop: Loop

  beforeAll(async () => {
    db = await openDatabase()
    loop = await prepareLoop(db.sql)
    // The example's field that a release replaces.
    await db.sql`alter table ops_mission_steps add column old_field text`
  })

  /** What stands in the runbook for the reader to fill in. */
  const filledIn = (sql: string) =>
    sql
      .replace('<step-id>', loop.deadStep)
      .replace('[recovery_db]', 'public')
      .replace('[backup_policy_json]', '{"patterns": []}')

  /** Those that Postgres accepts as SQL and that find something else here: what happens, and why that is right. */
  const refused: Record<string, { code: string; why: string }> = {
    'CREATE TABLE ops_policy_audit': {
      code: '42P07',
      why: 'the engine keeps this audit already, under this name',
    },
    'TRUNCATE ops_mission_steps': {
      code: '0A000',
      why: 'runs refer to steps; their history would be lost with them',
    },
    'INSERT INTO ops_mission_steps SELECT': {
      code: '23505',
      why: 'nothing was truncated, so nothing is missing',
    },
  }
  const refusalOf = (sql: string) => Object.entries(refused).find(([start]) => sql.startsWith(start))?.[1]

  const named = (list: readonly RunbookStatement[]) =>
    list.map((s) => [`${s.heading}: ${s.sql.replace(/\s+/g, ' ').slice(0, 60)}`, s] as const)

  describe('runs as it stands', () => {
    test.each(named(runbook.filter((s) => !s.slip)))('%s', async (_, { sql }) => {
      const refusedWith = refusalOf(sql)
      if (refusedWith) {
        expect(await refusal(db.sql.unsafe(filledIn(sql)))).toMatchObject({ code: refusedWith.code })
      } else {
        await db.sql.unsafe(filledIn(sql))
      }
      expect(await brokenInvariants(db.sql)).toEqual([])
    })
  })

  describe('but for its slips, which no Postgres runs', () => {
    test.each(named(runbook.filter((s) => s.slip)))('%s', async (_, { sql }) => {
      expect((await refusal(db.sql.unsafe(sql))).code).toMatch(/^42(601|703|883|809)$/)
    })
  })

  describe('and afterwards', () => {
    test('its counts are right', async () => {
      expect(await answerTo('Verify tables created')).toHaveLength(8 + 2) // and the two tables that it made
      expect((await answerTo('Verify functions created')).length).toBeGreaterThan(9)
      expect(await answerTo('Verify policies seeded')).toHaveLength(5)
      expect(await answerTo('Query audit log')).toHaveLength(
        Math.min(20, only(await db.sql<{ n: number }[]>`select count(*)::int as n from ops_policy_audit`).n),
      )
      const depth = await answerTo('Query 2: Queue Depth')
      expect(depth).toContainEqual({ metric: 'queued_reactions', count: '1' })
    })

    test('the step that was reset by hand has reopened its mission and can be worked to its end', async () => {
      expect(await stepById(db.sql, loop.deadStep)).toMatchObject({
        status: 'queued',
        failure_count: 0,
        last_error: null,
      })
      const worker = await registerWorker(db.sql)
      for (;;) {
        const claimed = await claimOne(db.sql, worker)
        await complete(db.sql, [lease(claimed)])
        if (claimed.step_id === loop.deadStep) break
      }
      expect(await missionRow(db.sql, loop.failedMission)).toMatchObject({ status: 'succeeded', round: 2 })
      expect(await brokenInvariants(db.sql)).toEqual([])
    })

    test('a column that a release adds or drops stops no worker that is connected', async () => {
      const connection = postgres(db.url, { max: 1, onnotice: () => undefined })
      onFileEnd(() => connection.end({ timeout: 1 }))
      const worker = await registerWorker(connection)
      const claims = async () => {
        await startMission(db.sql, [{ key: 'a' }, { key: 'b', depends_on: [] }])
        const claimed = await claimOne(connection, worker)
        await complete(connection, [lease(claimed)])
        const [next] = await connection<
          { id: string; lease_token: string }[]
        >`select * from ops_claim_next_step(5)`
        if (!next) throw new Error('nothing to claim')
        return complete(connection, [{ step_id: next.id, token: next.lease_token }])
      }
      // Often enough for the session to keep its plans.
      for (let i = 0; i < 7; i++) await claims()
      await db.sql`alter table ops_mission_steps add column while_running jsonb default '{}'`
      expect(await claims()).toMatchObject([{ outcome: 'ok' }])
      await db.sql`alter table ops_mission_steps drop column while_running`
      expect(await claims()).toMatchObject([{ outcome: 'ok' }])
    })

    test('every edit of a policy is audited once, by whoever made it, its own audit trigger or not', async () => {
      const operator = postgres(urlFor(db, 'ops_operator'), { max: 1, onnotice: () => undefined })
      onFileEnd(() => operator.end({ timeout: 1 }))
      const audited = async () =>
        only(await db.sql<{ n: number }[]>`select count(*)::int as n from ops_policy_audit`).n
      const before = await audited()
      await setPolicy(db.sql, 'proposal_caps', { daily_limit: 51 })
      await setPolicy(operator, 'proposal_caps', { daily_limit: 52 })
      expect(await audited()).toBe(before + 2)
      const [latest] =
        await db.sql`select changed_by, new_value from ops_policy_audit order by changed_at desc, id desc`
      expect(latest).toEqual({ changed_by: 'test_operator', new_value: { daily_limit: 52 } })
    })

    test('its backup of the policies holds a line for each', async () => {
      const copy = await db.sql`copy ops_policy to stdout with csv header`.readable()
      const chunks: Buffer[] = []
      for await (const chunk of copy) chunks.push(chunk)
      const keys = await db.sql<{ key: string }[]>`select key from ops_policy`
      const text = Buffer.concat(chunks).toString()
      expect(text).toMatch(/^key,value,version,updated_at\n/)
      for (const { key } of keys) expect(text).toContain(`\n${key},`)
    })

    test('nothing of it opened the engine to strangers, once it is sealed', async () => {
      await db.sql`select ops.seal()`
      const open = await db.sql`
        select c.oid::regclass::text as name from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v') and has_any_column_privilege('anon', c.oid, 'select')`
      expect([...open]).toEqual([])
    })
  })

  async function answerTo(heading: string): Promise<Record<string, unknown>[]> {
    const statement = runbook.find((s) => s.heading === heading)
    if (!statement) throw new Error(`the runbook has no ${heading}`)
    return [...(await db.sql.unsafe(statement.sql))]
  }
})
