import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { defineExecutor, done, fail, retry } from '../define.js'

/** Any params are fine and come back; these let you try out what a slow, flaky or broken executor does to a mission. */
const params = z.looseObject({
  sleep_ms: z.number().int().min(0).max(600_000).optional().describe('How long to take, in milliseconds.'),
  fail: z.string().min(1).optional().describe('Fails for good with this message.'),
  flaky_attempts: z
    .number()
    .int()
    .min(0)
    .max(100)
    .optional()
    .describe('Fails this many attempts before it succeeds.'),
})

/** Does nothing, and says what it was given. */
export default defineExecutor({
  kind: 'noop',
  params,
  async run({ params, signal, attempt }) {
    if (params.sleep_ms) await sleep(params.sleep_ms, undefined, { signal })
    if (params.fail) return fail(params.fail)
    if (attempt <= (params.flaky_attempts ?? 0)) return retry({ error: `flaky: attempt ${attempt} fails` })
    return done({ echo: params })
  },
})
