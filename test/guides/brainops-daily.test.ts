/**
 * The daily checklist of the BrainOps guide, line by line, on a loop that has run for an hour: its statements as written, with our names for
 * theirs (`ops_worker` for `agent_worker` and `app_agent_role`, `/health` of the control plane).
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../cli/testing.js'
import packageJson from '../../package.json' with { type: 'json' }
import { loginRoles } from '../support/names.js'
import { type Loop, startLoop } from './loop.js'

const openViolations = `SELECT check_name, severity, message, created_at
FROM invariant_violations
WHERE resolved = false
ORDER BY created_at DESC
LIMIT 20`
const countOfOpen = `SELECT count(*) FROM invariant_violations WHERE resolved = false AND check_name != 'synthetic_canary'`
const history = `SELECT check_name, severity, count(*) as occurrences,
       min(created_at) as first_seen, max(created_at) as last_seen
FROM invariant_violations
WHERE created_at > NOW() - INTERVAL '24 hours'
  AND check_name != 'synthetic_canary'
GROUP BY check_name, severity
ORDER BY occurrences DESC`
const canaryDrill = `SELECT count(*) as canary_count,
       max(created_at) as last_canary
FROM invariant_violations
WHERE check_name = 'synthetic_canary'
  AND created_at > NOW() - INTERVAL '1 hour'`
const connected = `SELECT usename, count(*) as sessions
FROM pg_stat_activity
WHERE datname = current_database()
GROUP BY usename ORDER BY sessions DESC`
const deleteRights = `SELECT privilege_type, count(*)
FROM information_schema.role_table_grants
WHERE grantee = 'ops_worker'
  AND privilege_type IN ('DELETE', 'TRUNCATE')
GROUP BY privilege_type`

let loop: Loop
const rows = (sql: string) => loop.rows(sql)

beforeAll(async () => {
  loop = await startLoop({ startedAgo: 59 })
  // A heartbeat every five minutes, for an hour less what is left of it.
  for (let i = 0; i < 13; i++) {
    if (i > 0) await loop.clock.advance(285)
    expect(await loop.beat()).toMatchObject({ ok: true })
  }
})

describe('every day', () => {
  test('run health check', async () => {
    const { status, body } = await loop.curl('/health')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      status: 'healthy',
      version: packageJson.version,
      database: 'connected',
      system_count: expect.any(Number),
      circuit_breakers: { overall_health: 'healthy' },
    })
  })

  test('check for open violations: none, and a planted one shows in every query until it is mended', async () => {
    expect(await rows(countOfOpen)).toEqual([{ count: '0' }])
    expect(await rows(openViolations)).toEqual([])
    await loop.db.sql`create table public.invoices (id int)`
    await loop.clock.advance(300)
    await loop.beat()
    expect(await rows(countOfOpen)).toEqual([{ count: '1' }])
    expect(await rows(openViolations)).toMatchObject([
      { check_name: 'rls_disabled', severity: 'high', message: expect.stringContaining('invoices') },
    ])
  })

  test('verify canary is running: at least twelve an hour', async () => {
    const [drill] = await rows(canaryDrill)
    expect(Number(drill?.canary_count)).toBeGreaterThanOrEqual(12)
  })

  test('check Slack channel for alerts: severity critical or high was told there, and what is told is kept', async () => {
    const told = loop.chat.received.map(({ body }) => body)
    expect(told).toEqual([expect.stringContaining('P1 invariant (rls_disabled)')])
    expect(await rows(`select channel, transition, status from ops_alert_notices order by channel`)).toEqual([
      { channel: 'mail', transition: 'opened', status: 'delivered' },
      { channel: 'slack', transition: 'opened', status: 'delivered' },
    ])
    const { body } = await loop.curl('/health')
    expect(body).toMatchObject({ capabilities: { channels: { slack: 'configured' } } })
  })

  test('verify agent_worker sessions are active, under a role that deletes nothing', async () => {
    const sessions = new Map(
      (await rows(connected)).map(({ usename, sessions }) => [usename, Number(sessions)]),
    )
    expect(sessions.get(loginRoles.ops_worker)).toBeGreaterThan(0)
    expect(await rows(deleteRights)).toEqual([])
    // The same, watched all day.
    const { stdout } = await run('invariants', 'list')
    expect(stdout).toMatch(/runtime_identity .*clean/)
  })

  test('review recent deploys: which versions run, since when, and what policies changed', async () => {
    expect(await rows('select name, version, live from ops_workers order by registered_at desc')).toEqual([
      { name: 'vps-1', version: packageJson.version, live: true },
    ])
    expect(await rows(`select ops_health() -> 'schema_version' as schema`)).toEqual([
      { schema: expect.any(Number) },
    ])
    expect(
      await rows(
        `select policy_key, action, changed_by from ops_policy_audit where policy_key = 'alerts' and action = 'update' limit 1`,
      ),
    ).toMatchObject([{ policy_key: 'alerts', action: 'update' }])
  })
})

describe('the other sections', () => {
  test('violation history of the last 24 hours', async () => {
    expect(await rows(history)).toMatchObject([
      { check_name: 'rls_disabled', severity: 'high', occurrences: '1' },
    ])
  })

  test('deduplication of webhooks: each delivery once, and none stuck in processing', async () => {
    await loop.db
      .sql`select * from ops_emit_events('[{"type": "stripe:invoice.paid", "dedupe_key": "evt_1"}]')`
    await loop.db
      .sql`select * from ops_emit_events('[{"type": "stripe:invoice.paid", "dedupe_key": "evt_1"}]')`
    expect(
      await rows(
        `select dedupe_key, type, processed_at is null as waits from ops_agent_events where type like 'stripe:%'`,
      ),
    ).toEqual([{ dedupe_key: 'evt_1', type: 'stripe:invoice.paid', waits: true }])
    const stuck = `select count(*) as stuck from ops_agent_events where processed_at is null and created_at < now() - interval '1 hour'`
    expect(await rows(stuck)).toEqual([{ stuck: '0' }])
  })

  test('the monitor is silent again when all is mended, and says so in Slack', async () => {
    await loop.db.sql`drop table public.invoices`
    for (let i = 0; i < 2; i++) {
      await loop.clock.advance(300)
      await loop.beat()
    }
    expect(await rows(countOfOpen)).toEqual([{ count: '0' }])
    expect(loop.chat.received.at(-1)?.body).toContain('resolved: invariant (rls_disabled)')
  })
})
