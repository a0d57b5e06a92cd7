/**
 * The ledger: what executors did, as they saw it, in a file outside the database. A line is on disk before the executor goes on.
 *
 * Times are the machine's monotonic clock, in milliseconds: all processes share it, and no change of a clock touches it.
 */
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'

export interface LedgerLine {
  /** `stopped`: it ended without its side effect. */
  what: 'start' | 'effect' | 'stopped'
  step: string
  attempt: number
  pid: number
}

/** One run of an executor, as the ledger tells it. */
export interface Execution {
  step: string
  attempt: number
  pid: number
  start: number
  /** When the side effect happened. */
  effect?: number
  stopped?: number
}

let file: { path: string; descriptor: number } | undefined

export function writeLedger(path: string, line: LedgerLine): void {
  if (file?.path !== path) file = { path, descriptor: openSync(path, 'a') }
  // One write of a short line to a file opened for appending: lines of several processes never mix.
  writeSync(file.descriptor, `${JSON.stringify({ ...line, at: monotonic() })}\n`)
  fsyncSync(file.descriptor)
}

export function openLedger(path: string): void {
  closeSync(openSync(path, 'a'))
}

/** In the order in which they began. A second start of the same attempt is an execution of its own. */
export function readLedger(path: string): Execution[] {
  const executions: Execution[] = []
  const latest = new Map<string, Execution>()
  for (const text of readFileSync(path, 'utf8').split('\n')) {
    // A process that is killed while it writes leaves half a line, and nothing after it.
    if (!text.endsWith('}')) continue
    const { what, step, attempt, pid, at }: LedgerLine & { at: number } = JSON.parse(text)
    const key = `${step} ${attempt} ${pid}`
    if (what === 'start') {
      const execution = { step, attempt, pid, start: at }
      executions.push(execution)
      latest.set(key, execution)
    } else {
      const execution = latest.get(key)
      if (execution === undefined)
        throw new Error(`the ledger has the ${what} of an execution that never began: ${text}`)
      execution[what] = at
    }
  }
  return executions
}

export function monotonic(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}
