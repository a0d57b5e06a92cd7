import type { ProcessEnd } from './processes.js'

/** Something that runs until it is stopped, or ends by itself. */
export interface Service {
  readonly ended: Promise<ProcessEnd>
  stop(): Promise<void>
  /** Ends it without patience. */
  hurry?(): Promise<void>
}

export interface SuperviseOptions {
  /** For people. */
  name: string
  start: () => Promise<Service>
  log: (line: string) => void
}

/** Waits between attempts to start again; the last one repeats. */
const BACKOFF_MS = [500, 1000, 2000, 5000, 10_000]
/** A service that ran this long has recovered: its next fall begins with the shortest wait. */
const RECOVERED_MS = 30_000

/**
 * Starts a service, and starts it again whenever it ends unasked.
 *
 * @throws whatever the first start throws
 */
export async function supervise({ name, start, log }: SuperviseOptions): Promise<Omit<Service, 'ended'>> {
  const stopping = new AbortController()
  let service: Service | undefined = await start()
  const watching = watch()

  async function watch(): Promise<void> {
    let falls = 0
    while (service) {
      const startedAt = Date.now()
      const end = await service.ended
      if (stopping.signal.aborted) return
      if (Date.now() - startedAt > RECOVERED_MS) falls = 0
      log(`The ${name} has ended (${describeEnd(end)}): starting it again`)
      // What the service still holds, such as a lock or a socket, is given back.
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
        const again = await start()
        log(`The ${name} runs again`)
        return again
      } catch (error) {
        log(`The ${name} does not start: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }

  return {
    async stop() {
      stopping.abort()
      // A start that is under way ends first, so that nothing is left behind.
      await service?.stop()
      await watching
      await service?.stop()
    },
    async hurry() {
      stopping.abort()
      await service?.hurry?.()
    },
  }
}

function describeEnd({ code, signal, error }: ProcessEnd): string {
  return error?.message ?? signal ?? `exit code ${code}`
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const timer = setTimeout(done, ms)
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done)
  })
}
