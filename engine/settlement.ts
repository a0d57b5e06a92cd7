import type { SettleItem } from './types/events.js'

/**
 * The documents that `ops_settle_events` takes: what is kept of the decisions about events, and the reactions that the matches among
 * them ask for. In columns, each value as it goes into its row, because the database takes them apart far faster so.
 */
export function settlement(items: readonly SettleItem[]) {
  const matches = { event: [] as number[], decision: [] as number[], payload: [] as object[] }
  const decisions = items.map(({ type, decisions }, event) =>
    decisions.map((decided, index) => {
      const { template, proposal_source = 'reaction', ...kept } = decided
      if (kept.decision !== 'matched') return kept
      matches.event.push(event)
      matches.decision.push(index)
      matches.payload.push({
        event_type: type,
        pattern_id: kept.pattern_id,
        proposal_source,
        proposal_template: template,
        dedupe_key: kept.dedupe_key,
      })
      return kept
    }),
  )
  const errors = items.map(({ error }) => error)
  return {
    p_events: {
      event_id: items.map(({ event_id }) => event_id),
      decisions,
      error: errors.some((error) => error !== undefined) ? errors : undefined,
    },
    p_matches: matches,
  }
}
