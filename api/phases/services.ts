import { type Engine, OpsError, type ServiceCheckResult } from '../../engine/index.js'
import { parsePolicy } from '../../policies/index.js'
import { probe } from '../services/probe.js'
import { definePhase } from './phase.js'

/** Services that are asked at the same time. */
const BATCH = 10

/** How long a service is waited for though the beat's time is over, in milliseconds: who is killed before the report has said nothing. */
const LEAST_PATIENCE_MS = 5000

/** Asks the services whose check is due how they are. */
export const servicesPhase = definePhase({
  name: 'services',
  result: 'serviceResult',
  counts: { checked: 0, unhealthy: 0 },
  weight: 10,
  async batch({ engine, config, now, until, warn }, counts) {
    const patience = Math.max(until - now(), LEAST_PATIENCE_MS)
    const due = await engine.takeServiceChecks(BATCH)
    await Promise.all(
      due.map(async ({ name, config: entry }) => {
        const parsed = parsePolicy('services', { services: { [name]: entry } })
        const service = parsed.ok ? parsed.value.services[name] : undefined
        if (!service) return
        const timeout_ms = Math.min(service.timeout_ms, patience)
        const result = await probe(name, { ...service, timeout_ms }, config.serviceSecrets)
        const state = await record(engine, result)
        if (state === undefined) return
        counts.checked += 1
        if (result.ok) return
        counts.unhealthy += 1
        warn({ code: 'OPS_007', message: `service ${name} (breaker ${state}): ${result.error}` })
      }),
    )
    return due.length === BATCH
  },
})

/** The state of the breaker then; undefined when somebody took the service out of the policy while it was asked. */
async function record(engine: Engine, result: ServiceCheckResult): Promise<string | undefined> {
  try {
    return await engine.recordServiceCheck(result)
  } catch (error) {
    if (error instanceof OpsError && error.code === 'OPS_013') return undefined
    throw error
  }
}
