/** Ids sort by age, and people call them by their last six characters. */
import { expect, test } from 'vitest'
import { propose } from './proposals.js'
import { openSharedDatabase } from './reset.js'

const db = await openSharedDatabase()
const step = (key: string) => ({ key, kind: 'noop' })

async function everyId(): Promise<string[]> {
  const rows = await db.sql<{ id: string }[]>`
    select id from ops_mission_proposals union all select id from ops_missions union all select id from ops_mission_steps`
  return rows.map(({ id }) => id)
}

test.each([
  [
    'one proposal of one step',
    () => propose(db.sql, { title: 'One', risk_level: 'low', steps: [step('a')] }),
  ],
  [
    'one proposal of many steps',
    () =>
      propose(db.sql, {
        title: 'Many',
        risk_level: 'low',
        steps: Array.from({ length: 30 }, (_, i) => step(`s${i}`)),
      }),
  ],
])('what comes of %s has ids with ends of their own', async (_, run) => {
  await db.reset()
  await run()
  const ends = (await everyId()).map((id) => id.slice(-6))
  expect(ends.length).toBeGreaterThan(2)
  expect(new Set(ends).size).toBe(ends.length)
})

test('ids of a batch sort in its order, however large it is, and none occurs twice', async () => {
  const [{ ids = [] } = {}] = await db.sql<{ ids: string[] }[]>`select ops.new_ids(20000)::text[] as ids`
  expect(new Set(ids).size).toBe(20000)
  expect(ids.toSorted()).toEqual(ids)
  expect(new Set(ids.slice(0, 1000).map((id) => id.slice(-6))).size).toBe(1000)
})
