import { z } from 'zod'

const rule = (measure: string) =>
  z
    .strictObject({
      warning: z.number().min(0).optional().describe('The value at which a warning is raised.'),
      critical: z.number().min(0).optional().describe('The value at which it becomes critical.'),
    })
    .optional()
    .describe(measure)

export const alertsSchema = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Raise alerts at all.'),
    repeat_minutes: z
      .int()
      .min(1)
      .max(10_080)
      .default(240)
      .describe('Minutes after which an open alert is told again.'),
    rules: z
      .strictObject({
        heartbeat_failures: rule('Failed heartbeats in a row, at or above.'),
        worker_idle_minutes: rule(
          'Minutes in which no step was claimed though some are queued, at or above.',
        ),
        proposal_latency_p95_seconds: rule(
          'Seconds from event to proposal, 95th percentile of the last day, above.',
        ),
        mission_success_percent: rule('Missions of the last day that succeeded, in percent, below.'),
        dead_letters_per_hour: rule('Steps that ran out of attempts in the last hour, at or above.'),
        queued_events: rule('Events not processed yet, above.'),
        queued_steps: rule('Steps that could run but do not, above.'),
        proposals_per_hour: rule('Proposals made in the last hour, above.'),
        average_step_seconds: rule(
          'Mean duration of the steps of one kind in the last day, in seconds, above.',
        ),
        pattern_errors_per_hour: rule(
          'Patterns of the reaction matrix that failed in the last hour, at or above.',
        ),
      })
      .prefault({})
      .describe('The thresholds, by what is measured.'),
  })
  .describe('When the loop asks for a person. A rule that is absent raises nothing.')
