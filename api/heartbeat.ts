import type { Logger } from 'pino'
import type { Engine } from '../engine/index.js'
import { OpsError } from '../engine/index.js'
import type { ApiConfig } from './config.js'
import {
  type Beat,
  type Counts,
  type Finding,
  type Phase,
  phases,
  type ResultField,
  type RunningPhase,
} from './phases/index.js'

export interface BeatOptions {
  engine: Engine
  config: ApiConfig
  log: Logger
  /** Milliseconds since 1970; for tests. */
  now?: (() => number) | undefined
}

export interface BeatProblem extends Finding {
  phase: string
}

/** What one beat did. Counts hold also for a phase that failed half-way. */
export type BeatReport = {
  /** False when a phase failed. */
  ok: boolean
  /** What each phase did, for example `triggerResult: { events: 2, queued: 1 }`. */
  [result: ResultField]: Counts
  /** False when the deadline left work for the next beat. */
  drained: boolean
  /** By phase, and `total`. Phases that go on beside each other count the time of both. */
  durations_ms: Record<string, number>
  /** Phases that failed; each stopped only itself. */
  errors: BeatProblem[]
  /** What an operator should look at, though the beat went well: broken patterns, events that could not be matched. */
  warnings: BeatProblem[]
}

/** A report is a row: it names this many problems of a kind at most. */
const MOST_PROBLEMS = 20

/** The last thing of each beat, which is no phase of the loop: its report is kept. */
const RECORD = 'record'

/**
 * One beat of the loop: events become reactions, reactions become proposals, what hangs is recovered. Beats may overlap,
 * repeat and break off anywhere; the database makes the result the same. Never throws.
 *
 * It works for at most `config.beatBudgetMs`, and what is under way then. Each phase has its part of that time, and
 * what the phases before it left of theirs.
 *
 * @example
 * const report = await beat({ engine, config: apiConfigFromEnv(process.env), log })
 */
export async function beat({ engine, config, log, now = Date.now }: BeatOptions): Promise<BeatReport> {
  const startedAt = now()
  const report: BeatReport = { ok: true, drained: true, durations_ms: {}, errors: [], warnings: [] }

  /** Nobody waits for a database that has used up the beat's time without answering. */
  function stuck(): boolean {
    return now() - startedAt >= config.beatBudgetMs && report.errors.some(({ code }) => code === 'OPS_001')
  }

  async function guarded(name: string, work: () => Promise<void>): Promise<void> {
    const begin = now()
    try {
      await work()
    } catch (error) {
      log.error({ err: error, phase: name }, 'heartbeat phase failed')
      report.errors.push({ phase: name, ...findingOf(error) })
    }
    report.durations_ms[name] = (report.durations_ms[name] ?? 0) + now() - begin
  }

  const entered = new Map<Phase, { running: RunningPhase; context: Beat }>()

  function enter(phase: Phase): { running: RunningPhase; context: Beat } {
    const known = entered.get(phase)
    if (known) return known
    const { name, result } = phase
    const running = phase.start()
    report[result] = running.counts
    const context: Beat = {
      engine,
      config,
      log,
      now,
      until: startedAt + config.beatBudgetMs,
      fail: (finding) => report.errors.push({ phase: name, ...finding }),
      warn: (finding) => report.warnings.push({ phase: name, ...finding }),
    }
    entered.set(phase, { running, context })
    return { running, context }
  }

  /** Works batches of a phase one at a time, whenever it is told that there may be something, until one fails. */
  function worksBeside(phase: Phase | undefined): { tell(): void; ended(): Promise<void> } {
    let atWork: Promise<void> | undefined
    let isMore = false
    let isOver = false
    const isBroken = () => report.errors.some((problem) => problem.phase === phase?.name)
    return {
      tell() {
        isMore = true
        if (!phase || atWork || isBroken()) return
        const { running, context } = enter(phase)
        const work = async () => {
          while (isMore && !isOver) {
            isMore = false
            if (await running.batch(context)) isMore = true
          }
        }
        atWork = guarded(phase.name, work).finally(() => {
          atWork = undefined
        })
      },
      async ended() {
        isOver = true
        await atWork
      },
    }
  }

  /** Repeats batches until there is nothing left to do, or it is time for the next phase. */
  async function drain(phase: Phase, until: number): Promise<void> {
    const { running, context } = enter(phase)
    if (stuck()) return
    const next = worksBeside(phases.find(({ beside }) => beside === phase.name))
    await guarded(phase.name, async () => {
      while (await running.batch(context)) {
        if (now() >= until) {
          report.drained = false
          break
        }
        next.tell()
      }
    })
    await guarded(phase.name, async () => running.end?.(context))
    await next.ended()
  }

  const allWeights = sum(phases.map(({ weight }) => weight))
  let weights = 0
  for (const phase of phases) {
    weights += phase.weight
    await drain(phase, startedAt + (config.beatBudgetMs * weights) / allWeights)
  }
  report.errors = distinct(report.errors)
  report.warnings = distinct(report.warnings)
  report.ok = report.errors.length === 0
  report.durations_ms.total = now() - startedAt
  if (!stuck()) {
    await guarded(RECORD, async () => {
      await engine.recordHeartbeat(report.ok, report)
    })
  }
  report.ok = report.errors.length === 0
  return report
}

function findingOf(error: unknown): Finding {
  return error instanceof OpsError
    ? { code: error.code, message: error.message }
    : { code: 'OPS_000', message: error instanceof Error ? error.message : String(error) }
}

/** A broken pattern is met again with every batch, and reported once. */
function distinct(problems: BeatProblem[]): BeatProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()].slice(
    0,
    MOST_PROBLEMS,
  )
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, n) => total + n, 0)
}
