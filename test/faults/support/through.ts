import { expect } from 'vitest'
import { beat } from '../../../api/heartbeat.js'
import { createLog } from '../../../api/log.js'
import { testConfig } from '../../../api/testing.js'
import type { Engine } from '../../../engine/index.js'
import { brokenInvariants } from '../../../supabase/tests/world.js'
import type { TestDatabase } from '../../support/database.js'

/** One beat of the loop, silently. */
export const beatOf = (engine: Engine) => beat({ engine, config: testConfig, log: createLog('silent') })

/**
 * Beats until all is through: what came in does not hang anywhere, and broke nothing.
 *
 * @param told what the invariants may say of rows made by hand
 */
export async function expectThrough(sql: TestDatabase['sql'], engine: Engine, told?: RegExp): Promise<void> {
  for (let beats = 0; beats < 20; beats++) {
    const report = await beatOf(engine)
    expect(report.errors).toEqual([])
    if (report.drained) break
  }
  const [stuck] = await sql`
    select (select count(*)::int from ops_agent_events where processed_at is null) as events,
      (select count(*)::int from ops_agent_reactions where status in ('queued', 'processing')) as reactions`
  expect(stuck).toEqual({ events: 0, reactions: 0 })
  expect((await brokenInvariants(sql)).filter((breach) => !told?.test(breach))).toEqual([])
}
