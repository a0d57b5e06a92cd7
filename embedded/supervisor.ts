import { messageOf } from './errors.js'
import type { ProcessEnd } from './processes.js'
import { wait } from './wait.js'

/** Something that can be stopped. */
export interface Stoppable {
  stop(): Promise<void>
  /** Makes a stop quick. */
  hurry?(): Promise<void>
}

/** Something that runs until it is stopped, or ends by itself. */
export interface Service extends Stoppable {
  readonly ended: Promise<ProcessEnd>
}

export interface Supervision {
  /** For people. */
  name: string
  /** Aborted when the service is no longer wanted. */
  again: (signal: AbortSignal) => Promise<Service>
  log: (line: string) => void
}

/** Waits before a service is started again; the last one repeats. */
const BACKOFF_MS = [500, 1000, 2000, 5000, 10_000]
/** A service that ran this long has recovered: its next fall begins with the shortest wait. */
const RECOVERED_MS = 30_000

/** Watches over a running service: whenever it ends unasked, it is started again. */
export function supervise(first: Service, { name, again, log }: Supervision): Stoppable {
  const stopping = new AbortController()
  let service: Service | undefined = first
  const watching = watch()

  async function watch(): Promise<void> {
    let falls = 0
    while (service && !stopping.signal.aborted) {
      const startedAt = Date.now()
      const end = await service.ended
      if (stopping.signal.aborted) return
      if (Date.now() - startedAt > RECOVERED_MS) falls = 0
      log(`The ${name} has ended (${describeEnd(end)}): starting it again`)
      // What it still holds, such as a socket, is given back.
      await service.stop()
      service = await restart(falls)
      falls += 1
    }
  }

  async function restart(falls: number): Promise<Service | undefined> {
    for (let attempt = falls; ; attempt += 1) {
      await wait(BACKOFF_MS[Math.min(attempt, BACKOFF_MS.length - 1)] ?? 0, stopping.signal)
      if (stopping.signal.aborted) return undefined
      try {
        const restarted = await again(stopping.signal)
        log(`The ${name} runs again`)
        return restarted
      } catch (error) {
        if (!stopping.signal.aborted) log(`The ${name} does not start: ${messageOf(error)}`)
      }
    }
  }

  return {
    async stop() {
      stopping.abort()
      await service?.stop()
      // A start that was under way has ended by now, and is taken back.
      await watching
      await service?.stop()
    },
    async hurry() {
      await service?.hurry?.()
    },
  }
}

function describeEnd({ code, signal, error }: ProcessEnd): string {
  return error?.message ?? signal ?? `exit code ${code}`
}
