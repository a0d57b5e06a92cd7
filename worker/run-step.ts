import { type ClaimedStep, type EventInput, isRetryable, OpsError } from '../engine/index.js'
import {
  type AgentRole,
  describeError,
  type Executor,
  type ExecutorEngine,
  type ExecutorPolicy,
  type Log,
  outcomeSchema,
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

/** Runs one attempt at a step, from raw params to what is to be recorded. Never rejects. */
export async function runStep(step: ClaimedStep, attempt: Attempt, workshop: Workshop): Promise<Verdict> {
  const { mask } = workshop
  const executor = workshop.executors.get(step.executor)
  if (!executor) {
    return refused('OPS_005', [{ path: 'executor', message: `this worker has no '${step.executor}'` }], mask)
  }

  const rendered = renderStepParams(step.params, { steps: step.inputs ?? {} })
  if (!rendered.ok) return refused(rendered.problem.code, [rendered.problem], mask)

  const events: EventInput[] = []
  const ended = await Promise.race([
    execute(executor, rendered.value, attempt, contextOf(step, executor, attempt, events, workshop)),
    attempt.abandoned,
  ])
  attempt.end()
  if (ended !== 'abandoned' && 'problems' in ended) return refused('OPS_011', ended.problems, mask)
  return judge(
    ended,
    { stoppedBy: attempt.stoppedBy, timeoutSeconds: step.timeout_seconds },
    [...events],
    mask,
  )
}

async function execute(
  executor: Executor,
  params: unknown,
  attempt: Attempt,
  context: RunContext,
): Promise<Ended | { problems: Problem[] }> {
  try {
    const prepared = await executor.prepare(params)
    if (!prepared.ok) return { problems: prepared.problems }
    attempt.throwIfStopped()
    const returned = outcomeSchema.safeParse(await prepared.run(context))
    if (returned.success) return { outcome: returned.data }
    const [issue] = returned.error.issues
    return { thrown: `${NO_OUTCOME} (${issue?.path.join('.')}: ${issue?.message})`, permanent: true }
  } catch (error) {
    // The engine's own word that trying again cannot help: no such radar item, say.
    const permanent = error instanceof OpsError && !isRetryable(error)
    return { thrown: describeError(error), permanent }
  }
}

const NO_OUTCOME = 'the executor did not answer with a valid done(…), retry(…), fail(…) or snooze(…)'

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
