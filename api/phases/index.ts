import type { Phase } from './phase.js'
import { reactionsPhase } from './reactions.js'
import { leasesPhase, proposalsPhase, stalePhase } from './recovery.js'
import { schedulesPhase } from './schedules.js'
import { triggerPhase } from './trigger.js'

export * from './phase.js'

/** What each beat does, in this order. */
export const phases: readonly Phase[] = [
  schedulesPhase,
  triggerPhase,
  reactionsPhase,
  leasesPhase,
  stalePhase,
  proposalsPhase,
]
