import type { Engine, PendingEvent, PolicyRow, SettledEvent, SettleItem } from '../engine/index.js'
import { isRetryable, OpsError } from '../engine/index.js'
import {
  type CompiledMatrix,
  canaryMatrix,
  compiling,
  type Decision,
  decisionsAbout,
  isCanaryEvent,
  matchEvent,
} from '../policies/index.js'
import { inTurns } from './turns.js'

/** Milliseconds of matching after which what is matched is settled, so that slow patterns let events go on, a few at a time. */
const MATCHING_MS = 5000

/** What became of one batch of pending events. */
export interface TriggeredBatch {
  /** Events that were pending and are matched, at most the batch size. */
  found: number
  /** Whether others may be waiting. */
  more: boolean
  /** Those of them that this call settled, but for the canary's; others were settled by an overlapping beat. */
  settled: number
  /** Reactions queued, but for the canary's. */
  queued: number
  /** Patterns and events that could not be matched; none of them held up another. */
  problems: { code: string; message: string }[]
}

/**
 * Matches the oldest pending events against the reaction matrix in force and settles them in their order, at most
 * `batchSize` (1 to 1000). Every event is settled, matched or not, also when there is no reaction matrix (`OPS_002` among
 * the problems).
 *
 * @throws OpsError when the database cannot be reached.
 */
export async function triggerReactions(engine: Engine, batchSize: number): Promise<TriggeredBatch> {
  return settleBatch(engine, await matchBatch(engine, batchSize))
}

/** A batch on its way. */
interface BegunBatch {
  matched: Promise<MatchedBatch>
  settled: Promise<TriggeredBatch>
}

/**
 * The same batch after batch: while one is settled, the next is read, matched and sent after it, so that the database has read it when
 * its turn comes.
 */
export class ReactionTrigger {
  readonly #engine: Engine
  readonly #batchSize: number
  readonly #ended = new AbortController()
  #next: BegunBatch | undefined

  /** @param batchSize 1 to 1000 */
  constructor(engine: Engine, batchSize: number) {
    this.#engine = engine
    this.#batchSize = batchSize
  }

  /** One that fails is followed by one from the oldest pending events on. */
  async batch(): Promise<TriggeredBatch> {
    const batch = this.#next ?? this.#begin()
    this.#next = undefined
    const { more } = await batch.matched
    const next = more ? this.#begin(batch) : undefined
    try {
      const settled = await batch.settled
      this.#next = next
      return settled
    } catch (error) {
      // The next may be settled all the same, when the answer alone was lost. Then it is told of.
      await next?.settled.then(
        () => {
          this.#next = next
        },
        () => undefined,
      )
      throw error
    }
  }

  /** No batch is asked for any more: breaks off the matching of the one that was begun, and answers what became of it. */
  async end(): Promise<TriggeredBatch | undefined> {
    this.#ended.abort()
    return this.#next?.settled
  }

  async #match(before?: BegunBatch): Promise<MatchedBatch> {
    const after = (await before?.matched)?.last
    return matchBatch(this.#engine, this.#batchSize, after, this.#ended.signal)
  }

  #begin(before?: BegunBatch): BegunBatch {
    const matched = this.#match(before)
    const settled = matched.then((batch) => settleBatch(this.#engine, batch, before))
    // It is awaited when the batch is asked for; until then a failure waits too.
    matched.catch(() => undefined)
    settled.catch(() => undefined)
    return { matched, settled }
  }
}

/** Pending events, with what was decided about them under a version of the reaction matrix. */
interface MatchedBatch {
  version: number
  events: PendingEvent[]
  items: SettleItem[]
  more: boolean
  /** The last event that was matched. */
  last: string | undefined
  problems: TriggeredBatch['problems']
}

/** Reads and matches the pending events after a given one. Policies are read after them: no event meets older ones than itself. */
async function matchBatch(
  engine: Engine,
  batchSize: number,
  after?: string,
  signal?: AbortSignal,
): Promise<MatchedBatch> {
  const pending = await engine.pendingEvents(batchSize, after)
  const batch: MatchedBatch = { version: 0, events: [], items: [], more: false, last: after, problems: [] }
  if (pending.length === 0) return batch

  const policies = await policiesInForce(engine)
  const matrix = policies.find(({ key }) => key === 'reaction_matrix')
  const match = matrix ? matcher(await matrixOf(engine, matrix), policies, batch) : nobody(batch)
  const items = await matchAll(pending, match, performance.now() + MATCHING_MS, signal)
  const events = pending.slice(0, items.length)
  const more = items.length < pending.length || pending.length >= batchSize
  return { ...batch, version: matrix?.version ?? 0, events, items, more, last: events.at(-1)?.event_id }
}

async function settleBatch(
  engine: Engine,
  { version, events, items, more, problems }: MatchedBatch,
  before?: BegunBatch,
): Promise<TriggeredBatch> {
  const batch: TriggeredBatch = { found: events.length, more, settled: 0, queued: 0, problems }
  if (events.length === 0) return batch
  // Nobody counts the engine's canary.
  const canaries = new Set(events.filter(isCanaryEvent).map(({ event_id }) => event_id))
  const settled =
    (before && (await settleAfter(engine, version, items, before))) ??
    (await settle(engine, version, items, batch))
  for (const event of settled) {
    if (canaries.has(event.event_id)) continue
    if (event.outcome === 'settled') batch.settled += 1
    batch.queued += event.queued
  }
  return batch
}

/** Decides about one event, and lets others have their turn in between. */
type Match = (event: PendingEvent) => Generator<void, SettleItem>

/** Matches events in turns with everything else that goes on; those that are left when the time is over wait for the next call. */
async function matchAll(
  events: readonly PendingEvent[],
  match: Match,
  until: number,
  signal?: AbortSignal,
): Promise<SettleItem[]> {
  const items: SettleItem[] = []
  await inTurns(matching())
  return items

  function* matching(): Generator<void, void> {
    for (const event of events) {
      if (signal?.aborted || (items.length > 0 && performance.now() >= until)) return
      items.push(yield* match(event))
    }
  }
}

function matcher(
  matrix: CompiledMatrix,
  policies: PolicyRow[],
  batch: Pick<TriggeredBatch, 'problems'>,
): Match {
  const context = { policies: Object.fromEntries(policies.map(({ key, value }) => [key, value])) }
  batch.problems.push(
    ...matrix.quarantined.map(({ pattern_id, code, path, message }) => ({
      code,
      message: `pattern ${pattern_id} is out of service: ${path}: ${message}`,
    })),
  )
  return function* (event) {
    // No operator's pattern sees it.
    if (isCanaryEvent(event)) return matchEvent(canaryMatrix, event, { policies: {} })
    try {
      const decisions: Decision[] = []
      for (const decision of decisionsAbout(matrix, event, context)) {
        decisions.push(decision)
        yield
      }
      return { event_id: event.event_id, type: event.type, decisions }
    } catch (error) {
      return broken(event, error, batch)
    }
  }
}

/** For want of a reaction matrix. */
function nobody(batch: Pick<TriggeredBatch, 'problems'>): Match {
  const message = 'There is no policy "reaction_matrix": events are settled without any reaction.'
  let isTold = false
  return function* (event) {
    if (isCanaryEvent(event)) return matchEvent(canaryMatrix, event, { policies: {} })
    if (!isTold) batch.problems.push({ code: 'OPS_002', message })
    isTold = true
    yield
    return { event_id: event.event_id, type: event.type, decisions: [], error: message }
  }
}

/** Settles a batch right after the one before it, or answers nothing when that one has ended and this is still to be settled. */
async function settleAfter(
  engine: Engine,
  version: number,
  items: SettleItem[],
  before: BegunBatch,
): Promise<SettledEvent[] | undefined> {
  const { last } = await before.matched
  try {
    const settled = await engine.settleEvents(version, items, last)
    if (settled[0]?.outcome !== 'early') return settled
  } catch (error) {
    if (isRetryable(error)) throw error
  }
  await before.settled
  return undefined
}

/** Settles a batch; if the database refuses it, each event by itself, so that a bad one is the only one to suffer. */
export async function settle(
  engine: Engine,
  version: number,
  items: SettleItem[],
  batch: Pick<TriggeredBatch, 'problems'>,
): Promise<SettledEvent[]> {
  try {
    return await engine.settleEvents(version, items)
  } catch (error) {
    if (isRetryable(error)) throw error
    const [only, ...others] = items
    if (only === undefined) throw error
    if (others.length === 0) return engine.settleEvents(version, [broken(only, error, batch)])
    const settled: SettledEvent[] = []
    for (const item of items) settled.push(...(await settle(engine, version, [item], batch)))
    return settled
  }
}

function broken(
  { event_id, type }: Pick<SettleItem, 'event_id' | 'type'>,
  error: unknown,
  batch: Pick<TriggeredBatch, 'problems'>,
): SettleItem {
  const message = error instanceof Error ? error.message : String(error)
  batch.problems.push({
    code: error instanceof OpsError ? error.code : 'OPS_008',
    message: `event ${event_id} could not be matched: ${message}`,
  })
  return { event_id, type, decisions: [], error: message }
}

/** Patterns of the matrix in force that are out of service, with what is wrong with each. */
export async function quarantinedPatterns(engine: Engine): Promise<Record<string, string>> {
  const [matrix] = await engine.policies(['reaction_matrix'])
  const { quarantined } = matrix ? await matrixOf(engine, matrix) : { quarantined: [] }
  return Object.fromEntries(
    quarantined.map(({ pattern_id, path, message }) => [pattern_id, `${path}: ${message}`]),
  )
}

const lastRead = new WeakMap<Engine, PolicyRow[]>()

/** Asked for anew by every batch, but what has not changed since the last does not travel again. */
async function policiesInForce(engine: Engine): Promise<PolicyRow[]> {
  const policies = await engine.policies(undefined, lastRead.get(engine))
  lastRead.set(engine, policies)
  return policies
}

/** Compiled once for each version, by whichever beat comes first: versions never come back with other content. */
const compiled = new WeakMap<Engine, { version: number; matrix: Promise<CompiledMatrix> }>()

function matrixOf(engine: Engine, { value, version }: PolicyRow): Promise<CompiledMatrix> {
  const known = compiled.get(engine)
  if (known?.version === version) return known.matrix
  const matrix = inTurns(compiling(value, { version }))
  compiled.set(engine, { version, matrix })
  return matrix
}
