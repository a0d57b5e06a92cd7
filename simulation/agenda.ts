import type { EventLine, Line, RecordedProposal } from './lines.js'
import { isFromOutside } from './recording.js'
import { type Micros, microsOf } from './time.js'

/** One thing that happened, and that is to happen again. */
export type Deed =
  | { do: 'policy'; key: string; value: unknown; version: number }
  | { do: 'event'; event: EventLine & { id: string; created_at: string } }
  | { do: 'reopen'; steps: string[] }
  | { do: 'start'; step_id: string; run_id: string }
  | { do: 'end'; run: EndedRun }
  | { do: 'end_mission'; mission: EndedMission }
  | { do: 'propose'; proposal: Record<string, unknown> }
  | { do: 'decide'; decision: Record<string, unknown> }
  | { do: 'expire' }
  | { do: 'settle'; event_id: string; created: Micros; version: number }
  | { do: 'gate' }
  | { do: 'beat' }
  | { do: 'succeed'; mission_id: string }

export type Item = Deed & { at: Micros }

interface EndedRun {
  step_id: string
  status: string
  error: string | null
  permanent: boolean
  cost_usd: number | null
  events: { type: string; data: unknown; dedupe_key: string | undefined }[]
}

interface EndedMission {
  mission_id: string
  status: string
  actor: string | null
  reason: unknown
  steps: unknown
}

/** What comes first of things that bear the same time: causes before effects. */
const ORDER: Record<Deed['do'], number> = {
  policy: 0,
  event: 1,
  reopen: 2,
  start: 3,
  end: 4,
  end_mission: 5,
  propose: 6,
  decide: 7,
  expire: 8,
  succeed: 9,
  settle: 10,
  gate: 11,
  beat: 12,
}

export const inOrder = (a: Item, b: Item): number =>
  a.at - b.at ||
  ORDER[a.do] - ORDER[b.do] ||
  (a.do === 'settle' && b.do === 'settle' ? a.created - b.created : 0)

/** A recording as a list of deeds in the order in which they happened. */
export function agendaOf(lines: readonly Line[]): Item[] {
  const emitted = new Map<string, EventLine[]>()
  const final = new Set<string>()
  for (const line of lines) {
    if (line.kind !== 'event' || !line.run_id) continue
    if (!OWN.test(line.type)) emitted.set(line.run_id, [...(emitted.get(line.run_id) ?? []), line])
    else if (line.data.reason === 'permanent') final.add(line.run_id)
  }
  const runs: Runs = { eventsOf: (id) => emitted.get(id) ?? [], wasFinal: (id) => final.has(id) }
  return lines.flatMap((line) => [...itemsOf(line, runs)]).sort(inOrder)
}

/** Events that the engine makes by itself. */
export const OWN = /^(heartbeat|mission|step|proposal):/

/** What is known of attempts beside their own records. */
interface Runs {
  /** What the executor emitted. */
  eventsOf(id: string): EventLine[]
  /** Whether it failed for good, though attempts were left. */
  wasFinal(id: string): boolean
}

function* itemsOf(line: Line, runs: Runs): Generator<Item, void> {
  switch (line.kind) {
    case 'policy':
      yield {
        at: microsOf(line.at),
        do: 'policy',
        key: line.key,
        value: line.value,
        version: line.version ?? 1,
      }
      return
    case 'beat':
      yield { at: microsOf(line.at), do: 'beat' }
      return
    case 'proposal':
      yield { at: microsOf(line.created_at), do: 'propose', proposal: askedAgain(line) }
      yield* workItems(line, runs)
      return
    default:
      yield* eventItems(line, runs)
  }
}

function* eventItems(line: EventLine, runs: Runs): Generator<Item, void> {
  const { id = '', created_at = '', verdict } = line
  const created = microsOf(created_at)
  if (isFromOutside(line)) yield { at: created, do: 'event', event: { ...line, id, created_at } }
  if (/^mission:(succeeded|failed|cancelled)$/.test(line.type) && line.mission_id) {
    const { status, reason, steps } = line.data
    yield {
      at: created,
      do: 'end_mission',
      mission: {
        mission_id: line.mission_id,
        status: String(status),
        actor: null,
        reason: reason ?? null,
        steps,
      },
    }
  }
  if (verdict) {
    yield {
      at: microsOf(verdict.settled_at),
      do: 'settle',
      event_id: id,
      created,
      version: verdict.policy_version ?? 0,
    }
  }
  for (const { status, updated_at, proposal } of line.reactions) {
    if (status === 'done' || status === 'failed') {
      yield { at: microsOf(proposal?.created_at ?? updated_at), do: 'gate' }
    }
    if (proposal) yield* workItems(proposal, runs)
  }
}

function askedAgain({
  id,
  source,
  template,
  dedupe_key,
  proposed_by,
  created_at,
  held_until,
}: RecordedProposal) {
  return {
    id,
    source,
    template,
    ...(dedupe_key && { dedupe_key }),
    ...(proposed_by && { proposed_by }),
    ...(held_until && { dedupe_minutes: (microsOf(held_until) - microsOf(created_at)) / 60_000_000 }),
  }
}

/** The decision on a proposal, and all that was done about its mission. */
function* workItems({ id, decision, mission }: RecordedProposal, runs: Runs): Generator<Item, void> {
  if (decision?.decision === 'expired') yield { at: microsOf(decision.at), do: 'expire' }
  else if (decision && decision.decision !== 'auto_approved') {
    const { at, ...rest } = decision
    yield { at: microsOf(at), do: 'decide', decision: { proposal_id: id, ...rest } }
  }
  for (const at of (mission?.reopened_at ?? []).map(microsOf)) {
    const ranAgain = (mission?.steps ?? []).filter(
      ({ status, runs }) => status !== 'failed' || runs.some(({ started_at }) => microsOf(started_at) >= at),
    )
    yield { at, do: 'reopen', steps: ranAgain.map((step) => step.id) }
  }
  for (const step of mission?.steps ?? []) {
    for (const run of step.runs) {
      yield { at: microsOf(run.started_at), do: 'start', step_id: step.id, run_id: run.id }
      yield {
        at: microsOf(run.completed_at),
        do: 'end',
        run: {
          step_id: step.id,
          status: run.status,
          error: run.error ?? null,
          permanent: runs.wasFinal(run.id),
          cost_usd: run.cost_usd ?? null,
          events: runs.eventsOf(run.id).map(({ type, data, dedupe_key }) => ({
            type,
            data,
            dedupe_key: dedupe_key ?? undefined,
          })),
        },
      }
    }
  }
}
