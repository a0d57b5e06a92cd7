import type { Scenario } from '../harness/types.js'
import { drain } from './drain.js'

/** All that `npm run bench` runs, in this order. */
export const scenarios: readonly Scenario[] = [drain]
