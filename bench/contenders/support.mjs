import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until all has been handled, then until the database says that all is recorded. */
export async function untilDone(isHandled, isRecorded) {
  while (!isHandled()) await sleep(1)
  while (!(await isRecorded())) await sleep(1)
}

/** Samples taken one at a time, with irregular pauses in which the worker falls asleep. */
export async function paced(samples, pauseMs, sample) {
  const waits = []
  for (let i = 0; i < samples; i++) {
    await sleep(pauseMs * (0.5 + Math.random()))
    waits.push(await sample())
  }
  return waits
}
