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
  const queues = new Gauge({
    name: 'ops_queue_depth',
    help: 'What waits, or is under way.',
    labelNames: ['queue'],
    registers,
  })
  for (const [queue, depth] of Object.entries(metrics.queues)) queues.set({ queue }, depth)
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
