import type { Outcome, Proposed } from './outcome.js'

/** The numbers of one run of the loop. */
export interface Totals {
  /** Events that were settled. */
  events: number
  /** Matches that no guard held back. */
  reactions: number
  shadow_reactions: number
  /** What held back or left out, by decision: cooldown, threshold, dedupe, depth, probability, error. */
  held_back: Record<string, number>
  proposals: number
  auto_approved: number
  /** Those that had to wait for a person, whatever became of them. */
  needed_approval: number
  /** Turned away, by the gate's code; with the name of the cap where it has one: `cap_source github-issues`. */
  turned_away: Record<string, number>
  missions: number
  cost_usd: number
}

/** One thing that went another way. */
export interface Difference {
  what: 'reaction' | 'proposal'
  event_id: string | null
  event_type: string | null
  pattern_id: string | null
  title?: string
  /** How it was, and how it would have been; null: not at all. */
  was: string | null
  would_be: string | null
}

export interface Comparison {
  /** True when nothing differs. */
  same: boolean
  was: Totals
  would_be: Totals
  /** Reactions and proposals by pattern, where they differ. */
  patterns: { pattern_id: string; was: PatternTotals; would_be: PatternTotals }[]
  differences: Difference[]
}

export interface PatternTotals {
  reactions: number
  shadow_reactions: number
  proposals: number
}

/** What would have been different. */
export function compareOutcomes(was: Outcome, wouldBe: Outcome): Comparison {
  const differences = [...reactionDifferences(was, wouldBe), ...proposalDifferences(was, wouldBe)]
  const [before, after] = [patternTotals(was), patternTotals(wouldBe)]
  const none: PatternTotals = { reactions: 0, shadow_reactions: 0, proposals: 0 }
  const patterns = [...new Set([...before.keys(), ...after.keys()])]
    .map((pattern_id) => ({
      pattern_id,
      was: before.get(pattern_id) ?? none,
      would_be: after.get(pattern_id) ?? none,
    }))
    .filter((row) => JSON.stringify(row.was) !== JSON.stringify(row.would_be))
  return {
    same: differences.length === 0,
    was: totalsOf(was),
    would_be: totalsOf(wouldBe),
    patterns,
    differences,
  }
}

function totalsOf({ verdicts, proposals }: Outcome): Totals {
  const decisions = verdicts.flatMap((verdict) => verdict.decisions)
  const admitted = proposals.filter(({ status }) => status === 'approved' || status === 'auto_approved')
  const cents = admitted.reduce((sum, { reserved_usd }) => sum + Math.round(reserved_usd * 1e6), 0)
  const quiet = new Set(['matched', 'not_matched', 'disabled'])
  return {
    events: verdicts.length,
    reactions: decisions.filter(({ decision, mode }) => decision === 'matched' && mode !== 'shadow').length,
    shadow_reactions: decisions.filter(({ decision, mode }) => decision === 'matched' && mode === 'shadow')
      .length,
    held_back: tally(decisions.map(({ decision }) => decision).filter((decision) => !quiet.has(decision))),
    proposals: proposals.length,
    auto_approved: proposals.filter(({ status }) => status === 'auto_approved').length,
    needed_approval: proposals.filter(hadToWait).length,
    turned_away: tally(proposals.filter((proposal) => !wasLetIn(proposal)).map(capOf)),
    missions: admitted.length,
    cost_usd: cents / 1e6,
  }
}

const wasLetIn = ({ status, decision }: Proposed): boolean => status !== 'rejected' || decision !== null

const hadToWait = (proposal: Proposed): boolean => wasLetIn(proposal) && proposal.status !== 'auto_approved'

const capOf = ({ code, verdict }: Proposed): string => [code, verdict?.name].filter(Boolean).join(' ')

function tally(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const word of [...words].sort()) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

function patternTotals({ verdicts, proposals }: Outcome): Map<string, PatternTotals> {
  const totals = new Map<string, PatternTotals>()
  const of = (pattern: string) => {
    const known = totals.get(pattern) ?? { reactions: 0, shadow_reactions: 0, proposals: 0 }
    totals.set(pattern, known)
    return known
  }
  for (const { pattern_id, decision, mode } of verdicts.flatMap(({ decisions }) => decisions)) {
    if (decision === 'matched') of(pattern_id)[mode === 'shadow' ? 'shadow_reactions' : 'reactions'] += 1
  }
  for (const { pattern_id } of proposals) if (pattern_id !== null) of(pattern_id).proposals += 1
  return totals
}

function* reactionDifferences(was: Outcome, wouldBe: Outcome): Generator<Difference, void> {
  const types = new Map([...was.verdicts, ...wouldBe.verdicts].map(({ event_id, type }) => [event_id, type]))
  const [before, after] = [decisionsOf(was), decisionsOf(wouldBe)]
  for (const [key, { event_id, pattern_id }] of new Map([...before, ...after])) {
    const [a, b] = [before.get(key)?.told ?? null, after.get(key)?.told ?? null]
    // A pattern that is new and does not answer is no difference.
    if (a === b || (isNothing(a) && isNothing(b))) continue
    yield {
      what: 'reaction',
      event_id,
      event_type: types.get(event_id) ?? null,
      pattern_id,
      was: a,
      would_be: b,
    }
  }
}

const isNothing = (told: string | null): boolean =>
  told === null || told === 'not_matched' || told === 'disabled'

function decisionsOf({ verdicts }: Outcome) {
  return new Map(
    verdicts.flatMap(({ event_id, decisions }) =>
      decisions.map(({ pattern_id, decision, mode }) => {
        const told = mode === 'shadow' ? `${decision} (shadow)` : decision
        return [`${event_id} ${pattern_id}`, { event_id, pattern_id, told }] as const
      }),
    ),
  )
}

function* proposalDifferences(was: Outcome, wouldBe: Outcome): Generator<Difference, void> {
  const types = new Map([...was.verdicts, ...wouldBe.verdicts].map(({ event_id, type }) => [event_id, type]))
  const keyOf = ({ id, event_id, pattern_id }: Proposed) =>
    event_id === null ? id : `${event_id} ${pattern_id}`
  const [before, after] = [was, wouldBe].map(
    ({ proposals }) => new Map(proposals.map((proposal) => [keyOf(proposal), proposal])),
  )
  for (const [key, either] of new Map([...(before ?? []), ...(after ?? [])])) {
    const [a, b] = [before?.get(key), after?.get(key)]
    if (told(a) === told(b) && a?.digest === b?.digest) continue
    const { event_id, pattern_id, title } = either
    yield {
      what: 'proposal',
      event_id,
      event_type: types.get(event_id ?? '') ?? null,
      pattern_id,
      ...(title && { title }),
      was: told(a),
      would_be: told(a) === told(b) ? `${told(b)}, with another template` : told(b),
    }
  }
}

/** An attempt is on record when it has ended: of a mission at its first one, nobody can tell later whether it had begun. */
const stageOf = (mission: string): string => (/^(approved|running)$/.test(mission) ? 'open' : mission)

/** What became of a proposal, and at which price. */
function told(proposal: Proposed | undefined): string | null {
  if (!proposal) return null
  const { mission, reserved_usd } = proposal
  return [capOf(proposal), mission && `mission ${stageOf(mission)}`, reserved_usd > 0 && `$${reserved_usd}`]
    .filter(Boolean)
    .join(', ')
}
