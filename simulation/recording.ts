import { randomUUID } from 'node:crypto'
import type { Engine, PolicyRow } from '../engine/index.js'
import { type EventLine, type Line, readLine } from './lines.js'
import { DAY, MINUTE, type Micros, microsOf, textOf } from './time.js'

/** What happened in a stretch of time, ready to be played again. */
export interface Recording {
  /** The policies in force when it begins. */
  policies: Pick<PolicyRow, 'key' | 'value' | 'version'>[]
  lines: Line[]
  /** What is before this is there to bring cooldowns, caps and open work to where they were; it is not counted. */
  from: Micros
  to: Micros
}

/** The longest stretch that one call asks for. */
const SLICE = 60 * MINUTE

/**
 * Reads from a database what happened from `start` on. Changes nothing there.
 *
 * @param from where the comparison begins, at or after `start`
 */
export async function recordingOf(
  engine: Engine,
  { start, from, to }: { start: Micros; from: Micros; to: Micros },
): Promise<Recording> {
  const policies = await engine.policiesAt(textOf(start))
  const lines: Line[] = []
  let slice = SLICE
  for (let at = start; at < to; ) {
    const until = Math.min(at + slice, to)
    // A moment can hold more than a portion; it cannot be cut.
    const most = until - at > 1 ? undefined : 1_000_000
    const found = await engine.recording(textOf(at), textOf(until), most)
    if (found === null) {
      slice = Math.max(1, Math.floor((until - at) / 2))
      continue
    }
    lines.push(...found.map((line) => readLine(line, `the recording of ${textOf(at)}`)))
    at = until
    slice = Math.min(SLICE, slice * 2)
  }
  return { policies, lines, from, to }
}

/** A recording out of lines from a file. Events without a time come a second after one another. */
export function recordingFrom(
  lines: readonly Line[],
  policies: Recording['policies'],
  now: Micros,
): Recording {
  let last = now
  const whole = lines.map((line): Line => {
    if (line.kind !== 'event') return line
    last = line.created_at === undefined ? last + 1_000_000 : microsOf(line.created_at)
    return { ...line, id: line.id ?? randomUUID(), created_at: textOf(last) }
  })
  const times = whole.map(timeOf)
  const from = times.reduce((least, time) => Math.min(least, time), times[0] ?? now)
  // A day more, for what comes of the last of them.
  const to = times.reduce((most, time) => Math.max(most, time), from) + DAY
  return { policies, lines: whole, from, to }
}

export function timeOf(line: Line): Micros {
  return microsOf(line.kind === 'policy' || line.kind === 'beat' ? line.at : (line.created_at ?? ''))
}

/** Whether nothing of the loop itself caused an event. */
export function isFromOutside({ proposal_id, mission_id, run_id }: EventLine): boolean {
  return !proposal_id && !mission_id && !run_id
}

/** A recording as NDJSON. The policies that it begins with stand before all else. */
export function linesOf({ policies, lines, from }: Recording): string {
  const begin = policies.map(({ key, value, version }) => ({
    kind: 'policy',
    key,
    value,
    version,
    at: textOf(Math.min(from, ...lines.slice(0, 1).map(timeOf)) - 1),
  }))
  return [...begin, ...lines].map((line) => `${JSON.stringify(line)}\n`).join('')
}
