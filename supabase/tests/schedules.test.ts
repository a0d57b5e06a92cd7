import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.js'
import { openSession, openSessions, whileBlocked } from './contention.js'
import { emitOne } from './loop.js'
import type { Connection } from './work.js'
import { type Clock, openDatabase, setPolicy, stopClock } from './world.js'

const START = '2026-03-01T12:00:00.000Z'
const SLOT = '2026-03-01T13:00:00Z'

let db: TestDatabase
let sql: Connection
let clock: Clock
let now: string

beforeAll(async () => {
  db = await openDatabase()
  sql = db.sql
  clock = await stopClock(sql, START)
})
beforeEach(async () => {
  await sql`update ops.test_clock set at = ${START}`
  await setPolicy(sql, 'schedules', { schedules: [] })
  await setPolicy(sql, 'control', {})
  await sql`delete from ops_agent_events`
  now = (await clock.now()).toISOString()
})

const schedule = (id: string, fields: Record<string, unknown> = {}) => ({
  id,
  cron: '0 * * * *',
  event: { type: 'tick' },
  ...fields,
})

const schedules = (...list: ReturnType<typeof schedule>[]) => setPolicy(sql, 'schedules', { schedules: list })

interface Due {
  schedule_id: string
  settled_until: Date
  [column: string]: unknown
}
const due = (): Promise<Due[]> => sql<Due[]>`select * from ops_due_schedules() order by schedule_id`
const dueIds = async () => (await due()).map(({ schedule_id }) => schedule_id)

interface Item {
  schedule_id: string
  settled_until?: string
  until?: string
  next_at?: string
  slots?: { at: string; missed?: number }[]
}

/** Settles a schedule with one slot, an hour after it began. */
function settle(connection: Connection, ...items: Item[]) {
  const list = items.map((item) => ({
    settled_until: now,
    until: SLOT,
    next_at: 'infinity',
    slots: [{ at: SLOT }],
    ...item,
  }))
  return connection<{ schedule_id: string; outcome: string; events: number }[]>`
    select * from ops_settle_schedules(${JSON.stringify(list)}::text::jsonb)`
}

const events = () => sql<{ type: string; data: unknown; dedupe_key: string }[]>`
  select type, data, dedupe_key from ops_agent_events order by created_at, id`

describe('a schedule begins with the edit of the policy that puts it in force', () => {
  test('and says what it is, defaults filled in', async () => {
    await schedules(schedule('bare'), schedule('full', { time_zone: 'Europe/Berlin', missed: 'all' }))
    const began = new Date(now)
    expect(await due()).toEqual([
      {
        schedule_id: 'bare',
        cron: '0 * * * *',
        time_zone: 'UTC',
        missed: 'once',
        settled_until: began,
        now: began,
      },
      {
        schedule_id: 'full',
        cron: '0 * * * *',
        time_zone: 'Europe/Berlin',
        missed: 'all',
        settled_until: began,
        now: began,
      },
    ])
  })

  test('keeps its place when anything but its times is edited', async () => {
    await schedules(schedule('kept'))
    await clock.advance(60)
    await schedules(schedule('kept', { missed: 'all', event: { type: 'tock' } }), schedule('another'))
    expect((await due()).map(({ settled_until }) => settled_until.toISOString())).toEqual([
      new Date(Date.parse(now) + 60_000).toISOString(),
      now,
    ])
  })

  test.each([
    ['its cron expression', { cron: '5 * * * *' }],
    ['its time zone', { time_zone: 'Asia/Tokyo' }],
  ])('begins anew with %s', async (_, change) => {
    await schedules(schedule('changed'))
    await settle(sql, { schedule_id: 'changed' })
    expect(await dueIds()).toEqual([])
    await clock.advance(60)
    await schedules(schedule('changed', change))
    expect(await due()).toMatchObject([{ settled_until: new Date(Date.parse(now) + 60_000) }])
  })

  test('forgets its place while it is switched off', async () => {
    await schedules(schedule('paused'))
    await schedules(schedule('paused', { enabled: false }))
    expect(await dueIds()).toEqual([])
    await clock.advance(86_400)
    await schedules(schedule('paused'))
    expect(await due()).toMatchObject([{ settled_until: await clock.now() }])
  })

  test('ends with its policy, also by delete and truncate', async () => {
    const operator = await openSession(db)
    for (const end of [`delete from ops_policy where key = 'schedules'`, 'truncate ops_policy']) {
      await operator.begin()
      await setPolicy(operator.sql, 'schedules', { schedules: [schedule('gone')] })
      expect(await operator.sql`select from ops_due_schedules()`).toHaveLength(1)
      await operator.sql.unsafe(end)
      expect(await operator.sql`select from ops_due_schedules()`).toHaveLength(0)
      await operator.rollback()
    }
  })

  test('keeps what an edit gave it when another policy is edited meanwhile', async () => {
    await schedules(schedule('changed'), schedule('gone'))
    const [one, other] = await openSessions(db, 2)
    if (!one || !other) throw new Error('two sessions expected')
    await one.begin()
    await setPolicy(one.sql, 'schedules', { schedules: [schedule('changed', { cron: '5 * * * *' })] })
    await other.sql`set lock_timeout = '3s'`
    const edit = other.sql`update ops_policy set value = '{"pause": {"claims": true}}' where key = 'control'`
    await edit.finally(() => one.commit())
    expect(await due()).toMatchObject([{ schedule_id: 'changed', cron: '5 * * * *' }])
  })

  test('waits for a beat that settles, in the order in which that takes them', async () => {
    await schedules(schedule('a'), schedule('b'))
    const [beat, operator] = await openSessions(db, 2)
    if (!beat || !operator) throw new Error('two sessions expected')
    await beat.begin()
    await settle(beat.sql, { schedule_id: 'a' })
    const { answer } = await whileBlocked(sql, operator, (connection) =>
      setPolicy(connection, 'schedules', { schedules: [schedule('a', { cron: '5 * * * *' })] }),
    )
    expect(await settle(beat.sql, { schedule_id: 'b' })).toMatchObject([{ outcome: 'settled' }])
    await beat.commit()
    await answer
    expect(await due()).toMatchObject([{ schedule_id: 'a', cron: '5 * * * *' }])
  })

  test.each([
    ['an id that is there twice', [schedule('x'), schedule('x')], '"x" is there twice'],
    [
      'an event that only the engine makes',
      [schedule('x', { event: { type: 'mission:succeeded' } })],
      'schedules[0].event.type "mission:" events are made by the engine alone',
    ],
  ])('is refused with %s, and nothing changes', async (_, list, problem) => {
    await expect(schedules(...list)).rejects.toMatchObject({
      code: 'OP011',
      message: expect.stringContaining(problem),
    })
    expect(await dueIds()).toEqual([])
  })
})

describe('settling', () => {
  beforeEach(() => schedules(schedule('hourly', { event: { type: 'tick', data: { who: 'me' } } })))

  test('makes an event of each slot, which says which one', async () => {
    const slots = [{ at: SLOT, missed: 3 }, { at: '2026-03-01T14:00:00Z' }]
    const [answer] = await settle(sql, { schedule_id: 'hourly', until: '2026-03-01T14:30:00Z', slots })
    expect(answer).toEqual({ schedule_id: 'hourly', outcome: 'settled', events: 2 })
    expect(await events()).toEqual([
      {
        type: 'tick',
        data: {
          source: 'schedule',
          who: 'me',
          schedule: { id: 'hourly', at: '2026-03-01T13:00:00+00:00', missed: 3 },
        },
        dedupe_key: 'schedule:hourly:2026-03-01T13:00:00Z',
      },
      expect.objectContaining({ dedupe_key: 'schedule:hourly:2026-03-01T14:00:00Z' }),
    ])
  })

  test('is not due again before its next time', async () => {
    await settle(sql, { schedule_id: 'hourly', next_at: new Date(Date.parse(now) + 60_000).toISOString() })
    expect(await dueIds()).toEqual([])
    await clock.advance(59)
    expect(await dueIds()).toEqual([])
    await clock.advance(1)
    expect(await dueIds()).toEqual(['hourly'])
  })

  test('by two beats at once, the second waits, finds it taken and makes nothing', async () => {
    const first = await openSession(db)
    const second = await openSession(db)
    await first.begin()
    await settle(first.sql, { schedule_id: 'hourly' })
    const { answer } = await whileBlocked(sql, second, (connection) =>
      settle(connection, { schedule_id: 'hourly' }),
    )
    await first.commit()
    expect(await answer).toEqual([{ schedule_id: 'hourly', outcome: 'taken', events: 0 }])
    expect(await events()).toHaveLength(1)
  })

  test('by a beat that is cut off leaves slot and event to the next', async () => {
    const broken = await openSession(db)
    await broken.begin()
    await settle(broken.sql, { schedule_id: 'hourly' })
    await broken.rollback()
    expect(await settle(sql, { schedule_id: 'hourly' })).toMatchObject([{ outcome: 'settled', events: 1 }])
    expect(await events()).toHaveLength(1)
  })

  test('never makes a second event of a slot, not even when the schedule began anew', async () => {
    await settle(sql, { schedule_id: 'hourly' })
    await schedules()
    await schedules(schedule('hourly'))
    expect(await settle(sql, { schedule_id: 'hourly' })).toMatchObject([{ outcome: 'settled', events: 0 }])
    expect(await events()).toHaveLength(1)
  })

  test('one that is gone, or was edited meanwhile, holds up no other', async () => {
    await schedules(schedule('hourly'), schedule('other'))
    expect(
      await settle(
        sql,
        { schedule_id: 'zzz' },
        { schedule_id: 'hourly', settled_until: SLOT },
        { schedule_id: 'other' },
      ),
    ).toEqual([
      { schedule_id: 'hourly', outcome: 'taken', events: 0 },
      { schedule_id: 'other', outcome: 'settled', events: 1 },
      { schedule_id: 'zzz', outcome: 'taken', events: 0 },
    ])
  })

  test('backwards is refused', async () => {
    await expect(settle(sql, { schedule_id: 'hourly', until: '2020-01-01T00:00:00Z' })).rejects.toMatchObject(
      {
        code: 'OP011',
      },
    )
  })

  test('nothing is due while intake is paused', async () => {
    await setPolicy(sql, 'control', { pause: { intake: true } })
    expect(await dueIds()).toEqual([])
    await setPolicy(sql, 'control', { pause: { intake: false } })
    expect(await dueIds()).toEqual(['hourly'])
  })

  test('nobody from outside can take the key of a slot first', async () => {
    const dedupe_key = 'schedule:hourly:2026-03-01T13:00:00Z'
    await expect(emitOne(sql, { type: 'tick', dedupe_key })).rejects.toMatchObject({ code: 'OP011' })
  })
})
