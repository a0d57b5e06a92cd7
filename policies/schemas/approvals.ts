import { z } from 'zod'

export const approvalsSchema = z
  .strictObject({
    expires_minutes: z
      .int()
      .min(1)
      .max(525_600)
      .default(1440)
      .describe('Minutes after which a proposal that nobody decided on expires.'),
  })
  .describe('How long a person has to decide.')
