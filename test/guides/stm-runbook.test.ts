/**
 * What the runbook of the STM Intelligence Brief has looked at: its quick reference, its critical endpoints, the tasks of every Monday, and its
 * list of alerts, each by what does it here. The brief is a mission that a schedule starts.
 */
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, inject, test, vi } from 'vitest'
import { answering, type Handler, serve, type TestServer } from '../../channels/testing.js'
import { answer, run } from '../../cli/testing.js'
import { urlFor } from '../support/database.js'
import { onFileEnd } from '../support/fileEnd.js'
import { type Loop, startLoop } from './loop.js'

let loop: Loop
let brief: TestServer
let health: Handler

beforeAll(async () => {
  loop = await startLoop()
  health = answering(200, { 'content-type': 'application/json' }, '{"status": "ok", "version": "1.0.0"}')
  brief = await serve((request, response) =>
    request.path === '/health' ? health(request, response) : answering(204)(request, response),
  )
  onFileEnd(() => brief.close())
  await loop.policy('services', {
    services: {
      backend: { url: `${brief.url}/health`, expect_json: { status: 'ok' }, breaker: { failures: 2 } },
      brief: { url: `${brief.url}/briefs/current`, expect_status: [200, 204] },
    },
  })
  await loop.policy('schedules', {
    schedules: [{ id: 'weekly-brief', cron: '* * * * *', event: { type: 'app:brief-due' } }],
  })
  const template = { title: 'Weekly brief', risk_level: 'low', steps: [{ kind: 'noop' }] }
  await loop.policy('reaction_matrix', { patterns: [{ id: 'brief', event_type: 'app:brief-due', template }] })
  for (let i = 0; i < 3; i++) {
    await loop.clock.advance(60)
    await loop.beat()
  }
})

describe('service status', () => {
  test('check all services', async () => {
    const { exitCode, stdout } = await run('status')
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringMatching(/services +2 well/) })
    expect(await loop.rows('select name, healthy from ops_services order by name')).toEqual([
      { name: 'backend', healthy: true },
      { name: 'brief', healthy: true },
    ])
  })

  test('check backend health, and the database', async () => {
    expect(await loop.curl('/health')).toMatchObject({
      status: 200,
      body: { status: 'healthy', database: 'connected' },
    })
    expect(await loop.curl('/readyz')).toMatchObject({ status: 200 })
  })

  test('view what happened last', async () => {
    const last = `select type from ops_agent_events order by created_at desc limit 100`
    expect((await loop.rows(last)).map(({ type }) => type)).toContain('heartbeat:success')
  })
})

test.each([
  ['/health', 200],
  ['/docs', 200],
])('critical endpoint %s answers %s', async (path, status) => {
  expect((await loop.curl(path)).status).toBe(status)
})

describe('every Monday', () => {
  test('check logs for errors', async () => {
    expect(await loop.rows('select last_error from ops_recent_failures limit 50')).toEqual([])
  })

  test('verify that the last brief was generated, and when the next one is due', async () => {
    const last = `select status, completed_at is not null as done from ops_missions where title = 'Weekly brief' order by id desc limit 1`
    expect(await loop.rows(last)).toEqual([{ status: 'succeeded', done: true }])
    expect(await loop.rows('select id, next_at > ops.now() as ahead from ops_schedules')).toEqual([
      { id: 'weekly-brief', ahead: true },
    ])
  })

  test('check database size', async () => {
    const [size] = await loop.rows(`SELECT pg_size_pretty(pg_database_size(current_database()))`)
    expect(size?.pg_size_pretty).toMatch(/MB$/)
    expect((await loop.rows('select "table", total_size from ops_table_sizes limit 5')).length).toBe(5)
  })

  test('verify that backups exist: one is made, and counts', async () => {
    const folder = join(await mkdtemp(join(inject('testDir'), 'guide-')), 'copy')
    expect((await loop.verify()).backup).toMatchObject([
      { status: 'warning', hint: expect.stringContaining('ops-loop backup') },
    ])
    await asOwner(() => answer('backup', '--out', folder))
    expect((await loop.verify()).backup).toMatchObject([{ status: 'ok' }])
  })
})

/** A backup reads the private schema. */
async function asOwner<T>(work: () => Promise<T>): Promise<T> {
  vi.stubEnv('DATABASE_URL', loop.db.url)
  try {
    return await work()
  } finally {
    vi.stubEnv('DATABASE_URL', urlFor(loop.db, 'ops_operator'))
  }
}

describe('critical alerts', () => {
  beforeEach(async () => {
    await loop.db.sql`delete from ops.alerts`
    await loop.clock.advance(300)
  })
  const look = async () => {
    await loop.db.sql`delete from ops.watch where part = 'alerts'`
    await loop.db.sql`select ops_evaluate_alerts()`
    return loop.alerts()
  }
  const rules = (rules: object) => loop.policy('alerts', { rules })

  test('health check failed twice in a row', async () => {
    await rules({ service_down_minutes: { critical: 0 } })
    health = answering(500)
    await loop.beat()
    expect(await loop.alerts()).toEqual([])
    await loop.clock.advance(300)
    await loop.beat()
    expect(await loop.alerts()).toEqual(['P0 service_down_minutes backend'])
    health = answering(200, {}, '{"status": "ok"}')
    await loop.clock.advance(300)
    await loop.beat()
  })

  test('database connection errors', async () => {
    await rules({ heartbeat_failures: { critical: 3 } })
    for (let i = 0; i < 3; i++)
      await loop.db
        .sql`select ops_record_heartbeat(false, '{"errors": [{"code": "OPS_001", "message": "no connection"}]}')`
    expect(await look()).toEqual(['P0 heartbeat_failures'])
    await loop.db.sql`delete from ops.heartbeats where not ok`
  })

  test('disk space: what Postgres can tell is its own size, beside what the plan has', async () => {
    await rules({ database_gigabytes: { critical: 0.001 } })
    expect(await look()).toEqual(['P0 database_gigabytes'])
  })

  test('memory usage > 90%', async () => {
    await rules({ worker_memory_percent: { critical: 90 } })
    await loop.db
      .sql`insert into ops.workers (name, version, executors, concurrency, role, health, last_seen_at)
      values ('heavy', '1', '{noop}', 1, 'ops_worker', '{"memory_percent": 91}', ops.now())`
    expect(await look()).toEqual(['P0 worker_memory_percent heavy'])
  })

  test('warnings: API error rate > 5%, slow query, backup failed', async () => {
    await rules({
      api_error_percent: { warning: 5 },
      longest_query_seconds: { warning: 0.1 },
      backup_age_hours: { warning: 26 },
    })
    const slow = loop.db.sql`select pg_sleep(30)`.execute()
    slow.catch(() => undefined)
    // A backup that fails is not reported, so the last one gets old.
    const failing = await asOwner(() => run('backup', '--out', inject('testDir')))
    expect(failing.exitCode).toBe(1)
    await loop.clock.advance(27 * 3600)
    await loop.db.sql`select ops_report('api_error_percent', 6)`
    await expect
      .poll(look)
      .toEqual(['P2 api_error_percent', 'P2 backup_age_hours', 'P2 longest_query_seconds'])
    slow.cancel()
  })

  test('for the log only: what was generated, what came by the clock, services and workers that are back', async () => {
    const types = `select distinct type from ops_agent_events where type not like 'heartbeat:%' order by 1`
    expect((await loop.rows(types)).map(({ type }) => type)).toEqual(
      expect.arrayContaining(['app:brief-due', 'mission:succeeded', 'service:down', 'service:up']),
    )
  })
})
