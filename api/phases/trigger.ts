import { triggerReactions } from '../trigger.js'
import { definePhase } from './phase.js'

/** Events become reactions, as the reaction matrix says. */
export const triggerPhase = definePhase({
  name: 'trigger',
  result: 'triggerResult',
  /** Events that were settled, and the reactions queued for them. */
  counts: { events: 0, queued: 0 },
  weight: 50,
  async batch({ engine, config, fail, warn }, counts) {
    const { more, settled, queued, problems } = await triggerReactions(engine, config.eventBatchSize)
    counts.events += settled
    counts.queued += queued
    for (const problem of problems) (problem.code === 'OPS_002' ? fail : warn)(problem)
    return more
  },
})
