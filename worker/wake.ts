/** A place to sleep until there is something to do. */
export class Wake {
  #rung = false
  #wakeUp: (() => void) | undefined

  /** Wakes the sleeper; if nobody sleeps, the next one does not fall asleep. */
  ring(): void {
    this.#rung = true
    this.#wakeUp?.()
  }

  /** Waits for a ring, at most `ms` milliseconds. One sleeper at a time. */
  async wait(ms: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(ms, LONGEST_TIMER))
        this.#wakeUp = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#wakeUp = undefined
    this.#rung = false
  }
}

/** Timers of Node go off at once when they are set for longer than this: about 24 days. */
export const LONGEST_TIMER = 2 ** 31 - 1

/** Lets everything finish that is about to finish in this turn of the event loop. */
export function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Waits, unless the signal is aborted or becomes so. Never rejects. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
}
