import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Metrics } from '../engine/index.js'

type Total = Metrics['totals'][number]

/** The content type of `prometheusText`. */
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * The engine's metrics in Prometheus' text form. All values are the database's, so that every instance of the control plane
 * tells the same.
 *
 * @example
 * await prometheusText(await engine.metrics())
 * // # HELP ops_heartbeat_success Whether the last heartbeat went well.
 * // …
 */
export async function prometheusText(metrics: Metrics): Promise<string> {
  const registry = new Registry()
  addGauges(registry, metrics)
  addTotals(registry, metrics)
  return registry.metrics()
}

function addGauges(registry: Registry, metrics: Metrics): void {
  const registers = [registry]
  const gauge = (name: string, help: string, value: number) => new Gauge({ name, help, registers }).set(value)

  if (metrics.heartbeat !== null) {
    const { ok, at } = metrics.heartbeat
    gauge('ops_heartbeat_success', 'Whether the last heartbeat went well.', ok ? 1 : 0)
    gauge('ops_heartbeat_timestamp_seconds', 'When the last heartbeat ended, in seconds since 1970.', at)
  }
  gauge('ops_worker_claims', 'Steps that workers claimed in the last five minutes.', metrics.claims)
  gauge('ops_workers_live', 'Workers seen within two minutes.', metrics.workers)
  gauge(
    'ops_oldest_queued_seconds',
    'How long the oldest claimable step has been due.',
    metrics.oldest_queued_seconds,
  )
  const alerts = new Gauge({
    name: 'ops_alerts',
    help: 'Alerts of the loop that are open.',
    labelNames: ['rule', 'severity'],
    registers,
  })
  for (const { rule, severity, count } of metrics.alerts) alerts.set({ rule, severity }, count)
  addWatch(registry, metrics.watch)
  const queues = new Gauge({
    name: 'ops_queue_depth',
    help: 'What waits, or is under way, counted up to a million; open missions up to 100,000.',
    labelNames: ['queue'],
    registers,
  })
  for (const [queue, depth] of Object.entries(metrics.queues)) queues.set({ queue }, depth)
}

/** What watches the loop, so that whoever watches from outside sees it as well. */
function addWatch(registry: Registry, watch: Metrics['watch']): void {
  const registers = [registry]
  const gauge = (name: string, help: string, value: number | undefined) =>
    value === undefined || new Gauge({ name, help, registers }).set(value)
  const gauges = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Gauge({ name, help, labelNames, registers })
  const { canary, checks, backup } = watch

  gauge(
    'ops_checks_timestamp_seconds',
    'When checks last ran, in seconds since 1970.',
    seconds(checks.ran_at),
  )
  gauge('ops_checks_failing', 'Checks that broke or were cut off when they last ran.', checks.failing)
  const violations = gauges('ops_invariant_violations', 'Violations that are open.', ['check', 'severity'])
  for (const { check_name, severity, count } of watch.violations)
    violations.set({ check: check_name, severity }, count)

  gauge('ops_canary_sent_timestamp_seconds', 'When the last canary was sent.', seconds(canary?.sent_at))
  gauge(
    'ops_canary_missing',
    'Whether the last canary did not come back.',
    canary?.status === 'missing' ? 1 : 0,
  )
  gauge(
    'ops_canary_returned',
    'Canaries that were sent within the hour and came back.',
    canary?.returned_last_hour ?? 0,
  )
  const legs = gauges('ops_canary_leg_seconds', 'Legs of the last canary that came back within the hour.', [
    'leg',
  ])
  for (const [leg, ms] of Object.entries(canary?.legs ?? {}))
    legs.set({ leg: leg.replace(/_ms$/, '') }, ms / 1000)

  const healthy = gauges('ops_service_healthy', 'Whether the last check of a service went well.', ['service'])
  const breakers = gauges('ops_service_breaker_open', 'Whether steps that name the service wait.', [
    'service',
  ])
  for (const { name: service, state, healthy: well } of watch.services) {
    if (well !== null) healthy.set({ service }, well ? 1 : 0)
    breakers.set({ service }, state === 'open' ? 1 : 0)
  }

  const channels = gauges('ops_channel_failures', 'Messages that a channel failed to deliver in a row.', [
    'channel',
  ])
  for (const { name, failures } of watch.channels) channels.set({ channel: name }, failures)
  gauge('ops_notices_waiting', 'Notices that have not left yet.', watch.notices_waiting)
  gauge('ops_backup_timestamp_seconds', 'When the last backup was reported.', seconds(backup?.reported_at))
}

function seconds(timestamp: string | null | undefined): number | undefined {
  return timestamp ? Date.parse(timestamp) / 1000 : undefined
}

function addTotals(registry: Registry, { totals, bounds }: Metrics): void {
  const registers = [registry]
  const attempts = totals.filter(({ metric }) => metric === 'attempts')
  const deaths = totals.filter(({ metric }) => metric === 'deaths')
  const beats = totals.filter(({ metric }) => metric === 'heartbeats')
  const succeeded = attempts.filter(({ outcome }) => outcome === 'succeeded')
  const counter = (
    name: string,
    help: string,
    labelNames: ('kind' | 'outcome')[],
    rows: readonly Total[],
  ) => {
    const counter = new Counter({ name, help, labelNames, registers })
    for (const row of rows) {
      counter.inc(Object.fromEntries(labelNames.map((label) => [label, row[label]])), row.count)
    }
    return counter
  }

  const heartbeats = counter('ops_heartbeats_total', 'Heartbeats, by how they ended.', ['outcome'], beats)
  // Prometheus does not count the step from nothing to one.
  for (const outcome of ['success', 'failure']) heartbeats.inc({ outcome }, 0)
  counter('ops_attempts_total', 'Attempts at steps, by how they ended.', ['kind', 'outcome'], attempts)
  counter(
    'ops_steps_finished_total',
    'Steps that succeeded, or failed for good.',
    ['kind', 'outcome'],
    [...succeeded, ...deaths],
  )
  counter('ops_dead_letters_total', 'Steps that ran out of attempts, or failed permanently.', [], deaths)
  registry.registerMetric(
    new StoredHistogram(
      'ops_heartbeat_duration_seconds',
      'How long heartbeats took.',
      'outcome',
      beats,
      bounds,
    ),
  )
  registry.registerMetric(
    new StoredHistogram(
      'ops_step_duration_seconds',
      'How long successful attempts took, from claim to result.',
      'kind',
      succeeded,
      bounds,
    ),
  )
}

/** A histogram whose observations were made, and added up, in the database. */
class StoredHistogram extends Histogram {
  readonly #described: Histogram
  readonly #values: { metricName: string; labels: Record<string, string | number>; value: number }[]

  constructor(
    name: string,
    help: string,
    label: 'kind' | 'outcome',
    rows: readonly Total[],
    bounds: readonly number[],
  ) {
    const form = { name, help, labelNames: [label], buckets: [...bounds], registers: [] }
    super(form)
    this.#described = new Histogram(form)
    this.#values = rows.flatMap((row) => {
      const labels = { [label]: row[label] }
      const bucket = (le: string | number, value: number) => ({
        metricName: `${name}_bucket`,
        labels: { ...labels, le },
        value,
      })
      return [
        ...bounds.map((bound, n) => bucket(bound, row.buckets[n] ?? 0)),
        bucket('+Inf', row.count),
        { metricName: `${name}_sum`, labels, value: row.seconds },
        { metricName: `${name}_count`, labels, value: row.count },
      ]
    })
  }

  /** What the registry asks for. */
  async getForPromString() {
    return { ...(await this.#described.get()), values: this.#values }
  }
}
