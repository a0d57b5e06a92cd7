import type { z } from 'zod'
import type { Engine, EventInput, JsonObject } from '../engine/types.js'
import type { Outcome } from './outcomes.js'

export * from './outcomes.js'

/** Takes pino's arguments: a message, or fields and a message. Secret values are masked. */
interface LogMethod {
  (message: string): void
  (fields: object, message: string): void
}

export interface Log {
  debug: LogMethod
  info: LogMethod
  warn: LogMethod
  error: LogMethod
}

/** The step at hand, without the lease that stands for it: only the worker may write. */
export interface StepInfo {
  step_id: string
  mission_id: string
  mission_title: string | null
  key: string
  kind: string
  agent: string | null
  timeout_seconds: number | null
}

/** The entry of policy `agent_roles` for the agent that the step names. */
export interface AgentRole {
  instructions?: string | undefined
  model?: string | undefined
  tools?: string[] | undefined
  temperature?: number | undefined
}

/** An MCP server as policy names it: a program over stdio, or an address. */
export type McpServer =
  | {
      command: string
      args: string[]
      /** The program's name for a variable, and the worker's variable that holds its value. */
      env: Record<string, string>
      tools: string[]
    }
  | { url: string; token_env?: string | undefined; tools: string[] }

/** What policy `worker_policy` lets executors do, as of the worker's last sign of life. */
export interface ExecutorPolicy {
  allowed_openclaw_subcommands: string[]
  openclaw_timeout_ms: number
  allowed_wreckit_commands: string[]
  /** Tools that agents may be given; undefined leaves it to their roles. */
  allowed_tools?: string[] | undefined
  /** Absolute paths. */
  allowed_commands: string[]
  mcp_servers: Record<string, McpServer>
}

/** The part of the engine that executors may use. */
export type ExecutorEngine = Pick<Engine, 'radarAdd' | 'radarUpdate' | 'radarList'>

/** What every attempt is given, before its params are bound. */
export interface RunContext {
  step: StepInfo
  /** Results of the mission's earlier steps by key; empty unless the params refer to one. */
  inputs: JsonObject
  /** Aborted at the step's timeout, when the lease is lost, and when the worker has to leave. Pass it to all that waits. */
  signal: AbortSignal
  log: Log
  /** The step's id: the same over all attempts, so that the outside world can recognise a repetition. */
  idempotencyKey: string
  /** From 1. */
  attempt: number
  /**
   * Reports a fact. It is stored in the same transaction as the attempt's outcome, or not at all. Another attempt may
   * emit it again: give a `dedupe_key` made from `idempotencyKey` where it must be stored once.
   * Throws when the event could not be stored.
   */
  emit(event: EventInput): void
  role?: AgentRole | undefined
  policy: ExecutorPolicy
  /** Only the variables that the executor's `env` names. */
  env: Readonly<Record<string, string>>
  engine: ExecutorEngine
}

export interface ExecutorContext<Params> extends RunContext {
  params: Params
}

export interface ExecutorDefinition<Schema extends z.ZodType> {
  /** What a step's kind begins with: lower case letters, digits, `-` and `_`. */
  kind: string
  params: Schema
  /** Environment variables to hand over; a trailing `*` stands for the rest of a name. Their values count as secrets. */
  env?: readonly string[] | undefined
  run(context: ExecutorContext<z.output<Schema>>): Outcome | Promise<Outcome>
}

/** A value that is wrong, and where: `params.url`. */
export interface Problem {
  path: string
  message: string
}

export type Prepared =
  | { ok: true; run(context: RunContext): Outcome | Promise<Outcome> }
  | { ok: false; problems: Problem[] }

/** An executor as the worker sees it: whatever its params are, they are checked first and bound second. */
export interface Executor {
  readonly kind: string
  readonly env: readonly string[]
  /** For documentation; `prepare` is what checks. */
  readonly params: z.ZodType
  prepare(params: unknown): Prepared | Promise<Prepared>
}

const KIND = /^[a-z][a-z0-9_-]{0,99}$/

/**
 * Defines what runs steps of one kind.
 *
 * `run` answers with `done`, `retry`, `fail` or `snooze`; an error that it throws counts as `retry`. It may be run more
 * than once for the same step, so make what it does repeatable, or pass `idempotencyKey` on.
 *
 * @example
 * export default defineExecutor({
 *   kind: 'greet',
 *   params: z.object({ name: z.string() }),
 *   run: ({ params }) => done({ text: `Hello ${params.name}` }),
 * })
 *
 * @throws TypeError when `kind` is not a name.
 */
export function defineExecutor<Schema extends z.ZodType>(definition: ExecutorDefinition<Schema>): Executor {
  const { kind, params: schema, env = [] } = definition
  if (!KIND.test(kind)) {
    throw new TypeError(`'${kind}' cannot be an executor's kind: use lower case letters, digits, '-' and '_'`)
  }
  let isAsync = false
  return {
    kind,
    env,
    params: schema,
    prepare(raw) {
      if (!isAsync) {
        try {
          return bound(schema.safeParse(raw), definition)
        } catch {
          // Only a schema that has to wait for something, or throws, gets here. Most need not, and checking in place costs a tenth.
          isAsync = true
        }
      }
      return schema.safeParseAsync(raw).then((parsed) => bound(parsed, definition))
    },
  }
}

function bound<Schema extends z.ZodType>(
  parsed: z.ZodSafeParseResult<z.output<Schema>>,
  definition: ExecutorDefinition<Schema>,
): Prepared {
  if (!parsed.success) return { ok: false, problems: parsed.error.issues.map(toProblem) }
  const params = parsed.data
  return {
    ok: true,
    run(context) {
      return definition.run(Object.assign(context, { params }))
    },
  }
}

function toProblem(issue: { path: PropertyKey[]; message: string }): Problem {
  return { path: ['params', ...issue.path.map(String)].join('.'), message: issue.message }
}
