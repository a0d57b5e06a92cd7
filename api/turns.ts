import { setImmediate } from 'node:timers/promises'

/** Milliseconds that work keeps the event loop for itself. */
const TURN_MS = 20

/**
 * Works through steps, and lets requests, timers and other beats have their turn after every few of them: long work then
 * blocks nothing, so long as each step is short.
 */
export async function inTurns<Result>(steps: Iterator<unknown, Result, void>): Promise<Result> {
  let since = performance.now()
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
    if (performance.now() - since < TURN_MS) continue
    await setImmediate()
    since = performance.now()
  }
}
