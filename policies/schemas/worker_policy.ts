import { z } from 'zod'
import { executorName, stepKey } from './fields.js'

/** Programs are named by where they lie, so that no search path decides what runs. */
const programPath = () =>
  z
    .string()
    .max(500)
    .regex(/^\/[^ ]+$/, 'must be an absolute path without spaces')

/** Only variables that were set aside for this purpose, so that a policy cannot hand out any other. */
const mcpVariable = () =>
  z
    .string()
    .max(100)
    .regex(/^OPS_MCP_[A-Z0-9_]+$/, 'must be the name of a variable that begins with OPS_MCP_')

const toolName = () => z.string().min(1).max(200)

const mcpTools = () =>
  z.array(toolName()).max(500).default([]).describe('Tools of the server that steps may call; no others.')

/** An MCP server: a program that is started for each call and spoken to over stdio, or an address. */
const mcpServer = z.union([
  z.strictObject({
    command: programPath().describe('The program to start, by its absolute path.'),
    args: z.array(z.string().max(1000)).max(100).default([]).describe('Arguments of the program.'),
    env: z
      .record(
        z
          .string()
          .max(100)
          .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be a variable name'),
        mcpVariable(),
      )
      .default({})
      .describe(
        'Variables that the program gets: its name for each, and the variable of the worker with the value.',
      ),
    tools: mcpTools(),
  }),
  z.strictObject({
    url: z
      .string()
      .max(2000)
      .regex(/^https?:\/\/[^ ]+$/, 'must be an http or https address')
      .describe('Where the server answers over streamable HTTP.'),
    token_env: mcpVariable().optional().describe('The variable of the worker that holds the bearer token.'),
    tools: mcpTools(),
  }),
])

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
      .array(toolName())
      .max(500)
      .optional()
      .describe('Tools that agents may be given. Absent: those that their role names.'),
    allowed_wreckit_commands: z
      .array(z.string().min(1).max(100))
      .max(100)
      .default(['ideas', 'status', 'list', 'show', 'research', 'plan'])
      .describe('Commands that the wreckit executor may run. By default those that change no code.'),
    allowed_commands: z
      .array(programPath())
      .max(200)
      .default([])
      .describe(
        'Programs that the minion executor may run, with any arguments, each by its absolute path. Shells are refused.',
      ),
    mcp_servers: z
      .record(stepKey(), mcpServer)
      .default({})
      .describe('MCP servers that the mcp executor may use, by the name that steps use.'),
  })
  .describe(
    'How workers treat steps. What a step says itself goes before; the environment and the defaults come after.',
  )
