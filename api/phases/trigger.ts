import { ReactionTrigger } from '../trigger.js'
import type { Phase } from './phase.js'

/** Events become reactions, as the reaction matrix says. */
export const triggerPhase: Phase = {
  name: 'trigger',
  result: 'triggerResult',
  /** Events that were settled, and the reactions queued for them. */
  counts: { events: 0, queued: 0 },
  weight: 50,
  start() {
    const counts = { events: 0, queued: 0 }
    let trigger: ReactionTrigger | undefined
    return {
      counts,
      async batch({ engine, config, fail, warn }) {
        trigger ??= new ReactionTrigger(engine, config.eventBatchSize)
        const { more, settled, queued, problems } = await trigger.batch()
        counts.events += settled
        counts.queued += queued
        for (const problem of problems) (problem.code === 'OPS_002' ? fail : warn)(problem)
        return more
      },
      end: () => trigger?.stop(),
    }
  },
}
