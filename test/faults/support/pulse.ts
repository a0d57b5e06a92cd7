/** What a scheduler does in production: it calls the heartbeat again and again, whatever comes back. */
import { setTimeout as sleep } from 'node:timers/promises'
import { onFileEnd } from '../../support/fileEnd.js'

export interface Pulse {
  /** Beats that were answered with 200. */
  readonly beats: number
  /** Statuses of all answers; 0 where there was none. */
  readonly statuses: ReadonlyMap<number, number>
  stop(): Promise<void>
}

export function startPulse(url: () => string, apiKey: string, everyMs = 200): Pulse {
  const stopping = new AbortController()
  const statuses = new Map<number, number>()

  async function beat(): Promise<number> {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(30_000)])
    const headers = { Authorization: `Bearer ${apiKey}` }
    const response = await fetch(`${url()}/api/ops/heartbeat`, { method: 'POST', headers, signal })
    await response.arrayBuffer()
    return response.status
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const status = await beat().catch(() => 0)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      await sleep(everyMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }

  const running = run()
  const stop = async () => {
    stopping.abort()
    await running
  }
  onFileEnd(stop)
  return {
    get beats() {
      return statuses.get(200) ?? 0
    },
    statuses,
    stop,
  }
}
