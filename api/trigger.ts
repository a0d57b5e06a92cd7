import { setImmediate } from 'node:timers/promises'
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
  /** Events that were pending, at most the batch size. */
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

/** Events that are read, matched and settled first: few, so that the database soon has something to settle. */
const FIRST_SLICE = 64

/** The next slice is matched while one is settled, which takes longer: it may be so many times as large. */
const SLICE_GROWTH = 4

/**
 * Matches the oldest pending events against the reaction matrix in force and settles them in their order, at most
 * `batchSize` (1 to 1000). Every event is settled, matched or not, also when there is no reaction matrix (`OPS_002` among
 * the problems).
 *
 * @throws OpsError when the database cannot be reached.
 */
export async function triggerReactions(engine: Engine, batchSize: number): Promise<TriggeredBatch> {
  const batch: TriggeredBatch = { found: 0, more: false, settled: 0, queued: 0, problems: [] }
  const first = await engine.pendingEvents(Math.min(batchSize, FIRST_SLICE))
  if (first.length === 0) return batch

  const others = othersThan(first, engine, batchSize)
  // They are awaited below; until then a failure waits too.
  others.catch(() => undefined)
  const policies = await policiesInForce(engine)
  const matrix = policies.find(({ key }) => key === 'reaction_matrix')
  const match = matrix ? matcher(await matrixOf(engine, matrix), policies, batch) : nobody(batch)
  const settleSlice = async (before: Promise<void>, slice: PendingEvent[], items: SettleItem[]) => {
    const settling = settle(engine, matrix?.version ?? 0, items, batch, before)
    settling.catch(() => undefined)
    await before
    // Nobody counts the engine's canary.
    const canaries = new Set(slice.filter(isCanaryEvent).map(({ event_id }) => event_id))
    for (const event of await settling) {
      if (canaries.has(event.event_id)) continue
      if (event.outcome === 'settled') batch.settled += 1
      batch.queued += event.queued
    }
  }
  const until = performance.now() + MATCHING_MS
  let settled = Promise.resolve()
  try {
    for await (const slice of slices(first, others)) {
      batch.found += slice.length
      const items = await matchSlice(slice, match, until)
      settled = settleSlice(settled, slice, items)
      settled.catch(() => undefined)
      if (items.length < slice.length) {
        batch.more = true
        break
      }
      // Lets the call leave, so that the database settles this slice while the next is matched.
      await setImmediate()
    }
  } finally {
    await settled
  }
  batch.more ||= batch.found >= batchSize
  return batch
}

/** The rest of a batch, read while the first events are matched. Some of those may be pending still. */
async function othersThan(
  first: readonly PendingEvent[],
  engine: Engine,
  batchSize: number,
): Promise<PendingEvent[]> {
  if (first.length < FIRST_SLICE || batchSize <= first.length) return []
  const known = new Set(first.map(({ event_id }) => event_id))
  const pending = await engine.pendingEvents(batchSize)
  return pending.filter(({ event_id }) => !known.has(event_id)).slice(0, batchSize - first.length)
}

async function* slices(
  first: PendingEvent[],
  others: Promise<PendingEvent[]>,
): AsyncGenerator<PendingEvent[], void> {
  yield first
  const rest = await others
  for (let from = 0, size = FIRST_SLICE; from < rest.length; from += size) {
    size *= SLICE_GROWTH
    yield rest.slice(from, from + size)
  }
}

/** Decides about one event, and lets others have their turn in between. */
type Match = (event: PendingEvent) => Generator<void, SettleItem>

/** Matches events in turns with everything else that goes on; those that are left when the time is over wait for the next call. */
async function matchSlice(slice: PendingEvent[], match: Match, until: number): Promise<SettleItem[]> {
  const items: SettleItem[] = []
  await inTurns(matching())
  return items

  function* matching(): Generator<void, void> {
    for (const event of slice) {
      if (items.length > 0 && performance.now() >= until) return
      items.push(yield* match(event))
    }
  }
}

function matcher(matrix: CompiledMatrix, policies: PolicyRow[], batch: TriggeredBatch): Match {
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
function nobody(batch: TriggeredBatch): Match {
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

/** Settles a batch when that before it is; if the database refuses it, each event by itself, so that a bad one is the only one to suffer. */
export async function settle(
  engine: Engine,
  version: number,
  items: SettleItem[],
  batch: Pick<TriggeredBatch, 'problems'>,
  before?: Promise<void>,
): Promise<SettledEvent[]> {
  try {
    return await engine.settleEvents(version, items, { after: before })
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
