import { afterAll } from 'vitest'

const cleanups: Array<() => Promise<void>> = []

afterAll(async () => {
  const failures: unknown[] = []
  for (const cleanup of cleanups.splice(0).reverse()) {
    await cleanup().catch((error: unknown) => failures.push(error))
  }
  if (failures.length > 0) throw failures[0]
})

/** Runs after the last test of the file; the latest comes first. */
export function onFileEnd(cleanup: () => Promise<void>): void {
  cleanups.push(cleanup)
}
