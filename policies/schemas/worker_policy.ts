import { z } from 'zod'
import { executorName } from './fields.js'

export const workerPolicySchema = z
  .strictObject({
    max_retries: z
      .int()
      .min(0)
      .max(100)
      .default(3)
      .describe('Failures after which a step is a dead letter, where the step does not say.'),
    lease_minutes: z
      .int()
      .min(1)
      .max(1440)
      .default(5)
      .describe('Minutes until a claimed step may go to another worker unless its lease is renewed.'),
    stale_minutes: z
      .int()
      .min(1)
      .max(10_080)
      .default(15)
      .describe(
        'Minutes after which a running step counts as stuck though its lease is renewed, where the step has no timeout.',
      ),
    backoff_base_seconds: z
      .number()
      .min(0)
      .max(3600)
      .default(10)
      .describe('The longest wait before the first retry, in seconds; it doubles with each failure.'),
    backoff_max_seconds: z
      .number()
      .min(0)
      .max(86_400)
      .default(3600)
      .describe('The longest wait before any retry, in seconds.'),
    blocked_executors: z
      .array(executorName())
      .max(100)
      .default([])
      .describe('Executors whose steps are never claimed.'),
    allowed_openclaw_subcommands: z
      .array(z.string().min(1).max(100))
      .max(100)
      .default(['agent'])
      .describe('Subcommands that the openclaw executor may run.'),
    openclaw_timeout_ms: z
      .int()
      .min(1000)
      .max(86_400_000)
      .default(600_000)
      .describe('Milliseconds that one openclaw call may take.'),
    allowed_tools: z
      .array(z.string().min(1).max(200))
      .max(500)
      .optional()
      .describe('Tools that agents may be given. Absent: those that their role names.'),
    allowed_commands: z
      .array(
        z
          .string()
          .max(500)
          .regex(/^\/[^ ]+$/, 'must be an absolute path without spaces'),
      )
      .max(200)
      .default([])
      .describe('Programs that the minion executor may run, each by its absolute path.'),
  })
  .describe(
    'How workers treat steps. What a step says itself goes before; the environment and the defaults come after.',
  )
