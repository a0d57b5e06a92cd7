import { afterAll } from 'vitest'

const cleanups: Array<() => Promise<void>> = []

afterAll(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Runs after the last test of the file; the latest comes first. */
export function onFileEnd(cleanup: () => Promise<void>): void {
  cleanups.push(cleanup)
}
