import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { anyAddress } from '../../channels/request.js'
import { answering, mailServer, serve } from '../../channels/testing.js'
import { type Engine, OpsError } from '../../engine/index.js'
import { beat } from '../heartbeat.js'
import { createLog } from '../log.js'
import { testApi, testConfig } from '../testing.js'
import { RequestMeter } from './meter.js'
import { deliverNotices } from './notices.js'

const { db, engine, policy, worker, call } = await testApi()
await policy('proposal_caps', { daily_limit: 0 })
await policy('auto_approve', { enabled: false })

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})
beforeEach(async () => {
  await policy('control', {})
  await policy('alerts', {})
  await db.sql`delete from ops.alerts`
})

const pulse = (on: Engine = engine) => beat({ engine: on, config: testConfig, log: createLog('silent') })
const wake = () => db.sql`delete from ops.watch`
const canaries = () => db.sql`select status, reason from ops_canary order by sent_at`
const violations = (name: string) =>
  db.sql`select severity, message, resolved from invariant_violations where check_name = ${name} order by created_at`

describe('the canary', () => {
  beforeEach(async () => {
    await db.sql`delete from ops.canaries`
    await db.sql`delete from ops.invariant_violations`
  })

  test('goes through the whole loop, past caps and approval, and no operator’s pattern or count sees it', async () => {
    const everything = { id: 'all', event_type: '*', template: { title: 'x', steps: [{ kind: 'noop' }] } }
    await policy('reaction_matrix', { patterns: [everything] })
    await wake()
    const report = await pulse()
    expect(report).toMatchObject({
      ok: true,
      canaryResult: { sent: 1 },
      triggerResult: { events: 0, queued: 0 },
      reactionResult: { processed: 0, created: 0 },
    })
    await worker.succeed()
    expect(await pulse()).toMatchObject({
      canaryResult: { sent: 0 },
      triggerResult: { events: 0, queued: 0 },
    })

    expect([...(await canaries())]).toEqual([{ status: 'returned', reason: null }])
    expect([...(await violations('synthetic_canary'))]).toMatchObject([{ severity: 'info', resolved: true }])
    const [legs] =
      await db.sql`select pattern_ms, gate_ms, pickup_ms, step_ms, event_ms, total_ms from ops_canary`
    expect(
      Object.values(legs ?? {})
        .map(Number)
        .every((ms) => ms >= 0),
    ).toBe(true)
    expect(Object.values(legs ?? {})).not.toContain(null)
    expect([...(await db.sql`select from ops_agent_reactions where pattern_id = 'all'`)]).toEqual([])
    expect([...(await db.sql`select from ops.cap_counters where used > 0`)]).toEqual([])
    for (const view of [
      'ops_mission_success_rate',
      'ops_proposal_rate',
      'ops_proposal_latency',
      'ops_step_durations',
    ])
      expect(
        await db.sql.unsafe(
          `select * from ${view} where coalesce((to_jsonb(${view}) ->> 'proposals')::int, 1) > 0`,
        ),
      ).toHaveLength(0)
    const told = await engine.timeline(new Date(Date.now() - 60_000).toISOString())
    expect(told.filter(({ summary }) => summary !== 'heartbeat:success')).toEqual([])
    expect([...(await db.sql`select * from ops.broken_invariants()`)]).toEqual([])
  })

  test('cannot be imitated', async () => {
    await expect(engine.emitEvents([{ type: 'canary:ping' }])).rejects.toMatchObject({ code: 'OPS_011' })
    const template = {
      title: 'Synthetic canary',
      risk_level: 'low' as const,
      steps: [{ kind: 'noop:canary' }],
    }
    await expect(engine.createProposal({ source: 'canary', template })).rejects.toMatchObject({
      code: 'OPS_011',
    })
  })

  test('that no worker picks up is missing, is cancelled, and resolves with the next that returns', async () => {
    await wake()
    await pulse()
    await db.sql`update ops.canaries set sent_at = sent_at - interval '16 minutes'`
    await db.sql`update ops_policy set updated_at = now() - interval '1 hour'`
    await pulse()
    expect([...(await canaries())]).toEqual([
      { status: 'missing', reason: 'no worker has done its step (executor noop)' },
    ])
    expect([...(await violations('canary_missing'))]).toMatchObject([{ severity: 'high', resolved: false }])
    expect([...(await db.sql`select from ops_mission_steps where status in ('queued', 'running')`)]).toEqual(
      [],
    )
    await wake()
    await pulse()
    await worker.succeed()
    await pulse()
    expect([...(await violations('canary_missing'))]).toMatchObject([{ resolved: true }])
    expect([...(await violations('synthetic_canary'))]).toHaveLength(1)
  })

  test('that takes too long is slow', async () => {
    await policy('invariants', { canary: { slow_seconds: 60 } })
    await wake()
    await pulse()
    await db.sql`update ops.canaries set sent_at = sent_at - interval '61 seconds'`
    await db.sql`update ops_policy set updated_at = now() - interval '1 hour'`
    await worker.succeed()
    await pulse()
    expect([...(await violations('canary_slow'))]).toMatchObject([{ severity: 'warning', resolved: false }])
    await policy('invariants', {})
  })

  test.each([
    [{ intake: true }, 'intake is paused by the control switch'],
    [{ reactions: true }, 'reactions are paused by the control switch'],
    [{ approvals: true }, 'approvals are paused by the control switch'],
    [{ claims: true }, 'claims are paused by the control switch'],
    [{ executors: ['noop'] }, 'executor noop is blocked'],
  ])('is not sent while it could not come back: %j', async (pause, reason) => {
    await policy('control', { pause })
    await wake()
    expect(await pulse()).toMatchObject({ ok: true, canaryResult: { sent: 0 } })
    expect([...(await canaries())]).toEqual([{ status: 'paused', reason }])
    expect([...(await violations('canary_missing'))]).toEqual([])
  })

  test('leaves nothing behind after a day', async () => {
    await wake()
    await pulse()
    await worker.succeed()
    await pulse()
    const [canary] = await db.sql<{ event_id: string }[]>`select event_id from ops_canary`
    const id = canary?.event_id ?? ''
    expect((await engine.trace(id)).length).toBeGreaterThan(5)
    const age = db.sql`interval '25 hours'`
    await db.sql`update ops.canaries set sent_at = sent_at - ${age}`
    await db.sql`alter table ops_mission_proposals disable trigger ops_mission_proposals_updated_at`
    await db.sql`update ops_agent_events set created_at = created_at - ${age}, processed_at = processed_at - ${age}`
    await db.sql`update ops_mission_proposals set updated_at = updated_at - ${age}`
    await db.sql`update ops_missions set completed_at = completed_at - ${age}`
    await wake()
    await pulse()
    await expect(engine.trace(id)).rejects.toMatchObject({ code: 'OPS_013' })
  })
})

describe('a round of checks', () => {
  test('runs in a beat, reports quarantined patterns, and a hanging check stops neither the others nor the beat', async () => {
    await policy('reaction_matrix', { patterns: [] })
    await policy('invariants', {
      timeout_ms: 300,
      checks: [{ name: 'endless', severity: 'high', sql: 'select pg_sleep(600)' }],
      skip: ['runtime_identity'],
    })
    await wake()
    const report = await pulse()
    expect(report).toMatchObject({ ok: true, checkResult: { violated: 0, broken: 1 } })
    expect(report.checkResult?.run).toBeGreaterThan(25)
    expect([...(await violations('check_failed'))]).toMatchObject([{ severity: 'high', resolved: false }])
    await policy('invariants', {})
  })
})

describe('notices', () => {
  const SECRET = `whsec_${Buffer.from('a secret of twenty-four bytes').toString('base64')}`
  async function scene(status = 200) {
    const chat = await serve(answering(status, {}, 'ok'))
    const hook = await serve(answering(204))
    const mail = await mailServer()
    cleanups.push(chat.close, hook.close, mail.close)
    const variables = { CHAT: `${chat.url}/x`, HOOK: hook.url, SECRET, MAIL: `smtp://${mail.host}` }
    await policy('alerts', {
      resolve_after_minutes: 0,
      violations: false,
      rules: { queued_events: { warning: 0 }, channel_failures: { warning: 1 } },
      channels: {
        chat: { type: 'slack', url_variable: 'CHAT' },
        hook: { type: 'webhook', url_variable: 'HOOK', secret_variable: 'SECRET' },
        mail: { type: 'email', url_variable: 'MAIL', from: 'ops@example.com', to: ['dana@example.com'] },
        unset: { type: 'slack', url_variable: 'NOT_SET' },
      },
      routes: { warning: ['chat', 'hook', 'mail', 'unset'] },
      digest: { channels: ['mail'], hour: 0 },
    })
    await db.sql`delete from ops.alert_notices`
    await db.sql`delete from ops.channels`
    await db.sql`insert into ops.watch (part, ran_at, role, details) values ('digest', now(), 'test', '{"day": "9999-12-31"}')
      on conflict (part) do update set details = excluded.details`
    return { chat, hook, mail, settings: { variables, guard: anyAddress } }
  }
  const look = async () => {
    await db.sql`delete from ops.watch where part = 'alerts'`
    await engine.evaluateAlerts()
  }
  const trouble = () => db.sql`insert into ops_agent_events (type) values ('test:unprocessed')`
  const over = () => db.sql`update ops_agent_events set processed_at = now()`

  test('reach chat, webhook and mail, each under the notice’s id, and again when it is over', async () => {
    const { chat, hook, mail, settings } = await scene()
    await trouble()
    await look()
    expect(await deliverNotices(engine, settings)).toEqual({ taken: 4, delivered: 3, failures: [] })
    expect(chat.received[0]?.body).toContain('P2 queued_events')
    const body = JSON.parse(hook.received[0]?.body ?? '{}')
    expect(body).toMatchObject({
      type: 'ops.alert.opened',
      data: { rule: 'queued_events', transition: 'opened', priority: 'P2' },
    })
    const ids = await db.sql<{ channel: string; id: string; status: string }[]>`
      select channel, id, status from ops_alert_notices order by channel`
    expect(ids.map(({ channel, status }) => `${channel} ${status}`)).toEqual([
      'chat delivered',
      'hook delivered',
      'mail delivered',
      'unset skipped',
    ])
    expect(hook.received[0]?.headers['webhook-id']).toBe(ids[1]?.id)
    expect(hook.received[0]?.headers['webhook-signature']).toMatch(/^v1,/)
    expect(mail.letters).toHaveLength(1)
    expect(mail.letters[0]?.text).toContain(`<${ids[2]?.id}@ops-loop>`)
    await over()
    await look()
    await deliverNotices(engine, settings)
    expect(mail.letters[1]?.text).toContain('resolved: queued_events')
    expect(await deliverNotices(engine, settings)).toMatchObject({ taken: 0 })
  })

  test('that a channel fails to deliver are kept for later, and told of through the others', async () => {
    const { chat, mail, settings } = await scene(503)
    await trouble()
    await look()
    expect((await deliverNotices(engine, settings)).failures).toEqual([
      expect.stringContaining('channel chat: 503'),
    ])
    await look()
    await deliverNotices(engine, settings)
    expect(mail.letters.map(({ text }) => /Subject: (.*)/.exec(text)?.[1])).toEqual([
      expect.stringContaining('queued_events'),
      expect.stringContaining('channel_failures (chat)'),
    ])
    expect(chat.received).toHaveLength(1)
    await over()
  })

  test('sent by a process that died before it could say so are sent again under the same id', async () => {
    const { hook, settings } = await scene()
    await trouble()
    await look()
    const dying: Engine = { ...engine, recordNotice: () => Promise.reject(new OpsError('OPS_001', 'gone')) }
    await expect(deliverNotices(dying, settings)).rejects.toThrow('gone')
    expect(await deliverNotices(engine, settings)).toMatchObject({ taken: 0 })
    await db.sql`update ops.alert_notices set lease_expires_at = now() where status = 'pending'`
    await deliverNotices(engine, settings)
    expect(hook.received.map(({ headers }) => headers['webhook-id'])).toHaveLength(2)
    expect(new Set(hook.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    await over()
  })

  test('hold a digest once a day', async () => {
    const { mail, settings } = await scene()
    await over()
    await db.sql`delete from ops.watch where part = 'digest'`
    await look()
    await look()
    await deliverNotices(engine, settings)
    expect(mail.letters).toHaveLength(1)
    expect(mail.letters[0]?.text).toContain('Ops Loop: all is well')
  })
})

describe('the meter', () => {
  test('says nothing about too few requests, and forgets old ones', () => {
    const meter = new RequestMeter(1000)
    for (let i = 0; i < 19; i++) meter.note(100, 200, 5)
    expect(meter.read(200)).toEqual({})
    for (let i = 0; i < 81; i++) meter.note(200, i === 0 ? 500 : 404, i === 1 ? 900 : 5)
    expect(meter.read(300)).toEqual({ api_error_percent: 1, api_p99_ms: 5 })
    expect(meter.read(1150)).toEqual({ api_error_percent: 1.2, api_p99_ms: 900 })
    expect(meter.read(5000)).toEqual({})
  })
})

describe('over HTTP', () => {
  test('alerts are listed, taken on and silenced', async () => {
    await policy('alerts', { violations: false, rules: { queued_events: { warning: 0 } } })
    await db.sql`insert into ops_agent_events (type) values ('test:unprocessed')`
    await db.sql`delete from ops.watch where part = 'alerts'`
    await engine.evaluateAlerts()
    const [alert] = await engine.listAlerts({ status: 'open' })
    expect(await call('GET', '/api/ops/alerts?status=open')).toMatchObject({
      status: 200,
      body: { items: [{ id: alert?.id, rule: 'queued_events', priority: 'P2' }] },
    })
    const path = `/api/ops/alerts/${alert?.id}/acknowledge`
    expect(await call('POST', path, { actor: 'dana', note: 'on it' })).toMatchObject({
      status: 200,
      body: { acknowledged_by: 'dana', note: 'on it' },
    })
    const silence = { rule: 'queued_events', minutes: 5, reason: 'a test' }
    expect(await call('POST', '/api/ops/alerts/silences', silence)).toMatchObject({ status: 200 })
    expect(await call('POST', '/api/ops/alerts/silences', { ...silence, rule: 'x' })).toMatchObject({
      status: 422,
    })
    await db.sql`update ops_agent_events set processed_at = now()`
  })

  test('checks are listed and run, and their violations listed', async () => {
    expect(await call('POST', '/api/ops/invariants/run', { checks: ['order'] })).toMatchObject({
      status: 200,
      body: { items: [{ name: 'order', outcome: 'clean' }], not_reached: [] },
    })
    expect(await call('POST', '/api/ops/invariants/run', { checks: ['order', 'ordre'] })).toMatchObject({
      status: 404,
      body: { code: 'OPS_013', details: { path: 'checks' } },
    })
    expect(await call('GET', '/api/ops/invariants')).toMatchObject({ status: 200 })
    expect(await call('GET', '/api/ops/invariants/violations?resolved=false')).toMatchObject({ status: 200 })
  })

  test('health answers what the daily check asks of it', async () => {
    await policy('alerts', { channels: { slack: { type: 'slack' } } })
    const { body } = await call('GET', '/health')
    expect(body).toMatchObject({
      version: expect.any(String),
      database: 'connected',
      system_count: expect.any(Number),
      circuit_breakers: { overall_health: 'healthy', total: 0, open: [] },
      capabilities: { executors: ['noop'], channels: { slack: 'SLACK_WEBHOOK_URL is not set' } },
    })
  })
})
