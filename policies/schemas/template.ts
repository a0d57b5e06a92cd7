import { z } from 'zod'
import { agentName, executorName, moment, riskLevel, stepKey, stepKind } from './fields.js'
import { orderProblems } from './step-order.js'

const priority = () => z.int().min(-100).max(100)

const step = z.strictObject({
  key: stepKey()
    .optional()
    .describe('The name by which other steps refer to this one. Default: "step-1", "step-2", ….'),
  kind: stepKind().describe('What the step does: an executor, or "executor:agent".'),
  executor: executorName()
    .optional()
    .describe('The executor that runs it. Default: what the kind names before ":".'),
  agent: agentName()
    .optional()
    .describe('The agent that does it. Default: the kind after ":", then the template.'),
  params: z
    .record(z.string(), z.unknown())
    .optional()
    .describe(
      'Input for the executor. Strings may hold placeholders, also {{steps.<key>.result.<path>}} of earlier steps.',
    ),
  depends_on: z
    .array(stepKey())
    .max(100)
    .optional()
    .describe(
      'Keys of the steps that must succeed first; [] starts at once. Absent: the step before this one.',
    ),
  priority: priority().optional().describe('Lower runs first. Default: that of the template.'),
  run_at: moment().optional().describe('Not before this time.'),
  delay_seconds: z
    .int()
    .min(0)
    .max(31_536_000)
    .optional()
    .describe('Not before this many seconds after the step could have run.'),
  timeout_seconds: z.int().min(1).max(86_400).optional().describe('Seconds that one attempt may take.'),
  max_retries: z.int().min(0).max(100).optional().describe('Failures after which the step is a dead letter.'),
  cost_usd: z.number().min(0).max(1_000_000).optional().describe('US dollars to set aside for the step.'),
  service: agentName()
    .optional()
    .describe(
      'A service of policy `services` that the step needs: while its breaker is open, the step waits.',
    ),
})

/** What a proposal asks for: a mission and its steps. Steps run in order unless they say otherwise. */
export const templateSchema = z
  .strictObject({
    title: z.string().min(1).max(200).describe('The mission in a few words; may hold placeholders.'),
    description: z.string().max(4000).optional().describe('The mission at length; may hold placeholders.'),
    risk_level: riskLevel().optional().describe('How much could go wrong. Absent, it counts as "medium".'),
    agent: agentName()
      .optional()
      .describe('The agent that asks for the mission and, by default, does its steps.'),
    priority: priority().optional().describe('Lower runs first. Default 0.'),
    steps: z.array(step).min(1).max(100).describe('The work to do.'),
  })
  .superRefine((template, context) => {
    for (const { path, message } of orderProblems(template.steps)) {
      context.addIssue({ code: 'custom', path: ['steps', ...path], message })
    }
  })

export type Template = z.output<typeof templateSchema>
