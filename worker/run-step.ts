import { type ClaimedStep, type EventInput, isRetryable, OpsError } from '../engine/index.js'
import {
  type AgentRole,
  describeError,
  type Executor,
  type ExecutorEngine,
  type ExecutorPolicy,
  type Log,
  outcomeSchema,
  type Prepared,
  type Problem,
  type RunContext,
} from '../executors/define.js'
import type { ExecutorRegistry } from '../executors/registry.js'
import { renderStepParams } from '../policies/index.js'
import type { Attempt } from './attempt.js'
import { checkEvent } from './events.js'
import { type Mask, maskedLog } from './mask.js'
import { type Ended, judge, permanentFailure, type Verdict } from './verdict.js'

/** What all steps of a worker share. */
export interface Workshop {
  executors: ExecutorRegistry
  engine: ExecutorEngine
  /** The environment variables that an executor may see. */
  envOf(executor: Executor): Readonly<Record<string, string>>
  /** The current entry of policy `agent_roles`. */
  roleOf(agent: string | null): AgentRole | undefined
  /** What policy `worker_policy` lets executors do. */
  policy(): ExecutorPolicy
  mask: Mask
  log: Log
}

/**
 * Runs one attempt at a step, from raw params to what is to be recorded. Never throws.
 *
 * @param onVerdict called once; within this call when the executor answers within it, so that a step that has nothing to wait
 * for costs no promises.
 */
export function runStep(
  step: ClaimedStep,
  attempt: Attempt,
  workshop: Workshop,
  onVerdict: (verdict: Verdict) => void,
): void {
  const { mask } = workshop
  const executor = workshop.executors.get(step.executor)
  if (!executor) {
    const problem = { path: 'executor', message: `this worker has no '${step.executor}'` }
    onVerdict(refused('OPS_005', [problem], mask))
    return
  }

  const rendered = renderStepParams(step.params, { steps: step.inputs ?? {} })
  if (!rendered.ok) {
    onVerdict(refused(rendered.problem.code, [rendered.problem], mask))
    return
  }

  const events: EventInput[] = []
  let isOver = false
  const end = (ended: Ended | Refusal | 'abandoned') => {
    if (isOver) return
    isOver = true
    attempt.end()
    onVerdict(verdictOn(ended, step, attempt, events, mask))
  }
  attempt.onAbandoned = () => end('abandoned')
  execute(executor, rendered.value, attempt, contextOf(step, executor, attempt, events, workshop), end)
}

function verdictOn(
  ended: Ended | Refusal | 'abandoned',
  { timeout_seconds }: ClaimedStep,
  { stoppedBy }: Attempt,
  events: EventInput[],
  mask: Mask,
): Verdict {
  if (ended !== 'abandoned' && 'problems' in ended) return refused('OPS_011', ended.problems, mask)
  const emitted = events.length > 0 ? [...events] : undefined
  return judge(ended, { stoppedBy, timeoutSeconds: timeout_seconds }, emitted, mask)
}

/** The executor does not take these params. */
interface Refusal {
  problems: Problem[]
}

function execute(
  executor: Executor,
  params: unknown,
  attempt: Attempt,
  context: RunContext,
  end: (ended: Ended | Refusal) => void,
): void {
  const failed = (error: unknown) => end(thrown(error))
  const start = (prepared: Prepared) => {
    if (!prepared.ok) {
      end({ problems: prepared.problems })
      return
    }
    const run = () => {
      attempt.throwIfStopped()
      return prepared.run(context)
    }
    settle(run, (returned) => end(answered(returned)), failed)
  }
  settle(() => executor.prepare(params), start, failed)
}

/** Goes on with what `act` answers: now, or when what it promises is there. */
function settle<T>(
  act: () => T | PromiseLike<T>,
  goOn: (value: T) => void,
  failed: (error: unknown) => void,
): void {
  let value: T | PromiseLike<T>
  try {
    value = act()
  } catch (error) {
    failed(error)
    return
  }
  if (isPromise(value)) Promise.resolve(value).then(goOn, failed)
  else goOn(value)
}

function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function answered(returned: unknown): Ended {
  try {
    const outcome = outcomeSchema.safeParse(returned)
    if (outcome.success) return { outcome: outcome.data }
    const [issue] = outcome.error.issues
    return { thrown: `${NO_OUTCOME} (${issue?.path.join('.')}: ${issue?.message})`, permanent: true }
  } catch (error) {
    // A getter of its own.
    return thrown(error)
  }
}

const NO_OUTCOME = 'the executor did not answer with a valid done(…), retry(…), fail(…) or snooze(…)'

function thrown(error: unknown): Ended {
  // The engine's own word that trying again cannot help: no such radar item, say.
  const permanent = error instanceof OpsError && !isRetryable(error)
  return { thrown: describeError(error), permanent }
}

function contextOf(
  step: ClaimedStep,
  executor: Executor,
  attempt: Attempt,
  events: EventInput[],
  { engine, envOf, roleOf, policy, mask, log }: Workshop,
): RunContext {
  const { step_id, mission_id, mission_title, key, kind, agent, timeout_seconds } = step
  return {
    step: { step_id, mission_id, mission_title, key, kind, agent, timeout_seconds },
    inputs: step.inputs ?? {},
    get signal() {
      return attempt.signal
    },
    get log() {
      return maskedLog(log, mask, { step_id, mission_id, kind })
    },
    idempotencyKey: step_id,
    attempt: step.attempt,
    emit: (event) => events.push(checkEvent(event, mask)),
    role: roleOf(agent),
    policy: policy(),
    env: envOf(executor),
    engine,
  }
}

function refused(code: string, problems: Problem[], mask: Mask): Verdict {
  const text = problems.map(({ path, message }) => `${path}: ${message}`).join('; ')
  const paths = problems.map(({ path }) => mask(path))
  return permanentFailure(`${code}: ${text}`, mask, { meta: { code, paths } })
}
