import type { EventInput } from '../engine/types.js'
import type { Executor, ExecutorPolicy, Log, Outcome, RunContext, StepInfo } from './define.js'

export interface TestRun {
  outcome: Outcome
  /** What the executor emitted, in order. */
  events: EventInput[]
}

/**
 * Runs an executor against a made-up step, without a database.
 *
 * @param overrides replaces parts of the context: `step`, `signal`, `env`, `attempt`, `inputs`, `role`, `policy`, `engine` …
 * @throws Error when the params do not pass the executor's schema.
 *
 * @example
 * const { outcome } = await runExecutor(greet, { name: 'Ada' })
 * expect(outcome).toMatchObject({ outcome: 'done', result: { text: 'Hello Ada' } })
 */
export async function runExecutor(
  executor: Executor,
  params: unknown,
  overrides: Partial<RunContext> = {},
): Promise<TestRun> {
  const prepared = await executor.prepare(params)
  if (!prepared.ok) {
    throw new Error(prepared.problems.map(({ path, message }) => `${path}: ${message}`).join('\n'))
  }
  const events: EventInput[] = []
  const context: RunContext = {
    ...testContext(executor.kind),
    emit: (event) => events.push(event),
    ...overrides,
  }
  return { outcome: await prepared.run(context), events }
}

/** What applies where policy `worker_policy` says nothing. */
export const defaultPolicy: ExecutorPolicy = {
  allowed_openclaw_subcommands: ['agent'],
  openclaw_timeout_ms: 600_000,
  allowed_wreckit_commands: ['ideas', 'status', 'list', 'show', 'research', 'plan'],
  allowed_commands: [],
  mcp_servers: {},
}

const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** The step that `runExecutor` makes up. */
export function testStep(kind: string): StepInfo {
  return {
    step_id: '00000000-0000-4000-8000-000000000001',
    mission_id: '00000000-0000-4000-8000-000000000002',
    mission_title: 'A test',
    key: 'step-1',
    kind,
    agent: null,
    timeout_seconds: null,
  }
}

function testContext(kind: string): RunContext {
  const noEngine = () => Promise.reject(new Error('this test gave its executor no engine'))
  return {
    step: testStep(kind),
    inputs: {},
    signal: new AbortController().signal,
    log: silentLog,
    idempotencyKey: '00000000-0000-4000-8000-000000000001',
    attempt: 1,
    emit() {},
    policy: defaultPolicy,
    env: {},
    engine: { radarAdd: noEngine, radarUpdate: noEngine, radarList: noEngine },
  }
}
