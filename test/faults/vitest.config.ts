/** `npm run test:faults`: every case at full size, and those that take long or need programs of the system. */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/faults/**/*.test.ts', 'test/faults/**/*.long.ts'],
    globalSetup: 'test/support/setup.ts',
    env: { OPS_FAULTS: 'long' },
    pool: 'forks',
    // One at a time: what is measured here is not to be disturbed by what is broken there.
    maxWorkers: 1,
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
})
