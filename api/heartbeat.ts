import type { Logger } from 'pino'
import type { Engine } from '../engine/index.js'
import { OpsError } from '../engine/index.js'
import { triggerReactions } from './trigger.js'

export interface BeatOptions {
  /** Events that one settling call takes, 1 to 1000. */
  eventBatchSize: number
  /** Reactions that one call takes through the gate, 1 to 1000. */
  reactionBatchSize: number
  /** When to leave the rest to the next beat, in milliseconds since 1970. */
  deadline: number
  log: Logger
  /** Milliseconds since 1970; for tests. */
  now?: () => number
}

export type BeatPhase = 'trigger' | 'reactions' | 'leases' | 'stale' | 'proposals' | 'record'

export interface BeatProblem {
  phase: BeatPhase
  code: string
  message: string
}

/** What one beat did. Counts hold also for a phase that failed half-way. */
export type BeatReport = {
  /** False when a phase failed. */
  ok: boolean
  /** Events that were settled, and the reactions queued for them. */
  triggerResult: { events: number; queued: number }
  /** Reactions that went through the gate, and the proposals made. */
  reactionResult: { processed: number; created: number }
  leaseResult: { requeued_steps: number; failed_steps: number }
  staleResult: { recovered: number }
  /** Pending proposals whose time was over. */
  proposalResult: { expired: number }
  /** False when the deadline left work for the next beat. */
  drained: boolean
  durations_ms: Partial<Record<BeatPhase | 'total', number>>
  /** Phases that failed; each stopped only itself. */
  errors: BeatProblem[]
  /** What an operator should look at, though the beat went well: broken patterns, events that could not be matched. */
  warnings: BeatProblem[]
}

/** Size of one recovering or expiring call: the default of the SQL functions. */
const RECOVERY_BATCH = 500

/** By which part of the time each phase gives way to the next, so that a flood of events starves nothing. */
const SHARE = { trigger: 0.5, reactions: 0.8, leases: 0.9, stale: 0.95, proposals: 1, record: 1 }

/** A report is a row: it names this many problems of a kind at most. */
const MOST_PROBLEMS = 20

/**
 * One beat of the loop: events become reactions, reactions become proposals, what hangs is recovered. Beats may overlap,
 * repeat and break off anywhere; the database makes the result the same. Never throws.
 *
 * @example
 * const report = await beat(engine, { eventBatchSize: 50, reactionBatchSize: 50, deadline: Date.now() + 45_000, log })
 */
export async function beat(engine: Engine, options: BeatOptions): Promise<BeatReport> {
  const { eventBatchSize, reactionBatchSize, deadline, log, now = Date.now } = options
  const startedAt = now()
  const report: BeatReport = {
    ok: true,
    triggerResult: { events: 0, queued: 0 },
    reactionResult: { processed: 0, created: 0 },
    leaseResult: { requeued_steps: 0, failed_steps: 0 },
    staleResult: { recovered: 0 },
    proposalResult: { expired: 0 },
    drained: true,
    durations_ms: {},
    errors: [],
    warnings: [],
  }

  /** Repeats a call until it finds less than a full batch. A failure is reported and ends this phase alone. */
  async function phase(name: BeatPhase, batchSize: number, call: () => Promise<number>): Promise<void> {
    const begin = now()
    // Nobody waits for a database that has already used up the beat's time without answering.
    if (begin >= deadline && report.errors.length > 0) return
    const until = startedAt + (deadline - startedAt) * SHARE[name]
    try {
      while ((await call()) >= batchSize) {
        if (now() < until) continue
        report.drained = false
        break
      }
    } catch (error) {
      log.error({ err: error, phase: name }, 'heartbeat phase failed')
      report.errors.push(problemOf(name, error))
    }
    report.durations_ms[name] = now() - begin
  }

  await phase('trigger', eventBatchSize, async () => {
    const batch = await triggerReactions(engine, eventBatchSize)
    report.triggerResult.events += batch.settled
    report.triggerResult.queued += batch.queued
    for (const problem of batch.problems) {
      const list = problem.code === 'OPS_002' ? report.errors : report.warnings
      list.push({ phase: 'trigger', ...problem })
    }
    return batch.found
  })
  await phase('reactions', reactionBatchSize, async () => {
    const outcomes = await engine.runReactions(reactionBatchSize)
    report.reactionResult.processed += outcomes.length
    report.reactionResult.created += outcomes.filter(
      (o) => o.proposal_id !== null && o.code !== 'duplicate',
    ).length
    return outcomes.length
  })
  await phase('leases', RECOVERY_BATCH, async () => {
    const { requeued_steps, failed_steps } = await engine.recoverExpiredLeases(RECOVERY_BATCH)
    report.leaseResult.requeued_steps += requeued_steps
    report.leaseResult.failed_steps += failed_steps
    return requeued_steps + failed_steps
  })
  await phase('stale', RECOVERY_BATCH, async () => {
    const { recovered_steps } = await engine.recoverStaleSteps()
    report.staleResult.recovered += recovered_steps
    return recovered_steps
  })
  await phase('proposals', RECOVERY_BATCH, async () => {
    const expired = await engine.expireProposals(RECOVERY_BATCH)
    report.proposalResult.expired += expired
    return expired
  })

  report.errors = distinct(report.errors)
  report.warnings = distinct(report.warnings)
  report.ok = report.errors.length === 0
  report.durations_ms.total = now() - startedAt
  await phase('record', Number.POSITIVE_INFINITY, async () => {
    await engine.recordHeartbeat(report.ok, report)
    return 0
  })
  report.ok = report.errors.length === 0
  return report
}

function problemOf(phase: BeatPhase, error: unknown): BeatProblem {
  return error instanceof OpsError
    ? { phase, code: error.code, message: error.message }
    : { phase, code: 'OPS_000', message: error instanceof Error ? error.message : String(error) }
}

/** A broken pattern is met again with every batch, and reported once. */
function distinct(problems: BeatProblem[]): BeatProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()].slice(
    0,
    MOST_PROBLEMS,
  )
}
