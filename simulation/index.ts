/** Trying policies on what has happened: the same SQL engine, in memory, under a clock that is set. */
import { type Comparison, compareOutcomes } from './compare.js'
import { openSimulatedDatabase } from './database.js'
import { outcomeSchema, recordedOutcome } from './outcome.js'
import type { Recording } from './recording.js'
import { type Candidate, replay } from './replay.js'
import { textOf } from './time.js'

export type { Comparison, Difference, Totals } from './compare.js'
export { readLines } from './lines.js'
export { linesOf, type Recording, recordingFrom, recordingOf } from './recording.js'
export type { Candidate } from './replay.js'
export { DAY, MINUTE, type Micros, microsOf, textOf } from './time.js'

/**
 * Plays a recording again under other policies and tells what would have been different. Touches no database but one of its
 * own, in memory. The candidates are taken as valid: check them first.
 *
 * @param onProgress told again and again which part of the recording is played, from 0 to 1
 */
export async function simulate(
  recording: Recording,
  candidate: Candidate,
  onProgress?: (part: number) => void,
): Promise<Comparison> {
  const db = await openSimulatedDatabase()
  try {
    await replay(db, recording, candidate, onProgress)
    const [answer] = await db.sim(
      'outcome',
      ['timestamptz', textOf(recording.from)],
      ['timestamptz', textOf(recording.to)],
    )
    return compareOutcomes(recordedOutcome(recording), outcomeSchema.parse(answer))
  } finally {
    await db.close()
  }
}
