import { harmless, harmlessJson, oneLine } from '../engine/harmless.js'
import type { TimelineEntry } from '../engine/index.js'
import type { Colors } from './colors.js'
import { narrate } from './narrate.js'
import { describeSummary, type Summary } from './summary.js'

/** Says what `npm start` has to say. */
export interface Teller {
  /** About the stack itself. */
  log(line: string): void
  /** Something that happened in the loop. */
  entry(entry: TimelineEntry): void
  summary(summary: Summary): void
}

/** For people. */
export function textTeller(print: (line: string) => void, colors: Colors): Teller {
  return {
    log: (line) => print(colors.dim(line)),
    entry: (entry) => print(harmless(oneLine(narrate(entry, colors)))),
    summary: (summary) => print(harmless(describeSummary(summary, colors))),
  }
}

/** For programs: a JSON object a line, with one of the fields `log`, `entry` and `summary`. */
export function jsonTeller(print: (line: string) => void): Teller {
  return {
    log: (log) => print(JSON.stringify({ log })),
    entry: (entry) => print(harmlessJson(JSON.stringify({ entry }))),
    summary: (summary) => print(JSON.stringify({ summary })),
  }
}
