import type { Logger } from 'pino'
import type { Engine } from '../../engine/index.js'
import type { ApiConfig } from '../config.js'

/** What a phase has to work with. */
export interface Beat {
  engine: Engine
  config: ApiConfig
  log: Logger
  /** Milliseconds since 1970. */
  now: () => number
  /** When the beat's time is over, in milliseconds since 1970: what is under way then may end, so it is not to last long. */
  until: number
  /** Reports what broke and makes the beat a failure, though the phase goes on. */
  fail(problem: Finding): void
  /** Reports what an operator should look at, though the beat goes well. */
  warn(problem: Finding): void
}

export interface Finding {
  code: string
  message: string
}

/** What a phase did, in numbers. */
export type Counts = Record<string, number>

/** The report's field for a phase's counts. */
export type ResultField = `${string}Result`

/** A part of each beat. It may be broken off anywhere, and run twice at the same time. */
export interface Phase {
  name: string
  result: ResultField
  /** The names of its counts, each with zero. */
  counts: Readonly<Counts>
  /** Its share of the beat's time, relative to the other phases': a flood in one of them starves none. */
  weight: number
  /** The phase before it, by name, for whose end it need not wait: its batches may be worked while that goes on. */
  beside?: string
  start(): RunningPhase
}

export interface RunningPhase {
  /** What it did so far; true also when a batch failed half-way. */
  counts: Readonly<Counts>
  /** Works one bounded batch, and answers whether there may be more to do. */
  batch(beat: Beat): Promise<boolean>
  /** No batch follows: what was begun for one is brought to its end, soon. */
  end?(beat: Beat): Promise<void>
}

interface PhaseDefinition<C extends Counts> extends Omit<Phase, 'start'> {
  counts: C
  /** Works one bounded batch, adds to the counts what it did, and answers whether there may be more to do. */
  batch(beat: Beat, counts: C): Promise<boolean>
}

/**
 * Declares a phase. A batch may add to the counts that are named here, and to no others.
 *
 * @example
 * definePhase({ name: 'proposals', result: 'proposalResult', counts: { expired: 0 }, weight: 5,
 *   async batch({ engine }, counts) { … counts.expired += n; return n >= BATCH } })
 */
export function definePhase<C extends Counts>({ batch, ...phase }: PhaseDefinition<C>): Phase {
  return {
    ...phase,
    start() {
      const counts = { ...phase.counts }
      return { counts, batch: (beat) => batch(beat, counts) }
    },
  }
}
