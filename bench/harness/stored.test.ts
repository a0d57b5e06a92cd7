/** What the benches store past the engine is what the engine would have left. */
import { expect, test } from 'vitest'
import { connectEngine } from '../../engine/index.js'
import { freshDatabase, urlFor } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { storeBacklog } from './backlog.js'
import { storeFinished } from './finished.js'
import { prepareOurs } from './server.js'

const db = await freshDatabase({ empty: true })
const { sql, url } = db
await prepareOurs(url)
const engine = connectEngine({ databaseUrl: url })
const worker = connectEngine({ databaseUrl: urlFor(db, 'ops_worker') })
onFileEnd(async () => void (await Promise.all([engine.close(), worker.close()])))

async function breaches(): Promise<string[]> {
  const outcomes = await engine.runChecks(undefined, { timeoutMs: 5000, everything: true })
  expect(outcomes.length).toBeGreaterThan(20)
  return outcomes.filter(({ outcome }) => outcome !== 'clean').map(({ name }) => name)
}

test('finished missions: as many events as steps, all settled, and no invariant broken', async () => {
  await storeFinished(sql, 45)
  const [count] = await sql`
    select (select count(*)::int from ops_missions where status = 'succeeded') as missions, (select count(*)::int from ops_mission_steps) as steps,
      (select count(*)::int from ops_action_runs) as runs, (select count(*)::int from ops_agent_events where processed_at is not null) as events`
  expect(count).toEqual({ missions: 5, steps: 50, runs: 50, events: 50 })
  expect(await breaches()).toEqual([])
})

test('a backlog: what is queued can be claimed, run and recorded, what is scheduled cannot, and no invariant is broken', async () => {
  await storeBacklog(sql, 'queued', 30)
  await storeBacklog(sql, 'scheduled', 20)
  expect(await breaches()).toEqual([])
  const { worker_id } = await worker.registerWorker({
    name: 'bench',
    version: '0',
    executors: ['noop'],
    concurrency: 100,
    schema_version: 1_000_000,
  })
  const steps = await worker.claimSteps({ worker_id, executors: ['noop'], limit: 100 })
  expect(steps).toHaveLength(30)
  const done = await worker.completeSteps(steps.map(({ step_id, token }) => ({ step_id, token })))
  expect(
    done.every(({ outcome, mission_status }) => outcome === 'ok' && mission_status === 'succeeded'),
  ).toBe(true)
  expect(await breaches()).toEqual([])
})
