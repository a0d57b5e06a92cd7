import { createServer } from 'node:http'
import { describe, expect, test } from 'vitest'
import { connectEngine, type Engine, OpsError } from '../engine/index.js'
import { urlFor } from '../test/support/database.js'
import { onFileEnd } from '../test/support/fileEnd.js'
import type { ApiConfig } from './config.js'
import { beat } from './heartbeat.js'
import { createLog } from './log.js'
import { appOver, CRON_KEY, KEY, testApi, testConfig } from './testing.js'

const { db, engine, policy, worker } = await testApi()

const pulse = (config: Partial<ApiConfig> = {}, on: Engine = engine, now = Date.now) =>
  beat({ engine: on, config: { ...testConfig, ...config }, log: createLog('silent'), now })

const matrix = (...patterns: Record<string, unknown>[]) => policy('reaction_matrix', { patterns })
const pattern = (id: string, event_type: string, fields: Record<string, unknown> = {}) => ({
  id,
  event_type,
  template: { title: `About ${id}`, risk_level: 'low', steps: [{ kind: 'noop' }] },
  ...fields,
})
const emit = (type: string, times = 1) =>
  engine.emitEvents(Array.from({ length: times }, (_, n) => ({ type, data: { n } })))

await policy('auto_approve', { enabled: true })
await policy('proposal_caps', {})

describe('a beat', () => {
  test('with nothing to do answers in the documented shape', async () => {
    expect(await pulse()).toEqual({
      ok: true,
      canaryResult: { sent: 0 },
      scheduleResult: { due: 0, events: 0 },
      triggerResult: { events: 0, queued: 0 },
      reactionResult: { processed: 0, created: 0 },
      leaseResult: { requeued_steps: 0, failed_steps: 0 },
      staleResult: { recovered: 0 },
      proposalResult: { expired: 0 },
      metricsResult: { windows: 1 },
      housekeepingResult: { archived_chains: 0, forgotten_rows: 0, deleted_rows: 0 },
      checkResult: { run: 0, violated: 0, broken: 0 },
      serviceResult: { checked: 0, unhealthy: 0 },
      alertResult: { open: 0, delivered: 0, failed: 0 },
      drained: true,
      durations_ms: expect.objectContaining({ trigger: expect.any(Number), total: expect.any(Number) }),
      errors: [],
      warnings: [],
    })
  })

  test('takes an event all the way to a mission', async () => {
    await matrix(pattern('answer', 'beat:one'))
    await emit('beat:one')
    expect(await pulse()).toMatchObject({
      ok: true,
      triggerResult: { events: 1, queued: 1 },
      reactionResult: { processed: 1, created: 1 },
    })
    const [mission] = await engine.listMissions()
    expect(mission).toMatchObject({ title: 'About answer', status: 'approved' })
    await worker.succeed()
    // The mission's own event comes back into the loop, and is settled without an answer.
    expect(await pulse()).toMatchObject({
      triggerResult: { events: 1, queued: 0 },
      reactionResult: { processed: 0 },
    })
  })

  test('is logged as a processed event with its report, which starts nothing', async () => {
    await matrix(pattern('everything', '*'))
    await pulse()
    const [logged] = await engine.listEvents({ type: 'heartbeat:success' })
    const report = { ok: true, triggerResult: {}, durations_ms: { trigger: expect.any(Number) } }
    expect(logged).toMatchObject({ data: report, processed_at: expect.any(String) })
    const [row] = await db.sql`select ok, report from ops.heartbeats order by at desc limit 1`
    expect(row).toEqual({ ok: true, report: logged?.data })
    expect(await pulse()).toMatchObject({ triggerResult: { events: 0 } })
  })

  test('drains more than one batch', async () => {
    await matrix(pattern('many', 'beat:many'))
    await emit('beat:many', 7)
    expect(await pulse({ eventBatchSize: 2, reactionBatchSize: 3 })).toMatchObject({
      drained: true,
      triggerResult: { events: 7, queued: 7 },
      reactionResult: { processed: 7, created: 7 },
    })
  })

  test('leaves the rest to the next one when its time is up', async () => {
    await matrix(pattern('late', 'beat:late'))
    await emit('beat:late', 5)
    // Those that were sent ahead belong to what was under way when its time was up.
    let send = () => {}
    const isSent = new Promise<void>((resolve) => {
      send = resolve
    })
    const sending: Engine = {
      ...engine,
      async settleEvents(...call) {
        if (call[2] === undefined) await isSent
        else send()
        return engine.settleEvents(...call)
      },
    }
    const late = await pulse({ eventBatchSize: 2, reactionBatchSize: 1, beatBudgetMs: 0 }, sending)
    expect(late).toMatchObject({
      ok: true,
      drained: false,
      triggerResult: { events: 4, queued: 4 },
      reactionResult: { processed: 1 },
    })
    expect(await pulse()).toMatchObject({
      drained: true,
      triggerResult: { events: 1 },
      reactionResult: { processed: 4 },
    })
  })

  test('overlapping others gives the result of one', async () => {
    await matrix(pattern('overlap', 'beat:overlap'))
    await emit('beat:overlap', 40)
    const others = Array.from({ length: 4 }, () => connectEngine({ databaseUrl: db.url }))
    const reports = await Promise.all(
      others.map((other) => pulse({ eventBatchSize: 7, reactionBatchSize: 7 }, other)),
    )
    await Promise.all(others.map((other) => other.close()))
    const sum = (result: 'triggerResult' | 'reactionResult', count: string) =>
      reports.reduce((n, report) => n + (report[result]?.[count] ?? 0), 0)
    expect(reports.every(({ ok }) => ok)).toBe(true)
    expect(sum('triggerResult', 'events')).toBe(40)
    expect(sum('triggerResult', 'queued')).toBe(40)
    expect(sum('reactionResult', 'created')).toBe(40)
  })

  test('called by two schedulers at once, each with its own key, gives the result of one', async () => {
    await matrix(pattern('twice', 'beat:twice'))
    await emit('beat:twice', 30)
    const planes = Array.from({ length: 2 }, () => {
      const own = connectEngine({ databaseUrl: urlFor(db, 'service_role') })
      return { own, app: appOver(own, { eventBatchSize: 5, reactionBatchSize: 5 }) }
    })
    const calls = planes.flatMap(({ app }) => [
      app.request('/api/ops/heartbeat', { headers: { authorization: `Bearer ${CRON_KEY}` } }),
      app.request('/api/ops/heartbeat', { method: 'POST', headers: { authorization: `Bearer ${KEY}` } }),
    ])
    const answers = await Promise.all(calls)
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    await Promise.all(planes.map(({ own }) => own.close()))
    expect(await db.sql`select count(*)::int as n from ops_missions where title = 'About twice'`).toEqual([
      { n: 30 },
    ])
    expect(await engine.pendingEvents(1)).toEqual([])
  })

  test('gives hanging leases back', async () => {
    await matrix()
    await worker.claim()
    await db.sql`update public.ops_mission_steps set lease_expires_at = now() - interval '1 minute' where status = 'running'`
    expect(await pulse()).toMatchObject({ leaseResult: { requeued_steps: 1, failed_steps: 0 } })
  })

  test('ends proposals whose time is over', async () => {
    await policy('auto_approve', { enabled: false })
    const { proposal_id } = await engine.createProposal({
      source: 'api',
      template: { title: 'Old', steps: [{ kind: 'noop' }] },
    })
    await db.sql`update public.ops_mission_proposals set expires_at = now() - interval '1 minute' where id = ${proposal_id}`
    await policy('auto_approve', { enabled: true })
    expect(await pulse()).toMatchObject({ proposalResult: { expired: 1 } })
  })
})

describe('what is broken stops nothing else', () => {
  test('a pattern that cannot be compiled is a warning, once', async () => {
    await pulse()
    await matrix(pattern('sound', 'beat:sound'), pattern('broken', 'beat:sound', { when: 'event.data.(' }))
    await emit('beat:sound', 5)
    const report = await pulse({ eventBatchSize: 2 })
    expect(report).toMatchObject({ ok: true, triggerResult: { events: 5, queued: 5 } })
    expect(report.warnings).toEqual([
      {
        phase: 'trigger',
        code: 'OPS_008',
        message: expect.stringContaining('pattern broken is out of service'),
      },
    ])
  })

  test('an event that the database refuses to settle suffers alone, and says why', async () => {
    await matrix(pattern('fine', 'beat:fine'))
    await emit('beat:fine', 3)
    const [bad] = await engine.pendingEvents(1)
    const picky: Engine = {
      ...engine,
      settleEvents(version, items, after) {
        const refused = items.some(
          ({ event_id, decisions }) => event_id === bad?.event_id && decisions.length > 0,
        )
        return refused
          ? Promise.reject(new OpsError('OPS_011', 'too odd'))
          : engine.settleEvents(version, items, after)
      },
    }
    expect(await pulse({}, picky)).toMatchObject({
      ok: true,
      triggerResult: { events: 3, queued: 2 },
      warnings: [
        { phase: 'trigger', code: 'OPS_011', message: expect.stringContaining(bad?.event_id ?? '-') },
      ],
    })
    expect(await engine.why(bad?.event_id ?? '')).toContainEqual(
      expect.objectContaining({ decision: 'error', detail: { message: 'too odd' } }),
    )
  })

  test('without a reaction matrix events are settled unmatched, and the beat says OPS_002', async () => {
    await db.sql`delete from public.ops_policy where key = 'reaction_matrix'`
    await emit('beat:nobody', 3)
    expect(await pulse({ eventBatchSize: 2 })).toMatchObject({
      ok: false,
      triggerResult: { events: 3, queued: 0 },
      errors: [{ phase: 'trigger', code: 'OPS_002' }],
    })
    expect(await engine.pendingEvents(1)).toEqual([])
  })

  test('reactions to the first events are run while others are still settled', async () => {
    await matrix(pattern('kept', 'beat:kept'))
    await emit('beat:kept', 5)
    let areRun = () => {}
    const run = new Promise<void>((resolve) => {
      areRun = resolve
    })
    let settled = 0
    const watched: Engine = {
      ...engine,
      async settleEvents(...call) {
        if (++settled === 3) await run
        return engine.settleEvents(...call)
      },
      async runReactions(limit) {
        const outcomes = await engine.runReactions(limit)
        if (outcomes.length > 0) areRun()
        return outcomes
      },
    }
    expect(await pulse({ eventBatchSize: 2, reactionBatchSize: 10 }, watched)).toMatchObject({
      ok: true,
      drained: true,
      triggerResult: { events: 5, queued: 5 },
      reactionResult: { processed: 5, created: 5 },
    })
  })

  test('reactions that cannot be run are asked for once, and hold up no event', async () => {
    await matrix(pattern('kept', 'beat:kept'))
    await emit('beat:kept', 7)
    let asked = 0
    const failing: Engine = {
      ...engine,
      runReactions() {
        asked++
        return Promise.reject(new OpsError('OPS_001', 'gone for a moment'))
      },
    }
    expect(await pulse({ eventBatchSize: 2 }, failing)).toMatchObject({
      ok: false,
      triggerResult: { events: 7, queued: 7 },
      errors: [{ phase: 'reactions', code: 'OPS_001' }],
    })
    // Beside the events, and when its turn has come.
    expect(asked).toBe(2)
    expect(await pulse()).toMatchObject({ ok: true, reactionResult: { created: 7 } })
  })

  test('a phase that fails is reported and does not stop the others', async () => {
    await matrix(pattern('kept', 'beat:kept'))
    await emit('beat:kept')
    const failing: Engine = {
      ...engine,
      runReactions: () => Promise.reject(new OpsError('OPS_001', 'gone for a moment')),
      recoverExpiredLeases: () => Promise.reject(new Error('a defect')),
    }
    expect(await pulse({}, failing)).toMatchObject({
      ok: false,
      triggerResult: { events: 1, queued: 1 },
      staleResult: { recovered: 0 },
      errors: [
        { phase: 'reactions', code: 'OPS_001', message: 'gone for a moment' },
        { phase: 'leases', code: 'OPS_000', message: 'a defect' },
      ],
    })
    const [logged] = await engine.listEvents({ type: 'heartbeat:failure' })
    expect(logged).toMatchObject({
      data: { ok: false, errors: [{ phase: 'reactions' }, { phase: 'leases' }] },
    })
    expect(await pulse()).toMatchObject({ ok: true, reactionResult: { created: 1 } })
  })

  test('a database that is away gives a report, not an exception', async () => {
    const away = connectEngine({ databaseUrl: 'postgresql://nobody@127.0.0.1:1/none' })
    const report = await pulse({ beatBudgetMs: 120_000 }, away)
    await away.close()
    expect(report).toMatchObject({ ok: false, triggerResult: { events: 0 } })
    expect(report.errors.map(({ phase, code }) => `${phase} ${code}`)).toEqual([
      'canary OPS_001',
      'schedules OPS_001',
      'trigger OPS_001',
      'reactions OPS_001',
      'leases OPS_001',
      'stale OPS_001',
      'proposals OPS_001',
      'checks OPS_001',
      'services OPS_001',
      'metrics OPS_001',
      'housekeeping OPS_001',
      'alerts OPS_001',
      'record OPS_001',
    ])
  })

  test('a database that eats up the time is not asked on and on', async () => {
    let time = 0
    const stuck: Engine = {
      ...engine,
      async pendingEvents() {
        time += 60_000
        throw new OpsError('OPS_001', 'no answer')
      },
    }
    const report = await pulse({ beatBudgetMs: 10_000 }, stuck, () => time)
    expect(report.errors).toMatchObject([{ phase: 'trigger' }])
    expect(Object.keys(report.durations_ms)).toEqual(['canary', 'schedules', 'trigger', 'total'])
  })
})

describe('services', () => {
  test('are asked when they are due, and a breaker that opens holds the steps that need it', async () => {
    let status = 500
    const server = createServer((_request, response) => response.writeHead(status).end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onFileEnd(async () => {
      await new Promise((resolve) => server.close(resolve))
    })
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const due = () => db.sql`update ops.services set next_check_at = now() where name = 'billing'`
    await policy('services', {
      services: {
        billing: { url: `http://127.0.0.1:${port}/health`, breaker: { failures: 2, reset_seconds: 3600 } },
      },
    })

    expect(await pulse()).toMatchObject({ ok: true, serviceResult: { checked: 1, unhealthy: 1 } })
    expect(await pulse()).toMatchObject({ serviceResult: { checked: 0 } })
    await due()
    expect(await pulse()).toMatchObject({
      serviceResult: { checked: 1, unhealthy: 1 },
      warnings: [{ phase: 'services', message: 'service billing (breaker open): answered 500, not 200' }],
    })
    const template = {
      title: 'Charge',
      risk_level: 'low' as const,
      steps: [{ kind: 'noop', service: 'billing' }],
    }
    await engine.createProposal({ source: 'test', template })
    expect(await engine.listServices()).toMatchObject([{ name: 'billing', state: 'open', held_steps: 1 }])

    status = 200
    await due()
    expect(await pulse()).toMatchObject({ serviceResult: { checked: 1, unhealthy: 0 }, warnings: [] })
    expect(await engine.listServices()).toMatchObject([{ state: 'closed', healthy: true, held_steps: 0 }])
    await worker.succeed()
  })

  test('that never answers is waited for no longer than the beat has time, and is down', async () => {
    const server = createServer(() => undefined)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onFileEnd(async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    })
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const silent = { url: `http://127.0.0.1:${port}/health`, timeout_ms: 60_000 }
    await policy('services', { services: { silent } })

    // It would not come back within the time of a test.
    expect(await pulse({ beatBudgetMs: 1000 })).toMatchObject({
      ok: true,
      serviceResult: { checked: 1, unhealthy: 1 },
      warnings: [{ message: 'service silent (breaker closed): no answer within 5000 ms' }],
    })
  })

  test('that leaves the policy while it is asked is forgotten, and fails no beat', async () => {
    const server = createServer(async (_request, response) => {
      await policy('services', { services: {} })
      response.end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onFileEnd(async () => {
      await new Promise((resolve) => server.close(resolve))
    })
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    await policy('services', { services: { leaving: { url: `http://127.0.0.1:${port}/health` } } })

    expect(await pulse()).toMatchObject({ ok: true, errors: [], serviceResult: { checked: 0 } })
    expect(await engine.listServices()).toEqual([])
  })
})
