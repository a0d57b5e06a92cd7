import { setTimeout as sleep } from 'node:timers/promises'

/** Waits for a condition. Failures of the question itself, such as a database that is away, are asked again. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | false | undefined> | T | false | undefined,
  { withinMs = 60_000 }: { withinMs?: number } = {},
): Promise<T> {
  const deadline = performance.now() + withinMs
  let trouble: unknown
  while (performance.now() < deadline) {
    try {
      const answer = await condition()
      if (answer !== false && answer !== undefined) return answer
      trouble = undefined
    } catch (error) {
      trouble = error
    }
    await sleep(20)
  }
  throw new Error(`waited ${withinMs / 1000} s in vain: ${what}`, { cause: trouble })
}
