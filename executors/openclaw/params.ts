import { isAbsolute } from 'node:path'
import { z } from 'zod'
import type { ExecutorContext } from '../define.js'

const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\0]*$/, 'must not hold NUL')

const SELECTORS = ['agent', 'session_key', 'session_id', 'to'] as const

export const params = z
  .strictObject({
    subcommand: z
      .string()
      .max(100)
      .regex(/^[a-z][a-z0-9-]*( [a-z][a-z0-9-]*)*$/, 'must be a subcommand such as "agent" or "agent exec"')
      .default('agent')
      .describe('What to run; policy `worker_policy.allowed_openclaw_subcommands` must name it.'),
    message: text(100_000).optional().describe('The task, for `agent` and `agent exec`.'),
    agent: text(100)
      .optional()
      .describe('Whom to ask. One of these four; absent: the agent that the step names.'),
    session_key: text(200).optional().describe('Or: the session to go on with, by its key.'),
    session_id: text(200).optional().describe('Or: the session, by its id. Command line only.'),
    to: text(200).optional().describe('Or: a recipient, whose session it is. Command line only.'),
    model: text(200)
      .optional()
      .describe("The model. Absent: that of the agent's role, then openclaw's own choice."),
    thinking: z.enum(['off', 'minimal', 'low', 'medium', 'high']).optional().describe('How much it thinks.'),
    via: z
      .enum(['cli', 'gateway'])
      .optional()
      .describe(
        'How to reach it. Absent: the gateway where the worker has OPENCLAW_GATEWAY_URL, else the command line.',
      ),
    wait: z
      .boolean()
      .default(true)
      .describe(
        'Whether to wait for the answer. `false`: through the gateway, done as soon as it has admitted the task.',
      ),
    local: z.boolean().default(false).describe('Run the agent inside the command line, not in the gateway.'),
    cwd: text(4096)
      .refine(isAbsolute, 'must be an absolute path')
      .optional()
      .describe('The folder of `agent exec`.'),
    args: z
      .array(text(32_768))
      .max(200)
      .optional()
      .describe('Arguments of any other subcommand, each as it is: there is no shell.'),
  })
  .superRefine((given, context) => {
    const selectors = SELECTORS.filter((name) => given[name] !== undefined)
    const wrong = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (selectors.length > 1)
      wrong(selectors[1] ?? '', `names whom to ask, as ${selectors[0]} does: keep one`)
    if (isAgent(given.subcommand)) {
      if (given.message === undefined) wrong('message', `is what '${given.subcommand}' needs`)
      if (given.args) wrong('args', `is not for '${given.subcommand}'`)
    } else if (given.message !== undefined) {
      wrong('message', `is not for '${given.subcommand}': use args`)
    }
    if (given.subcommand !== 'agent' && (given.via === 'gateway' || !given.wait)) {
      wrong(given.wait ? 'via' : 'wait', "is for subcommand 'agent'")
    }
    if (given.via === 'cli' && !given.wait) wrong('wait', 'needs the gateway')
  })

export type Params = z.output<typeof params>
export type Context = ExecutorContext<Params>

/** The subcommands that talk to an agent. */
export const isAgent = (subcommand: string) => subcommand === 'agent' || subcommand === 'agent exec'

/** The one way in which the task says whom it is for. */
export function selectorOf({
  params,
  step,
}: Context): { name: (typeof SELECTORS)[number]; value: string } | undefined {
  for (const name of SELECTORS) {
    const value = params[name]
    if (value !== undefined) return { name, value }
  }
  return step.agent === null ? undefined : { name: 'agent', value: step.agent }
}

/** Milliseconds for the call: what policy says, and less than the step has, so that there is time to say what happened. */
export function patienceOf({ policy, step }: Context): number {
  return Math.min(policy.openclaw_timeout_ms, (step.timeout_seconds ?? Number.POSITIVE_INFINITY) * 900)
}
