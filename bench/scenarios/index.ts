import type { Scenario } from '../harness/types.js'
import { controlPlane } from './control-plane.js'
import { drain } from './drain.js'
import { events } from './events.js'
import { floor } from './floor.js'
import { gate } from './gate.js'
import { idle } from './idle.js'
import { memory } from './memory.js'
import { openTransaction } from './open-transaction.js'
import { pickup } from './pickup.js'
import { policyCheck } from './policyCheck.js'
import { processes } from './processes.js'

/** All that `npm run bench` runs, in this order. */
export const scenarios: readonly Scenario[] = [
  drain,
  pickup,
  floor,
  idle,
  openTransaction,
  processes,
  memory,
  gate,
  events,
  policyCheck,
  controlPlane,
]
