import { definePhase } from './phase.js'

/** Rows of each kind that one call takes. */
const BATCH = 1000

/** What has had its time is archived or deleted, as policy `retention` says; once an hour. */
export const housekeepingPhase = definePhase({
  name: 'housekeeping',
  result: 'housekeepingResult',
  counts: { archived_chains: 0, forgotten_rows: 0, deleted_rows: 0 },
  weight: 10,
  async batch({ engine }, counts) {
    const { archived_chains, forgotten_rows, deleted_rows, more } = await engine.housekeeping(BATCH)
    counts.archived_chains += archived_chains
    counts.forgotten_rows += forgotten_rows
    counts.deleted_rows += deleted_rows
    return more
  },
})

/** What ended since the last beat is added up for `/metrics`. */
export const metricsPhase = definePhase({
  name: 'metrics',
  result: 'metricsResult',
  /** Windows of time that were added up. */
  counts: { windows: 0 },
  weight: 5,
  async batch({ engine }, counts) {
    const more = await engine.rollUpMetrics()
    counts.windows += 1
    return more
  },
})
