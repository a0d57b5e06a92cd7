import { ReactionTrigger, type TriggeredBatch } from '../trigger.js'
import type { Beat, Phase } from './phase.js'

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
    const count = ({ settled, queued, problems }: TriggeredBatch, { fail, warn }: Beat) => {
      counts.events += settled
      counts.queued += queued
      for (const problem of problems) (problem.code === 'OPS_002' ? fail : warn)(problem)
    }
    return {
      counts,
      async batch(beat) {
        trigger ??= new ReactionTrigger(beat.engine, beat.config.eventBatchSize)
        const batch = await trigger.batch()
        count(batch, beat)
        return batch.more
      },
      async end(beat) {
        const batch = await trigger?.end()
        if (batch) count(batch, beat)
      },
    }
  },
}
