/** What becomes of work whose worker, control plane or heartbeat is killed, stopped or asked to leave. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Program } from './support/processes.js'
import { startPulse } from './support/pulse.js'
import { scale } from './support/scale.js'
import { API_KEY, LEASE_SECONDS, Site } from './support/site.js'
import { until } from './support/until.js'

test('workers killed in a loop: every step has one success on record, and no two executions lived together', {
  timeout: scale({ short: 60_000, long: 900_000 }),
}, async () => {
  const site = await Site.open()
  const steps = await site.enqueue({
    ...scale({ short: { missions: 40, steps: 10 }, long: { missions: 1000, steps: 10 } }),
    params: { ms: 5 },
    max_retries: 100,
  })
  await site.beating()
  const workers: Program[] = await Promise.all([1, 2, 3].map((n) => site.worker({ name: `worker-${n}` })))
  const kills = scale({ short: 3, long: 100 })
  let killed = 0
  while (killed < kills && (await site.counts()).queued !== undefined) {
    await sleep(Math.random() * scale({ short: 300, long: 1500 }))
    const [victim] = workers.splice(Math.floor(Math.random() * workers.length), 1)
    await victim?.end('SIGKILL')
    killed++
    workers.push(await site.worker())
  }
  expect(killed).toBeGreaterThan(0)
  await site.drained(scale({ short: 40_000, long: 600_000 }))
  await site.expectOneSuccessEach(steps)
})

test.each(['before the effect', 'after the effect'] as const)(
  'a worker that dies %s: the next attempt finishes the step, when the lease is over',
  async (dies) => {
    const site = await Site.open()
    const steps = await site.enqueue({ params: { dies, bad_attempts: 1 } })
    const victim = site.startWorker()
    expect(await victim.ended).toBe('SIGKILL')
    await site.beating()
    await site.worker()
    await site.drained()
    await site.expectOneSuccessEach(steps)
    const effects = site.executions().filter(({ effect }) => effect !== undefined)
    expect(effects.length).toBe(dies === 'after the effect' ? 2 : 1)
  },
)

test('a step that kills its worker every time ends as a dead letter, and harms no other', async () => {
  const site = await Site.open()
  const others = await site.enqueue({ missions: 20, steps: 2 })
  await site.enqueue({ params: { dies: 'before the effect' }, max_retries: 3 })
  await site.beating()
  for (let deaths = 0; deaths < 3; deaths++) {
    // As systemd does: whenever it falls, it is started again.
    expect(await site.startWorker({ concurrency: 5 }).ended).toBe('SIGKILL')
  }
  await site.worker({ concurrency: 5 })
  await site.drained()
  expect(await site.counts()).toEqual({ succeeded: others, failed: 1 })
  const [dead] = await site.sql`
    select failure_count, end_reason, last_error from ops_mission_steps where status = 'failed'`
  expect(dead).toMatchObject({
    failure_count: 3,
    end_reason: 'attempts_used_up',
    last_error: 'lease expired: the worker fell silent',
  })
  await site.expectSound()
})

test('a worker stopped past its lease and continued: what it then reports is evidence, not state', async () => {
  const site = await Site.open()
  const steps = await site.enqueue({ missions: 3, params: { ms: 700 } })
  await site.beating()
  const frozen = await site.worker({ name: 'frozen' })
  await site.executed('that the frozen worker has begun', (all) => all.length === steps)
  frozen.send('SIGSTOP')
  await site.worker({ name: 'other' })
  await until('the other worker has the steps', async () => (await site.counts()).succeeded === steps)
  frozen.send('SIGCONT')
  await site.executed('that the frozen worker has noticed', (all) =>
    all.every(({ effect, stopped }) => effect !== undefined || stopped !== undefined),
  )
  expect(await frozen.end('SIGTERM')).toBe(0)
  expect(await site.counts()).toEqual({ succeeded: steps })
  expect(frozen.output).toContain('lost')
  await site.expectSound({ outlivesLease: true })
})

test('a worker that blocks its event loop longer than its lease gives up what it lost', async () => {
  const site = await Site.open()
  await site.enqueue({ params: { block_ms: (LEASE_SECONDS + 1.5) * 1000, bad_attempts: 1 }, max_retries: 10 })
  await site.beating()
  const blocked = await site.worker({ name: 'blocked', concurrency: 1 })
  await site.executed('that the step has begun', (all) => all.length > 0)
  await until('the lease is taken away', async () => {
    const [step] = await site.sql`select failure_count from ops_mission_steps`
    return step?.failure_count > 0
  })
  // Its next attempt would block as well: the step is dead as soon as its operator says so.
  await site.sql`select ops_cancel_step(id, 'dana') from ops_mission_steps`
  expect(await blocked.end('SIGTERM')).toBe(0)
  await site.expectSound({ outlivesLease: true })
})

test('SIGTERM in flight: what was begun is finished and recorded, nothing is begun, nothing is lost', async () => {
  const site = await Site.open()
  const steps = await site.enqueue({ missions: 30, params: { ms: 300 } })
  const leaving = await site.worker({ concurrency: 5 })
  await site.executed('five steps under way', (all) => all.length >= 5)
  expect(await leaving.end('SIGTERM')).toBe(0)
  const begun = site.executions().length
  expect(await site.counts()).toEqual({ succeeded: begun, queued: steps - begun })
  await site.worker({ concurrency: 30 })
  await site.drained()
  await site.expectOneSuccessEach(steps)
  expect(site.executions().length).toBe(steps)
})

test('control plane and heartbeat killed in the middle of beats: every event is settled once, by the next one', async () => {
  const site = await Site.open()
  await site.sql`
    insert into ops_policy (key, value) values ('reaction_matrix', ${site.sql.json(matrix)})
    on conflict (key) do update set value = excluded.value`
  const events = scale({ short: 300, long: 3000 })
  const kills = scale({ short: 2, long: 20 })
  for (let n = 0; n < events; n += 100) {
    const batch = Array.from({ length: 100 }, (_, i) => ({ type: 'order:placed', data: { n: n + i } }))
    await site.sql`select * from ops_emit_events(${JSON.stringify(batch)}::text::jsonb)`
  }
  const open = async () => {
    const [row] = await site.sql<{ n: number }[]>`
      select (select count(*) from ops_agent_events where processed_at is null)
        + (select count(*) from ops_agent_reactions where status = 'queued') as n`
    return Number(row?.n)
  }
  const env = { OPS_EVENT_BATCH_SIZE: '5', OPS_REACTION_BATCH_SIZE: '5' }
  const login = { DATABASE_URL: site.database.urlFor('service_role') }
  let url = ''
  const pulses = [1, 2].map(() => startPulse(() => url, API_KEY, 10))
  for (let n = 0; n < kills; n++) {
    const before = await open()
    const api = await site.api({ ...login, ...env })
    url = api.url
    const beat = site.run(['heartbeat'], { ...login, ...env, LOG_LEVEL: 'silent' })
    await until('a beat has moved something', async () => before === 0 || (await open()) < before)
    await Promise.all([api.end('SIGKILL'), beat.end('SIGKILL')])
  }
  url = (await site.api()).url
  await until('all events are settled', async () => (await open()) === 0)
  await Promise.all(pulses.map((pulse) => pulse.stop()))
  const [answered] = await site.sql`
    select count(*)::int as proposals, count(distinct p.template ->> 'title')::int as titles
    from ops_mission_proposals p`
  expect(answered).toEqual({ proposals: events, titles: events })
  await site.expectSound()
})

const matrix = {
  patterns: [
    {
      id: 'answer-orders',
      event_type: 'order:placed',
      template: { title: 'order {{event.data.n}}', risk_level: 'low', steps: [{ kind: 'ledger' }] },
    },
  ],
}
