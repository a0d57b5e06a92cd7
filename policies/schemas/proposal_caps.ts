import { z } from 'zod'
import { agentName, executorName, patternId, perDay, sourceName, timeZone } from './fields.js'

const perSource = () => z.record(sourceName(), perDay())

const input = z
  .strictObject({
    daily_limit: perDay()
      .optional()
      .describe('Proposals let through in a day, all together. Absent: no limit.'),
    per_source: perSource()
      .optional()
      .describe('Proposals let through in a day for each source, such as "github".'),
    per_source_limits: perSource().optional().describe('Another name for per_source.'),
    per_agent: z
      .record(agentName(), perDay())
      .optional()
      .describe('Proposals let through in a day for each agent that asks.'),
    per_step_kind: z
      .record(executorName(), perDay())
      .optional()
      .describe('Steps let through in a day for each executor.'),
    per_pattern: z
      .record(patternId(), perDay())
      .optional()
      .describe('Proposals let through in a day for each pattern of the reaction matrix, by its id.'),
    daily_budget_usd: z
      .number()
      .min(0)
      .max(1_000_000)
      .optional()
      .describe(
        'US dollars that the steps let through in a day may cost, by their cost_usd. Absent: no limit.',
      ),
    time_zone: timeZone().default('UTC').describe('Where the day begins and ends.'),
  })
  .describe(
    'How much may start in a day. What waits for approval holds its place; what is rejected or expires gives it back.',
  )

export const proposalCapsSchema = input
  .refine((caps) => caps.per_source === undefined || caps.per_source_limits === undefined, {
    path: ['per_source_limits'],
    message: 'is another name for per_source; give one of them',
  })
  .transform(({ per_source_limits, ...caps }) => ({
    ...caps,
    per_source: caps.per_source ?? per_source_limits ?? {},
  }))
