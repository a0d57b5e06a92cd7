import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DueSchedule } from '../engine/index.js'
import { settlementOf } from './schedules.js'

const due = (fields: Partial<DueSchedule>): DueSchedule => ({
  schedule_id: 'daily',
  cron: '0 9 * * *',
  time_zone: 'UTC',
  missed: 'once',
  settled_until: '2026-01-01T12:00:00.000001+00:00',
  now: '2026-01-02T09:03:00.000001+00:00',
  ...fields,
})
const times = (schedule: DueSchedule) => settlementOf(schedule).slots.map(({ at }) => at)

describe('a time that has just come', () => {
  test.each(['skip', 'once', 'all'] as const)(
    'becomes one event, whatever is to be done about missed ones: %s',
    (missed) => {
      expect(settlementOf(due({ missed }))).toEqual({
        schedule_id: 'daily',
        settled_until: '2026-01-01T12:00:00.000001+00:00',
        until: '2026-01-02T09:03:00.000001+00:00',
        next_at: '2026-01-03T09:00:00.000Z',
        slots: [{ at: '2026-01-02T09:00:00.000Z', missed: 0 }],
      })
    },
  )

  test('counts to the very moment, and not twice', () => {
    expect(times(due({ now: '2026-01-02T09:00:00+00:00' }))).toEqual(['2026-01-02T09:00:00.000Z'])
    expect(times(due({ now: '2026-01-02T08:59:59.999999+00:00' }))).toEqual([])
    expect(times(due({ settled_until: '2026-01-02T09:00:00+00:00' }))).toEqual([])
  })

  test('is that of the schedule’s own time zone', () => {
    expect(times(due({ time_zone: 'Asia/Kolkata', now: '2026-01-02T03:31:00+00:00' }))).toEqual([
      '2026-01-02T03:30:00.000Z',
    ])
  })
})

describe('after an outage of five days', () => {
  const outage = { settled_until: '2026-01-01T12:00:00+00:00', now: '2026-01-06T15:00:00+00:00' }

  test('skip: what passed is passed', () => {
    expect(settlementOf(due({ ...outage, missed: 'skip' }))).toMatchObject({
      until: outage.now,
      next_at: '2026-01-07T09:00:00.000Z',
      slots: [],
    })
  })

  test('skip: one whose time came a few minutes ago is met all the same', () => {
    const now = '2026-01-06T09:10:00+00:00'
    expect(times(due({ ...outage, now, missed: 'skip' }))).toEqual(['2026-01-06T09:00:00.000Z'])
    const later = '2026-01-06T09:10:00.001+00:00'
    expect(times(due({ ...outage, now: later, missed: 'skip' }))).toEqual([])
  })

  test('once: one event, for the last time, which says how many came before it', () => {
    expect(settlementOf(due({ ...outage, missed: 'once' }))).toMatchObject({
      until: outage.now,
      slots: [{ at: '2026-01-06T09:00:00.000Z', missed: 4 }],
    })
  })

  test('all: an event for each, oldest first', () => {
    expect(times(due({ ...outage, missed: 'all' }))).toEqual(
      [2, 3, 4, 5, 6].map((day) => `2026-01-0${day}T09:00:00.000Z`),
    )
  })

  test('all: a long list comes in parts that follow one another', () => {
    let schedule = due({ ...outage, cron: '* * * * *', missed: 'all' })
    const all: string[] = []
    for (let part = 0; ; part += 1) {
      const { until, next_at, slots } = settlementOf(schedule)
      expect(slots.length).toBeLessThanOrEqual(200)
      all.push(...slots.map(({ at }) => at))
      if (next_at > new Date(outage.now).toISOString()) break
      schedule = { ...schedule, settled_until: until }
      if (part > 100) throw new Error('it does not end')
    }
    expect(all.length).toBe(5 * 24 * 60 + 3 * 60)
    expect(new Set(all).size).toBe(all.length)
    expect([all[0], all.at(-1)]).toEqual(['2026-01-01T12:01:00.000Z', '2026-01-06T15:00:00.000Z'])
  })

  test('once: a minute schedule takes no more work than a daily one, and its count has a ceiling', () => {
    const { slots } = settlementOf(
      due({ ...outage, settled_until: '2020-01-01T00:00:00+00:00', cron: '* * * * *' }),
    )
    expect(slots).toEqual([{ at: '2026-01-06T15:00:00.000Z', missed: 199 }])
  })
})

describe('where clocks change', () => {
  const berlin = { time_zone: 'Europe/Berlin', missed: 'all' as const }

  test('a time that does not exist comes when the gap ends', () => {
    const night = { settled_until: '2026-03-28T12:00:00Z', now: '2026-03-30T12:00:00Z' }
    expect(times(due({ ...berlin, ...night, cron: '30 2 * * *' }))).toEqual([
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ])
  })

  test('a time that comes twice is taken once', () => {
    const night = { settled_until: '2026-10-24T12:00:00Z', now: '2026-10-26T12:00:00Z' }
    expect(times(due({ ...berlin, ...night, cron: '30 2 * * *' }))).toEqual([
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ])
  })
})

test('beats at any moments give each time exactly once, as one beat at the end would', () => {
  const start = Date.UTC(2026, 2, 27)
  fc.assert(
    fc.property(
      fc.constantFrom('*/20 * * * *', '30 2 * * *', '0 0,12 * * SUN', '15 1-4 * * *'),
      fc.constantFrom('UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'America/New_York'),
      fc.array(fc.integer({ min: 1, max: 4 * 86_400_000 }), { minLength: 1, maxLength: 12 }),
      (cron, time_zone, offsets) => {
        const moments = [...new Set(offsets)]
          .sort((a, b) => a - b)
          .map((ms) => new Date(start + ms).toISOString())
        const settled_until = new Date(start).toISOString()
        const schedule = due({ cron, time_zone, missed: 'all', settled_until })
        const inParts = moments.flatMap((now, n) =>
          everyTime({ ...schedule, settled_until: moments[n - 1] ?? settled_until, now }),
        )
        expect(inParts).toEqual(everyTime({ ...schedule, now: moments.at(-1) ?? settled_until }))
      },
    ),
    { numRuns: 50, seed: 7 },
  )
})

test('what makes no sense says so', () => {
  expect(() => settlementOf(due({ cron: '99 * * * *' }))).toThrow('99')
  expect(() => settlementOf(due({ time_zone: 'No/Where' }))).toThrow('No/Where')
})

test('a date that never comes is never due again', () => {
  expect(settlementOf(due({ cron: '0 0 31 2 *' }))).toMatchObject({ slots: [], next_at: 'infinity' })
})

/** All parts of what `all` makes up for. */
function everyTime(schedule: DueSchedule): string[] {
  const { until, slots } = settlementOf(schedule)
  const part = slots.map(({ at }) => at)
  return until === schedule.now ? part : [...part, ...everyTime({ ...schedule, settled_until: until })]
}
