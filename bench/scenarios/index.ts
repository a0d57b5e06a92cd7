import type { Scenario } from '../harness/types.js'
import { controlPlane } from './control-plane.js'
import { drain } from './drain.js'
import { events } from './events.js'
import { gate } from './gate.js'
import { policyCheck } from './policyCheck.js'

/** All that `npm run bench` runs, in this order. */
export const scenarios: readonly Scenario[] = [drain, gate, events, policyCheck, controlPlane]
