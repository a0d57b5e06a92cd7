import { type ClaimedStep, type EventInput, isRetryable, OpsError } from '../engine/index.js'
import {
  type AgentRole,
  describeError,
  type Executor,
  type ExecutorEngine,
  type ExecutorPolicy,
  type Log,
  type Outcome,
  outcomeSchema,
  type Prepared,
  type Problem,
} from '../executors/define.js'
import type { ExecutorRegistry } from '../executors/registry.js'
import { renderStepParams } from '../policies/templates/steps.js'
import type { Attempt } from './attempt.js'
import type { Mask } from './mask.js'
import { StepContext } from './step-context.js'
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
  new StepRun(step, attempt, workshop, onVerdict).start()
}

/** The executor does not take these params. */
interface Refusal {
  problems: Problem[]
}

/** Its methods are what closures would be: a thousand steps a batch notice the difference. */
class StepRun {
  readonly #events: EventInput[] = []
  #isOver = false

  constructor(
    private readonly step: ClaimedStep,
    private readonly attempt: Attempt,
    private readonly workshop: Workshop,
    private readonly onVerdict: (verdict: Verdict) => void,
  ) {}

  start(): void {
    const { step, attempt, workshop } = this
    const executor = workshop.executors.get(step.executor)
    if (!executor) {
      const problem = { path: 'executor', message: `this worker has no '${step.executor}'` }
      this.onVerdict(refused('OPS_005', [problem], workshop.mask))
      return
    }
    const rendered = renderStepParams(step.params, { steps: step.inputs ?? {} })
    if (!rendered.ok) {
      this.onVerdict(refused(rendered.problem.code, [rendered.problem], workshop.mask))
      return
    }
    attempt.waiting = this
    this.#prepare(executor, rendered.value)
  }

  abandoned(): void {
    this.#end('abandoned')
  }

  #prepare(executor: Executor, params: unknown): void {
    let prepared: Prepared | Promise<Prepared>
    try {
      prepared = executor.prepare(params)
    } catch (error) {
      this.#end(thrown(error))
      return
    }
    if (!isPromise(prepared)) {
      this.#run(executor, prepared)
      return
    }
    prepared.then(
      (found) => this.#run(executor, found),
      (error) => this.#end(thrown(error)),
    )
  }

  #run(executor: Executor, prepared: Prepared): void {
    if (!isPrepared(prepared)) {
      this.#end({ thrown: NOT_PREPARED, permanent: true })
      return
    }
    if (!prepared.ok) {
      this.#end({ problems: prepared.problems })
      return
    }
    let returned: Outcome | Promise<Outcome>
    try {
      this.attempt.throwIfStopped()
      returned = prepared.run(new StepContext(this.step, executor, this.attempt, this.#events, this.workshop))
    } catch (error) {
      this.#end(thrown(error))
      return
    }
    if (!isPromise(returned)) {
      this.#end(answered(returned))
      return
    }
    Promise.resolve(returned).then(
      (outcome) => this.#end(answered(outcome)),
      (error) => this.#end(thrown(error)),
    )
  }

  #end(ended: Ended | Refusal | 'abandoned'): void {
    if (this.#isOver) return
    this.#isOver = true
    this.attempt.end()
    this.onVerdict(this.#verdictOn(ended))
  }

  #verdictOn(ended: Ended | Refusal | 'abandoned'): Verdict {
    const { mask } = this.workshop
    if (ended !== 'abandoned' && 'problems' in ended) return refused('OPS_011', ended.problems, mask)
    const { stoppedBy } = this.attempt
    const events = this.#events.length > 0 ? [...this.#events] : undefined
    return judge(ended, { stoppedBy, timeoutSeconds: this.step.timeout_seconds }, events, mask)
  }
}

function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

/** An executor may be plain JavaScript, and of its own making. */
function isPrepared(value: unknown): value is Prepared {
  if (typeof value !== 'object' || value === null || !('ok' in value)) return false
  return value.ok
    ? 'run' in value && typeof value.run === 'function'
    : 'problems' in value && Array.isArray(value.problems)
}

const NOT_PREPARED =
  "the executor's prepare(…) says neither what to run nor what is wrong: make it with defineExecutor"

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

function refused(code: string, problems: Problem[], mask: Mask): Verdict {
  const text = problems.map(({ path, message }) => `${path}: ${message}`).join('; ')
  const paths = problems.map(({ path }) => mask(path))
  return permanentFailure(`${code}: ${text}`, mask, { meta: { code, paths } })
}
