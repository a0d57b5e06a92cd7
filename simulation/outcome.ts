import { z } from 'zod'
import type { RecordedProposal } from './lines.js'
import type { Recording } from './recording.js'
import { microsOf } from './time.js'

const decision = z.looseObject({ pattern_id: z.string(), decision: z.string(), mode: z.string().nullish() })

const verdict = z.object({
  event_id: z.string(),
  type: z.string(),
  decisions: z.array(decision),
})
export type Verdict = z.output<typeof verdict>

const proposal = z.object({
  id: z.string(),
  /** Null: a client made it. */
  event_id: z.string().nullable(),
  pattern_id: z.string().nullable(),
  source: z.string(),
  title: z.string().nullish(),
  status: z.string(),
  code: z.string().nullish(),
  verdict: z.looseObject({ name: z.string().optional() }).nullish(),
  digest: z.string().nullish(),
  reserved_usd: z.number(),
  /** How it was decided: `approved`, `auto_approved`, `rejected`, `expired`; null while it waits. */
  decision: z.string().nullish(),
  /** How its mission stands. */
  mission: z.string().nullish(),
})
export type Proposed = z.output<typeof proposal>

/** What the patterns decided and what the gate made of it. */
export interface Outcome {
  verdicts: Verdict[]
  proposals: Proposed[]
}

/** For what a simulated database answers. */
export const outcomeSchema = z.object({ verdicts: z.array(verdict), proposals: z.array(proposal) })

/** What happened, as it was recorded. */
export function recordedOutcome({ lines, from, to }: Recording): Outcome {
  const outcome: Outcome = { verdicts: [], proposals: [] }
  const counts = (text: string | undefined) => {
    const at = microsOf(text ?? '')
    return at >= from && at < to
  }
  for (const line of lines) {
    if (line.kind === 'proposal' && counts(line.created_at))
      outcome.proposals.push(proposed(line, null, null))
    if (line.kind !== 'event') continue
    const { id = '', type, verdict, reactions, created_at } = line
    if (verdict && counts(created_at))
      outcome.verdicts.push({ event_id: id, type, decisions: verdict.decisions })
    for (const { pattern_id, proposal } of reactions) {
      if (proposal && counts(proposal.created_at)) outcome.proposals.push(proposed(proposal, id, pattern_id))
    }
  }
  return outcome
}

function proposed(recorded: RecordedProposal, event_id: string | null, pattern_id: string | null): Proposed {
  const { id, source, title, status, code, verdict, digest, reserved_usd } = recorded
  const { decision, mission } = recorded
  const facts = { id, source, title, status, code, verdict, digest, reserved_usd }
  return {
    ...facts,
    event_id,
    pattern_id,
    decision: decision?.decision ?? null,
    mission: mission?.status ?? null,
  }
}
