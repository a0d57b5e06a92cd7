import { z } from 'zod'

const days = () => z.int().min(1).max(36_500)

export const retentionSchema = z
  .strictObject({
    archive_after_days: days()
      .default(90)
      .describe('Days after which finished missions, with all that led to them, move to the archive.'),
    delete_archived_after_days: days()
      .optional()
      .describe('Days after which the archive forgets. Absent: never.'),
    heartbeat_days: days().default(7).describe('Days for which heartbeat events are kept.'),
    batch_size: z.int().min(1).max(100_000).default(1000).describe('Missions archived at a time.'),
  })
  .describe('How long finished work stays in the tables that everything reads.')
