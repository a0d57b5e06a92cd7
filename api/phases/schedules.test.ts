import { describe, expect, test } from 'vitest'
import { connectEngine } from '../../engine/index.js'
import { stopClock } from '../../supabase/tests/world.js'
import { beat } from '../heartbeat.js'
import { createLog } from '../log.js'
import { testApi, testConfig } from '../testing.js'

const { db, engine, policy } = await testApi()
const clock = await stopClock(db.sql, '2026-03-02T08:58:00Z')

const pulse = (on = engine) => beat({ engine: on, config: testConfig, log: createLog('silent') })
const schedule = (id: string, fields: Record<string, unknown> = {}) => ({
  id,
  cron: '0 * * * *',
  event: { type: `clock:${id}` },
  ...fields,
})
const ticks = async (id: string) =>
  (await engine.listEvents({ type: `clock:${id}` })).map(({ data }) => data.schedule)

await policy('auto_approve', { enabled: true })
await policy('proposal_caps', {})
await policy('reaction_matrix', {
  patterns: [
    {
      id: 'answer',
      event_type: 'clock:*',
      source: 'schedule',
      template: { title: 'At {{event.data.schedule.at}}', risk_level: 'low', steps: [{ kind: 'noop' }] },
    },
  ],
})

describe('schedules in a beat', () => {
  test('a slot becomes an event that the same beat answers, and the next beat finds nothing', async () => {
    await policy('schedules', { schedules: [schedule('hourly')] })
    expect(await pulse()).toMatchObject({ scheduleResult: { events: 0 } })
    await clock.advance(300)
    expect(await pulse()).toMatchObject({
      ok: true,
      scheduleResult: { due: 1, events: 1 },
      triggerResult: { events: 1, queued: 1 },
      reactionResult: { created: 1 },
    })
    expect((await engine.listMissions())[0]?.title).toBe('At 2026-03-02T09:00:00+00:00')
    expect(await pulse()).toMatchObject({ scheduleResult: { due: 0, events: 0 } })
  })

  test('ten beats at once give each slot once', async () => {
    await policy('schedules', { schedules: [schedule('raced', { cron: '* * * * *', missed: 'all' })] })
    await clock.advance(25 * 60)
    const others = Array.from({ length: 10 }, () => connectEngine({ databaseUrl: db.url, maxConnections: 1 }))
    const reports = await Promise.all(others.map((other) => pulse(other)))
    await Promise.all(others.map((other) => other.close()))
    expect(reports.every(({ ok }) => ok)).toBe(true)
    expect(reports.reduce((n, { scheduleResult }) => n + (scheduleResult?.events ?? 0), 0)).toBe(25)
    expect(await ticks('raced')).toHaveLength(25)
  })

  test('after an outage each does what it says about missed times', async () => {
    await policy('schedules', {
      schedules: ['skip', 'once', 'all'].map((missed) => schedule(missed, { missed })),
    })
    await pulse()
    await clock.advance(3 * 3600 + 20 * 60)
    expect(await pulse()).toMatchObject({ scheduleResult: { due: 3, events: 4 } })
    expect(await ticks('skip')).toEqual([])
    expect(await ticks('once')).toMatchObject([{ missed: 2 }])
    expect(await ticks('all')).toHaveLength(3)
  })

  test('a schedule that makes no sense is a warning, and stops no other', async () => {
    await policy('schedules', {
      schedules: [schedule('broken', { cron: '99 * * * *' }), schedule('sound', { cron: '* * * * *' })],
    })
    await clock.advance(60)
    const report = await pulse()
    expect(report).toMatchObject({ ok: true, scheduleResult: { due: 1, events: 1 } })
    expect(report.warnings).toEqual([
      {
        phase: 'schedules',
        code: 'OPS_011',
        message: expect.stringContaining('schedule broken is out of service'),
      },
    ])
  })

  test('what intake’s pause held back is missed, and made up for afterwards', async () => {
    await policy('schedules', { schedules: [schedule('held', { cron: '* * * * *' })] })
    await policy('control', { pause: { intake: true } })
    await clock.advance(300)
    expect(await pulse()).toMatchObject({ ok: true, scheduleResult: { due: 0 } })
    await policy('control', { pause: { intake: false } })
    expect(await pulse()).toMatchObject({ scheduleResult: { due: 1, events: 1 } })
    expect(await ticks('held')).toMatchObject([{ missed: 4 }])
  })
})
