import { setTimeout as sleep } from 'node:timers/promises'
import type { Lease } from '../../engine/index.js'
import { storeBacklog } from '../harness/backlog.js'
import { median } from '../harness/numbers.js'
import { makeDue, type Subject } from './subject.js'

/** Steps of one call. */
const BATCH = 50
/** Proposals of one round. */
const PROPOSALS = 20
const DAY_SECONDS = 86_400

/** By verb, then by subject, the milliseconds of each round. A heartbeat's phases stand behind it as `heartbeat: <phase>`. */
export type Samples = Map<string, Map<string, number[]>>

/** What one round does with a subject, one after the other; it notes what it has measured. */
type Part = (subject: Subject, state: State, note: (verb: string, ms: number) => void) => Promise<void>

/** What the parts of a round hand on. */
interface State {
  expiring: Lease[]
  expired: number
  leases: Lease[]
}

const leaseOf = ({ step_id, token }: Lease): Lease => ({ step_id, token })

/**
 * Steps that a round claims are the longest due; all have been stored by the same statement, in the order in which they are claimed, so that they lie as
 * near to each other in each database. What is failed or recovered is put off for long, and no later round meets it.
 */
const parts: Part[] = [
  ({ owner }) => storeBacklog(owner, 'queued', 3 * BATCH),

  async function claim(subject, state, note) {
    note(
      'claim',
      await timed(async () => {
        state.expiring = (await subject.claim(BATCH, 1)).map(leaseOf)
      }),
    )
    state.expired = performance.now() + 1000
  },

  async function gate({ engine }, _, note) {
    const each: number[] = []
    for (let i = 0; i < PROPOSALS; i++) {
      // Nobody claims steps of this kind.
      const template = { title: 'bench', risk_level: 'low' as const, steps: [{ kind: 'gated' }] }
      each.push(await timed(() => engine.createProposal({ source: 'bench', template })))
    }
    note('gate', median(each))
  },

  claimForNext,
  async function complete({ engine }, { leases }, note) {
    note('complete', await timed(() => engine.completeSteps(leases)))
  },

  claimForNext,
  async function fail({ engine }, { leases }, note) {
    const failures = leases.map((lease) => ({ ...lease, error: 'bench', retry_after_seconds: DAY_SECONDS }))
    note('fail (retry)', await timed(() => engine.failSteps(failures)))
  },

  async function recover({ name, engine }, { expiring, expired }, note) {
    await sleep(Math.max(0, expired - performance.now() + 10))
    let requeued = 0
    const took = await timed(async () => {
      requeued = (await engine.recoverExpiredLeases()).requeued_steps
    })
    if (requeued !== expiring.length) throw new Error(`${name}: ${requeued} steps were recovered`)
    note('recover', took)
  },

  (subject, _, note) => noteBeat(subject, 'heartbeat', note),
  (subject, _, note) => noteBeat(subject, 'heartbeat with checks', note),
]

/**
 * Milliseconds of each verb in each subject, round by round. Each part of a round is done in all subjects in turn, and who is first changes with the round,
 * so that whatever else the machine does hits all, and what stands at one place in the lists is of the same moment.
 */
export async function measure(
  subjects: readonly Subject[],
  rounds: number,
  signal: AbortSignal,
  onRound: (round: number) => void = () => {},
): Promise<Samples> {
  const samples: Samples = new Map()
  function note(verb: string, name: string, ms: number): void {
    const byName = samples.get(verb) ?? new Map<string, number[]>()
    samples.set(verb, byName)
    byName.set(name, [...(byName.get(name) ?? []), ms])
  }
  for (let round = 1; round <= rounds; round++) {
    const states = new Map(subjects.map(({ name }) => [name, { expiring: [], expired: 0, leases: [] }]))
    for (const [place, part] of parts.entries()) {
      for (const subject of rotated(subjects, round + place)) {
        signal.throwIfAborted()
        const state = states.get(subject.name)
        if (state) await part(subject, state, (verb, ms) => note(verb, subject.name, ms))
      }
    }
    onRound(round)
  }
  return samples
}

async function claimForNext(subject: Subject, state: State): Promise<void> {
  state.leases = (await subject.claim(BATCH)).map(leaseOf)
}

async function noteBeat(
  subject: Subject,
  verb: string,
  note: (verb: string, ms: number) => void,
): Promise<void> {
  await makeDue(subject, verb !== 'heartbeat')
  const began = performance.now()
  const { durations_ms } = await subject.beat()
  note(verb, performance.now() - began)
  for (const [phase, ms] of Object.entries(durations_ms)) if (phase !== 'total') note(`${verb}: ${phase}`, ms)
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

function rotated<T>(list: readonly T[], by: number): T[] {
  const at = by % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}
