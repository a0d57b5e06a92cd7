import { definePhase } from './phase.js'

/** Reactions become proposals, and go through the gate. */
export const reactionsPhase = definePhase({
  name: 'reactions',
  result: 'reactionResult',
  /** Reactions that went through the gate, and the proposals made. */
  counts: { processed: 0, created: 0 },
  weight: 30,
  beside: 'trigger',
  async batch({ engine, config }, counts) {
    const outcomes = await engine.runReactions(config.reactionBatchSize)
    const counted = outcomes.filter((o) => o.code !== 'canary')
    counts.processed += counted.length
    counts.created += counted.filter((o) => o.proposal_id !== null && o.code !== 'duplicate').length
    return outcomes.length >= config.reactionBatchSize
  },
})
