import { z } from 'zod'
import { agentName, environmentVariable, timeZone } from './fields.js'

const rule = (measure: string) =>
  z
    .strictObject({
      warning: z.number().min(0).optional().describe('The value at which a warning is raised.'),
      critical: z.number().min(0).optional().describe('The value at which it becomes critical.'),
    })
    .optional()
    .describe(measure)

const rules = z.strictObject({
  heartbeat_failures: rule('Failed heartbeats in a row, at or above.'),
  heartbeat_silence_minutes: rule('Minutes between this heartbeat and the one before, at or above.'),
  worker_idle_minutes: rule('Minutes in which no step was claimed though some are queued, at or above.'),
  unclaimable_minutes: rule(
    'Minutes for which a step has been due whose executor no live worker offers, by executor, at or above.',
  ),
  proposal_latency_p95_seconds: rule(
    'Seconds from event to proposal, 95th percentile of the last 1000 proposals of the last day, above.',
  ),
  mission_success_percent: rule(
    'Of the missions that succeeded or failed in the last day, at most the last 1000 that began, how many succeeded, in percent, below. Fewer than five say nothing.',
  ),
  step_error_percent: rule(
    'Of the attempts that succeeded or failed in the last hour, at most the last 1000, how many failed, in percent, above. Fewer than twenty say nothing.',
  ),
  dead_letters_per_hour: rule('Steps that ran out of attempts in the last hour, above.'),
  queued_events: rule('Events not processed yet, above.'),
  queued_steps: rule('Steps that could run but do not, above.'),
  proposals_per_hour: rule('Proposals made in the last hour, above.'),
  average_step_seconds: rule(
    'Mean duration of the steps of one kind that ended with one of the last 1000 attempts, in the last day, in seconds, above.',
  ),
  pattern_errors_per_hour: rule(
    'Patterns that failed on an event, and reactions that could not become a proposal, in the last hour, among the last 2000 of each, at or above.',
  ),
  quarantined_patterns: rule('Patterns of the reaction matrix that are out of service, at or above.'),
  api_error_percent: rule(
    'Requests to the control plane that it answered with 5xx, in percent of the last ones that the process of the heartbeat answered, above.',
  ),
  api_p99_ms: rule('Milliseconds of a request to the control plane, 99th percentile of the same, above.'),
  database_latency_ms: rule('Milliseconds that the control plane waits for a trivial query, above.'),
  database_gigabytes: rule(
    'Size of the database, above. Postgres knows no free space: set what your plan has.',
  ),
  connections_percent: rule('Connections in use, in percent of those that the server allows, above.'),
  longest_query_seconds: rule('Seconds for which the longest query of this database has run, above.'),
  worker_memory_percent: rule('Memory of a worker, in percent of what its machine allows it, above.'),
  backup_age_hours: rule('Hours since the last backup that was reported, above. Never reported: nothing.'),
  service_down_minutes: rule(
    'Minutes for which the breaker of a service has been open, by service, at or above.',
  ),
  channel_failures: rule('Messages that one channel failed to deliver in a row, by channel, at or above.'),
})

const slack = z.strictObject({
  type: z.literal('slack').describe('An incoming webhook of Slack, or of what speaks like it.'),
  url_variable: environmentVariable()
    .default('SLACK_WEBHOOK_URL')
    .describe('The environment variable that holds its address. Not set: nothing is sent.'),
})

const webhook = z.strictObject({
  type: z.literal('webhook').describe('A webhook in the format of Standard Webhooks.'),
  url_variable: environmentVariable().describe('The environment variable that holds its address.'),
  secret_variable: environmentVariable()
    .optional()
    .describe('The environment variable that holds the secret to sign with. Absent: not signed.'),
})

const email = z.strictObject({
  type: z.literal('email').describe('Mail by SMTP.'),
  url_variable: environmentVariable()
    .default('SMTP_URL')
    .describe('The environment variable that holds smtp://user:password@host:587.'),
  from: z.string().min(3).max(200).describe('The sender.'),
  to: z.array(z.string().min(3).max(200)).min(1).max(50).describe('The receivers.'),
})

const names = () => z.array(agentName()).max(20)

const routes = z.strictObject({
  critical: names().default(['slack']).describe('P0.'),
  high: names().default(['slack']).describe('P1.'),
  warning: names().default(['slack']).describe('P2.'),
  info: names().default([]).describe('P3.'),
})

const digest = z.strictObject({
  channels: names().min(1).describe('Where it goes.'),
  hour: z.int().min(0).max(23).default(8).describe('The hour of the day from which it is sent.'),
  time_zone: timeZone().default('UTC').describe('Where that hour is.'),
})

export const alertsSchema = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Raise alerts at all.'),
    every_minutes: z.int().min(1).max(60).default(1).describe('Minutes between two looks at the rules.'),
    repeat_minutes: z
      .int()
      .min(1)
      .max(10_080)
      .default(240)
      .describe('Minutes after which an open alert is told again.'),
    resolve_after_minutes: z
      .int()
      .min(0)
      .max(1440)
      .default(5)
      .describe('Minutes for which a rule must have been kept before its alert is resolved.'),
    rules: rules
      .prefault({})
      .describe(
        'The thresholds, by what is measured. What is counted is counted up to twice the higher one, at most up to a million.',
      ),
    violations: z
      .boolean()
      .default(true)
      .describe('Raise an alert for each check that is violated, with the severity of the check.'),
    channels: z
      .record(agentName(), z.union([slack, webhook, email]))
      .default({})
      .describe('Ways to tell people and programs, by name.'),
    routes: routes.prefault({}).describe('Which channels are told, by severity.'),
    digest: digest.optional().describe('A summary once a day. Absent: none.'),
  })
  .describe('When the loop asks for a person. A rule that is absent raises nothing.')
