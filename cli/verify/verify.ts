import { type Engine, OpsError } from '../../engine/index.js'
import { examine } from '../doctor/examine.js'
import type { Finding } from '../doctor/finding.js'
import { checkKeys } from './keys.js'
import {
  checkAlerts,
  checkBackup,
  checkCanary,
  checkInvariants,
  checkSchedules,
  checkServices,
} from './loop.js'

/** Everything that a daily look asks: the installation first, then the loop at work. */
export async function verifyLoop(
  engine: Engine,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Finding[]> {
  const installation = await examine(engine)
  try {
    const [services, violations, checks, alerts, state] = await Promise.all([
      engine.listServices(),
      engine.listViolations({ resolved: false }, 200),
      engine.listChecks(),
      engine.listAlerts({ status: 'open' }, 200),
      engine.watchState(),
    ])
    return [
      ...installation,
      ...checkServices(services),
      ...checkInvariants(violations, checks),
      ...checkCanary(state),
      ...checkAlerts(alerts),
      ...checkSchedules(state),
      ...checkBackup(state),
      ...checkKeys(env),
    ]
  } catch (error) {
    // What keeps these from being asked is among the findings already.
    if (error instanceof OpsError && installation.some(({ status }) => status === 'broken'))
      return installation
    throw error
  }
}
