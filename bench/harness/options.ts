import { setMaxListeners } from 'node:events'
import { InvalidArgumentError } from 'commander'
import type postgres from 'postgres'

/** Reads an option that is a whole number of a range. */
export function wholeNumber(from: number, to: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (!/^\d{1,12}$/.test(text) || number < from || number > to) {
      throw new InvalidArgumentError(`It must be a whole number from ${from} to ${to}.`)
    }
    return number
  }
}

/** Runs a bench whose signal Ctrl-C aborts: what it has started it then stops, and the process ends with 130. */
export async function interruptible(bench: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupted = new AbortController()
  setMaxListeners(0, interrupted.signal)
  // Each time: a signal may come twice, from the terminal and from what started this.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort())
  try {
    await bench(interrupted.signal)
  } catch (error) {
    if (!interrupted.signal.aborted) throw error
    process.exitCode = 130
  }
}

/** A statement that is cancelled when the bench is interrupted. */
export async function cancellable<T extends readonly (object | undefined)[]>(
  query: postgres.PendingQuery<T>,
  signal: AbortSignal,
): Promise<postgres.RowList<T>> {
  signal.throwIfAborted()
  const cancel = () => query.cancel()
  signal.addEventListener('abort', cancel, { once: true })
  try {
    return await query
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

/** Tells of work as it goes on, at each tenth of the whole. */
export function tenths(whole: number, say: (line: string) => void): (done: number) => void {
  const began = performance.now()
  let told = 0
  return (done) => {
    if (done - told < whole / 10) return
    told = done
    say(`  ${done.toLocaleString('en')} after ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
}
