import { alertsPhase } from '../monitors/alerts.js'
import { canaryPhase } from '../monitors/canary.js'
import { checksPhase } from '../monitors/checks.js'
import type { Phase } from './phase.js'
import { reactionsPhase } from './reactions.js'
import { leasesPhase, proposalsPhase, stalePhase } from './recovery.js'
import { schedulesPhase } from './schedules.js'
import { servicesPhase } from './services.js'
import { housekeepingPhase, metricsPhase } from './tidy.js'
import { triggerPhase } from './trigger.js'

export * from './phase.js'

/** What each beat does, in this order. */
export const phases: readonly Phase[] = [
  canaryPhase,
  schedulesPhase,
  triggerPhase,
  reactionsPhase,
  leasesPhase,
  stalePhase,
  proposalsPhase,
  checksPhase,
  servicesPhase,
  metricsPhase,
  housekeepingPhase,
  alertsPhase,
]
