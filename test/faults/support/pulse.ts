/** What a scheduler does in production: it calls the heartbeat again and again, whatever comes back. */
import { setTimeout as sleep } from 'node:timers/promises'
import { onFileEnd } from '../../support/fileEnd.js'

export interface Pulse {
  /** How many beats ended with which HTTP status; 0 where there was no answer. */
  readonly statuses: ReadonlyMap<number, number>
  /** Resolves when the beat under way has ended. */
  stop(): Promise<void>
}

/** @param beat one beat; answers its HTTP status */
export function startPulse(beat: () => Promise<number>, everyMs = 200): Pulse {
  const stopping = new AbortController()
  const statuses = new Map<number, number>()

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
  return { statuses, stop }
}

/** A beat over HTTP, as cron sends it. */
export async function postHeartbeat(url: string, apiKey: string): Promise<number> {
  const response = await fetch(`${url}/api/ops/heartbeat`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${apiKey}` },
    signal: AbortSignal.timeout(30_000),
  })
  await response.arrayBuffer()
  return response.status
}
