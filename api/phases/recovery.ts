import { definePhase } from './phase.js'

/** Size of one call: the default of the SQL functions. */
const BATCH = 500

/** Steps whose worker fell silent go back to the queue, or die. */
export const leasesPhase = definePhase({
  name: 'leases',
  result: 'leaseResult',
  counts: { requeued_steps: 0, failed_steps: 0 },
  weight: 10,
  async batch({ engine }, counts) {
    const { requeued_steps, failed_steps } = await engine.recoverExpiredLeases(BATCH)
    counts.requeued_steps += requeued_steps
    counts.failed_steps += failed_steps
    return requeued_steps + failed_steps >= BATCH
  },
})

/** Steps that run on past their timeout are failed. */
export const stalePhase = definePhase({
  name: 'stale',
  result: 'staleResult',
  counts: { recovered: 0 },
  weight: 5,
  async batch({ engine }, counts) {
    const { recovered_steps } = await engine.recoverStaleSteps(undefined, BATCH)
    counts.recovered += recovered_steps
    return recovered_steps >= BATCH
  },
})

/** Pending proposals whose time is over expire. */
export const proposalsPhase = definePhase({
  name: 'proposals',
  result: 'proposalResult',
  counts: { expired: 0 },
  weight: 5,
  async batch({ engine }, counts) {
    const expired = await engine.expireProposals(BATCH)
    counts.expired += expired
    return expired >= BATCH
  },
})
