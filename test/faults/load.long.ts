/** An hour's mix in a few minutes: what it costs must not grow. Prints a table. */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { connectEngine } from '../../engine/index.js'
import { setPolicy } from '../../supabase/tests/world.js'
import { onFileEnd } from '../support/fileEnd.js'
import { postHeartbeat, startPulse } from './support/pulse.js'
import { API_KEY, Site } from './support/site.js'
import { until } from './support/until.js'

const MINUTES = Number(process.env.FAULTS_LOAD_MINUTES ?? 5)
const PARTS = 10
const EVENTS_PER_SECOND = 20

test('events, proposals, approvals, steps that take their time and fail: latency and memory stay flat', {
  timeout: (MINUTES + 5) * 60_000,
}, async () => {
  const site = await Site.open()
  await setPolicy(site.sql, 'auto_approve', { enabled: true, max_risk_level: 'medium' })
  await setPolicy(site.sql, 'control', { max_depth: 3 })
  const work = (title: string, event_type: string, step: object, risk_level = 'low') => ({
    id: title,
    event_type,
    template: { title, risk_level, steps: [step, { ...step, depends_on: [] }] },
  })
  await setPolicy(site.sql, 'reaction_matrix', {
    patterns: [
      work('quick', 'order:placed', { kind: 'ledger', params: { ms: 20 } }),
      work('slow', 'order:shipped', { kind: 'ledger', params: { ms: 500 } }),
      work('flaky', 'order:returned', {
        kind: 'ledger',
        params: { fails: 'retry', bad_attempts: 2 },
        max_retries: 5,
      }),
      work('hopeless', 'order:lost', { kind: 'ledger', params: { fails: 'for good' } }),
      work('dear', 'order:refunded', { kind: 'ledger' }, 'high'),
      work('follow-up', 'order:paid', { kind: 'ledger' }),
    ],
  })
  const engine = connectEngine({ databaseUrl: site.database.urlFor('service_role') })
  onFileEnd(() => engine.close())
  const api = await site.api()
  const beats = [1, 2].map(() => startPulse(() => postHeartbeat(api.url, API_KEY), 500))
  const workers = await Promise.all([1, 2, 3].map(() => site.worker({ concurrency: 20 })))
  const programs = [...workers, api]

  const types = [
    'order:placed',
    'order:placed',
    'order:placed',
    'order:shipped',
    'order:returned',
    'order:paid',
    'order:lost',
    'order:refunded',
  ] // prettier-ignore
  let sent = 0
  const table: Record<string, number>[] = []
  for (let part = 0; part < PARTS; part++) {
    const from = new Date()
    const until = performance.now() + (MINUTES * 60_000) / PARTS
    while (performance.now() < until) {
      const batch = Array.from({ length: EVENTS_PER_SECOND }, () => ({
        type: types[sent++ % types.length] ?? '',
        data: { n: sent },
      }))
      await engine.emitEvents(batch)
      for (const { id } of await engine.listProposals({ status: 'pending' }, 50)) {
        await engine.approveProposal(id, { actor: 'dana' }).catch(() => undefined)
      }
      await sleep(1000)
    }
    const [row] = await site.sql<{ steps: number; p50: number; p95: number; beat_p95: number }[]>`
      select count(*)::int as steps,
        round(1000 * percentile_cont(0.5) within group (order by extract(epoch from r.started_at - s.created_at)))::int as p50,
        round(1000 * percentile_cont(0.95) within group (order by extract(epoch from r.started_at - s.created_at)))::int as p95,
        (select round(percentile_cont(0.95) within group (order by (report #>> '{durations_ms,total}')::float8))::int
         from ops.heartbeats where at > ${from}) as beat_p95
      from ops_mission_steps s join ops_action_runs r on r.step_id = s.id and r.attempt = 1
      where s.created_at > ${from}`
    const memory = await Promise.all(programs.map(({ pid }) => residentMiB(pid)))
    table.push({
      steps: row?.steps ?? 0,
      'pickup p50, ms': row?.p50 ?? 0,
      'pickup p95, ms': row?.p95 ?? 0,
      'beat p95, ms': row?.beat_p95 ?? 0,
      'workers, MiB': Math.max(...memory.slice(0, 3)),
      'control plane, MiB': memory[3] ?? 0,
    })
  }
  console.table(table)
  await until(
    'the loop is quiet',
    async () => {
      for (const { id } of await engine.listProposals({ status: 'pending' }, 200))
        await engine.approveProposal(id, { actor: 'dana' })
      const { queues } = await engine.health()
      return (
        queues.events + queues.reactions + queues.steps + queues.steps_running + queues.proposals_pending ===
        0
      )
    },
    { withinMs: 240_000 },
  )
  await Promise.all(beats.map((beat) => beat.stop()))

  const [missions] = await site.sql<{ n: number }[]>`select count(*)::int as n from ops_missions`
  expect(missions?.n).toBe(sent)
  for (const beat of beats) expect([...beat.statuses.keys()]).toEqual([200])
  for (const worker of workers) expect(worker.isAlive).toBe(true)
  const half = table.slice(PARTS / 2)
  const grew = (column: string) => (half.at(-1)?.[column] ?? 0) / (half[0]?.[column] ?? 1)
  // Flat, but for what a garbage collector leaves lying.
  expect(grew('workers, MiB')).toBeLessThan(1.5)
  expect(grew('control plane, MiB')).toBeLessThan(1.5)
  await site.expectSound()
})

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024)
}
