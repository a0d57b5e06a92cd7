import { setTimeout as sleep } from 'node:timers/promises'

/** Waits, unless the signal is aborted or becomes so. Never rejects. */
export async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
