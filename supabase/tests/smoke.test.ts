import { expect, test } from 'vitest'
import { freshDatabase } from '../../test/support/database.js'

test('x', async () => {
  const db = await freshDatabase()
  expect(await db.sql`select * from ops.broken_invariants()`).toEqual([])
  expect((await db.sql`select key from ops_policy order by 1`).map((r) => r.key)).toEqual([])
})
