/** What becomes of work whose worker, control plane or heartbeat is killed, stopped or asked to leave. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Program } from './support/processes.js'
import { postHeartbeat, startPulse } from './support/pulse.js'
import { scale } from './support/scale.js'
import { API_KEY, Site } from './support/site.js'
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
  site.beating()
  const workers: Program[] = await Promise.all([1, 2, 3].map((n) => site.worker({ name: `worker-${n}` })))
  const kills = scale({ short: 2, long: 100 })
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

test('a step that kills its worker every time ends as a dead letter, and harms no other', async () => {
  const site = await Site.open()
  const others = await site.enqueue({ missions: 20, steps: 2 })
  await site.enqueue({ params: { dies: 'before the effect' }, max_retries: 2 })
  site.beating()
  // As systemd does: whenever it falls, it is started again.
  for (let deaths = 0; deaths < 2; deaths++) {
    expect(await site.startWorker({ concurrency: 5 }).ended).toBe('SIGKILL')
  }
  await site.worker({ concurrency: 5 })
  await site.drained()
  expect(await site.counts()).toEqual({ succeeded: others, failed: 1 })
  const [dead] = await site.sql`
    select failure_count, end_reason, last_error from ops_mission_steps where status = 'failed'`
  expect(dead).toMatchObject({
    failure_count: 2,
    end_reason: 'attempts_used_up',
    last_error: 'lease expired: the worker fell silent',
  })
  await site.expectSound()
})

test('a worker stopped past its lease and continued: what it then reports is evidence, not state', async () => {
  const site = await Site.open()
  const steps = await site.enqueue({ missions: 3, params: { ms: 700 } })
  site.beating()
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

test('control plane and heartbeat killed in the middle of beats: every event is settled once, by the next one', async () => {
  const site = await Site.open()
  await site.sql`
    insert into ops_policy (key, value) values ('reaction_matrix', ${site.sql.json(matrix)})
    on conflict (key) do update set value = excluded.value`
  const events = scale({ short: 300, long: 3000 })
  const kills = scale({ short: 1, long: 20 })
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
  for (let n = 0; n < 2; n++) startPulse(() => postHeartbeat(url, API_KEY), 10)
  for (let n = 0; n < kills; n++) {
    const before = await open()
    const api = await site.api({ ...login, ...env })
    url = api.url
    const beat = site.run(['heartbeat'], { ...login, ...env, LOG_LEVEL: 'silent' })
    await until('a beat has moved something', async () => before === 0 || (await open()) < before)
    await Promise.all([api.end('SIGKILL'), beat.end('SIGKILL')])
  }
  site.beating()
  await until('all events are settled', async () => (await open()) === 0)
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
