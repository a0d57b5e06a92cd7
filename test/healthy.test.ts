/** A healthy loop at work: heartbeats overlap, workers race, steps fail and are tried again, and nothing that watches says a word. */
import { expect, test } from 'vitest'
import { beat } from '../api/heartbeat.js'
import { createLog } from '../api/log.js'
import { runChecks } from '../api/monitors/checks.js'
import { testApi, testConfig } from '../api/testing.js'
import { connectEngine } from '../engine/index.js'
import noop from '../executors/noop/index.js'
import packageJson from '../package.json' with { type: 'json' }
import alertDefaults from '../policies/default/alerts.json' with { type: 'json' }
import { createWorker } from '../worker/worker.js'
import { urlFor } from './support/database.js'
import { onFileEnd } from './support/fileEnd.js'

const ROUNDS = 12
const EVENTS = 20

const { db, engine, policy } = await testApi()
const quiet = { debug() {}, info() {}, warn() {}, error() {} }

function startWorker(name: string): void {
  const own = connectEngine({ databaseUrl: urlFor(db, 'ops_worker') })
  const executors = new Map([[noop.kind, noop]])
  const { version } = packageJson
  const worker = createWorker({
    engine: own,
    executors,
    name,
    version,
    concurrency: 4,
    watch: true,
    log: quiet,
    env: {},
  })
  const working = worker.start()
  onFileEnd(async () => {
    await worker.stop('drain')
    await working
    await own.close()
  })
}

test('checks and rules are silent while it works', async () => {
  // More than a hundred proposals an hour are what this test makes, and how long a query takes is up to the machine.
  const { proposals_per_hour: _, database_latency_ms: __, ...rules } = alertDefaults.rules
  await policy('alerts', { ...alertDefaults, rules })
  await policy('invariants', { timeout_ms: 5000 })
  await policy('auto_approve', { enabled: true })
  await policy('proposal_caps', {})
  const steps = [{ kind: 'noop' }, { kind: 'noop', params: { flaky_attempts: '{{event.data.flaky}}' } }]
  const template = { title: 'Work', risk_level: 'low', steps }
  await policy('reaction_matrix', { patterns: [{ id: 'work', event_type: 'app:work', template }] })
  await policy('worker_policy', { backoff_base_seconds: 0 })
  startWorker('one')
  startWorker('two')

  const pulse = () => beat({ engine, config: testConfig, log: createLog('silent') })
  const judged: Record<string, Set<string>> = {}
  const names = (await engine.listChecks()).filter(({ wide }) => !wide).map(({ name }) => name)
  for (let i = 0; i < ROUNDS; i++) {
    await db.sql`delete from ops.watch`
    await engine.emitEvents(
      Array.from({ length: EVENTS }, (_, n) => ({ type: 'app:work', data: { flaky: n === 0 ? 1 : 0 } })),
    )
    const watch = runChecks(engine, names, { timeoutMs: 5000, mayGoOn: () => true }, ({ name, outcome }) => {
      judged[name] ??= new Set()
      judged[name].add(outcome)
    })
    const reports = await Promise.all([pulse(), pulse(), watch.then(pulse)])
    expect(reports.filter(({ ok }) => !ok)).toEqual([])
  }
  await expect
    .poll(() => db.sql`select from ops_missions where completed_at is null`, { timeout: 30_000 })
    .toHaveLength(0)
  await db.sql`delete from ops.watch`
  await pulse()

  const [done] =
    await db.sql`select count(*)::int as missions from ops_missions where status = 'succeeded' and source <> 'canary'`
  expect(done).toEqual({ missions: ROUNDS * EVENTS })
  expect(Object.entries(judged).filter(([, outcomes]) => [...outcomes].join() !== 'clean')).toEqual([])
  expect(Object.keys(judged).sort()).toEqual(names.sort())
  expect([
    ...(await db.sql`select check_name, message from invariant_violations where check_name <> 'synthetic_canary'`),
  ]).toEqual([])
  expect([...(await db.sql`select rule, subject, summary from ops_alerts`)]).toEqual([])
  expect([...(await db.sql`select * from ops.broken_invariants()`)]).toEqual([])
})
