import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender } from './types.js'

/** In which the database ends what it was asked last, in milliseconds. */
const REST_MS = 100

/**
 * Lets contenders do their work in turns of `sliceMs`, each standing still while another goes on, and answers for how many milliseconds each
 * went on. A machine that gets slower meanwhile does so for all of them.
 */
export async function inSlices(
  contenders: readonly Contender[],
  work: (contender: Contender) => Promise<unknown>,
  sliceMs = 2000,
): Promise<number[]> {
  const turns = contenders.map((contender) => {
    contender.pause()
    const end = work(contender).then(() => true)
    // A failure waits for its turn.
    end.catch(() => undefined)
    return { contender, end, ms: 0, isDone: false }
  })
  while (turns.some(({ isDone }) => !isDone)) {
    for (const turn of turns.filter(({ isDone }) => !isDone)) {
      const from = performance.now()
      turn.contender.resume()
      turn.isDone = await Promise.race([turn.end, sleep(sliceMs, false)])
      turn.contender.pause()
      turn.ms += performance.now() - from
      await sleep(REST_MS)
    }
  }
  return turns.map(({ ms }) => ms)
}
