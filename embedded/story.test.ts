import { expect, test } from 'vitest'
import type { TimelineEntry } from '../engine/index.js'
import { causesFirst, Story } from './story.js'

const BEGIN = Date.parse('2026-01-31T09:00:00Z')

/** An entry, so many milliseconds after the story begins. */
function entry(entity: TimelineEntry['entity'], id: string, ms: number, more: Partial<TimelineEntry> = {}) {
  const at = new Date(BEGIN + ms).toISOString()
  return { at, entity, id, root_event_id: 'root', status: 'x', summary: id, details: {}, ...more }
}

/** A story over rows that can be added to, and what it has told. */
function scene() {
  const rows: TimelineEntry[] = []
  const told: string[] = []
  const story = new Story({
    engine: {
      timeline: async (since) =>
        rows.filter(({ at }) => Date.parse(at) >= Date.parse(since)).sort((a, b) => (a.at < b.at ? -1 : 1)),
    },
    since: new Date(BEGIN),
    tell: ({ entity, id, status }) => told.push(`${entity} ${id} ${status}`),
  })
  return { rows, told, story }
}

test('each thing is told once, also what is committed late with an earlier time', async () => {
  const { rows, told, story } = scene()
  rows.push(entry('event', 'a', 3000))
  await story.catchUp()
  rows.push(entry('event', 'late', 1000), entry('event', 'b', 4000))
  await story.catchUp()
  await story.catchUp()
  expect(told).toEqual(['event a x', 'event late x', 'event b x'])
})

test('what happened before the story begins is not told', async () => {
  const { rows, told, story } = scene()
  rows.push(entry('event', 'old', -1), entry('event', 'new', 0))
  await story.catchUp()
  expect(told).toEqual(['event new x'])
})

test('heartbeats are no news', async () => {
  const { rows, told, story } = scene()
  rows.push(entry('event', 'h', 1, { summary: 'heartbeat:success' }))
  await story.catchUp()
  expect(told).toEqual([])
})

test('another status, another attempt and a mission that ends again are news; a reaction that is done is not', async () => {
  const { rows, told, story } = scene()
  const news = [
    entry('reaction', 'r', 1, { status: 'queued' }),
    entry('proposal', 'p', 2, { status: 'pending' }),
    entry('proposal', 'p', 3, { status: 'approved' }),
    entry('step', 's', 4, { status: 'queued' }),
    entry('step', 's', 5, { status: 'queued' }),
    entry('mission', 'm', 6, { status: 'failed' }),
    entry('mission', 'm', 7, { status: 'failed' }),
    entry('reaction', 'q', 8, { status: 'failed' }),
  ]
  rows.push(...news, entry('reaction', 'r', 9, { status: 'done' }))
  await story.catchUp()
  expect(told).toEqual(news.map(({ entity, id, status }) => `${entity} ${id} ${status}`))
})

test('two readings at once tell nothing twice', async () => {
  const { rows, told, story } = scene()
  rows.push(entry('event', 'a', 1))
  await Promise.all([story.catchUp(), story.catchUp()])
  expect(told).toHaveLength(1)
})

test('a reaction comes before its proposal, whichever was written first', () => {
  const details = { event_id: 'e', pattern_id: 'p' }
  const told = causesFirst([
    entry('event', 'e', 0),
    entry('proposal', 'p', 1, { details }),
    entry('reaction', 'other', 2, { details: { event_id: 'e', pattern_id: 'q' } }),
    entry('reaction', 'r', 3, { details }),
  ])
  expect(told.map(({ id }) => id)).toEqual(['e', 'r', 'p', 'other'])
})
