import { definePhase } from '../phases/phase.js'

/** The first thing of a beat, so that the canary's first legs are this beat's own. */
export const canaryPhase = definePhase({
  name: 'canary',
  result: 'canaryResult',
  counts: { sent: 0 },
  weight: 2,
  async batch({ engine }, counts) {
    if (await engine.sendCanary()) counts.sent += 1
    return false
  },
})
