import { z } from 'zod'
import { executorName } from './fields.js'

const pause = z.strictObject({
  intake: z.boolean().default(false).describe('Refuse new events with OPS_015.'),
  reactions: z
    .boolean()
    .default(false)
    .describe('Leave events unprocessed and make no proposals from reactions.'),
  approvals: z
    .boolean()
    .default(false)
    .describe('Admit no mission, neither by rule nor by hand; proposals wait.'),
  claims: z.boolean().default(false).describe('Hand no steps to workers.'),
  executors: z
    .array(executorName())
    .max(100)
    .default([])
    .describe('Hand no steps of these executors to workers; the others go on.'),
})

export const controlSchema = z
  .strictObject({
    pause: pause
      .prefault({})
      .describe('Parts of the loop that stand still, each by itself. Work already leased finishes.'),
    max_depth: z
      .int()
      .min(0)
      .max(100)
      .default(8)
      .describe('How many missions may follow from each other, counted from the event that began the chain.'),
    max_missions_per_root_event: z
      .int()
      .min(1)
      .max(100_000)
      .default(50)
      .describe('How many missions one event may set off in all, directly and by way of others.'),
  })
  .describe('The switch that stops parts of the loop, and the guard against loops that feed themselves.')
