import { definePhase } from '../phases/phase.js'
import { requestMeter } from './meter.js'
import { deliverNotices } from './notices.js'

/** Looks at the rules of policy `alerts`, and tells of what is new through the channels. */
export const alertsPhase = definePhase({
  name: 'alerts',
  result: 'alertResult',
  /** Alerts that are open, and notices that left or could not. */
  counts: { open: 0, delivered: 0, failed: 0 },
  weight: 10,
  async batch({ engine, config, now, warn }, counts) {
    const begin = now()
    // A query that reads one row by its key.
    await engine.policies([])
    const open = await engine.evaluateAlerts({
      database_latency_ms: now() - begin,
      ...requestMeter.read(now()),
    })
    counts.open = open ?? counts.open
    const { taken, delivered, failures } = await deliverNotices(engine, config.channels)
    counts.delivered += delivered
    counts.failed += failures.length
    for (const message of failures) warn({ code: 'OPS_007', message })
    return taken > 0
  },
})
