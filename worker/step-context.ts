import type { ClaimedStep, EventInput, JsonObject } from '../engine/index.js'
import type {
  Executor,
  ExecutorEngine,
  ExecutorPolicy,
  Log,
  RunContext,
  StepInfo,
} from '../executors/define.js'
import type { Attempt } from './attempt.js'
import { checkEvent } from './events.js'
import { maskedLog } from './mask.js'
import type { Workshop } from './run-step.js'

/** What an executor is given. Its signal and its log are made when it asks for them, which most steps do not. */
export class StepContext implements RunContext {
  readonly step: StepInfo
  readonly inputs: JsonObject
  declare readonly signal: AbortSignal
  declare readonly log: Log
  readonly idempotencyKey: string
  readonly attempt: number
  readonly emit: (event: EventInput) => void
  readonly role: RunContext['role']
  readonly policy: ExecutorPolicy
  readonly env: Readonly<Record<string, string>>
  readonly engine: ExecutorEngine
  readonly #attempt: Attempt
  readonly #workshop: Workshop

  constructor(
    claimed: ClaimedStep,
    executor: Executor,
    attempt: Attempt,
    events: EventInput[],
    workshop: Workshop,
  ) {
    const { step_id, mission_id, mission_title, key, kind, agent, timeout_seconds } = claimed
    this.#attempt = attempt
    this.#workshop = workshop
    this.step = { step_id, mission_id, mission_title, key, kind, agent, timeout_seconds }
    this.inputs = claimed.inputs ?? {}
    Object.defineProperty(this, 'signal', SIGNAL)
    Object.defineProperty(this, 'log', LOG)
    this.idempotencyKey = step_id
    this.attempt = claimed.attempt
    this.emit = (event) => {
      events.push(checkEvent(event, workshop.mask))
    }
    this.role = workshop.roleOf(agent)
    this.policy = workshop.policy()
    this.env = workshop.envOf(executor)
    this.engine = workshop.engine
  }

  static signalOf(context: StepContext): AbortSignal {
    return context.#attempt.signal
  }

  static logOf(context: StepContext): Log {
    const { step_id, mission_id, kind } = context.step
    const { log, mask } = context.#workshop
    return maskedLog(log, mask, { step_id, mission_id, kind })
  }
}

// Properties of the object itself, so that a copy made with `{ ...context }` has them too; of one function for all, because V8 gives
// every object with accessors of its own a hidden class of its own.
const SIGNAL = {
  get(this: StepContext) {
    return StepContext.signalOf(this)
  },
  enumerable: true,
}
const LOG = {
  get(this: StepContext) {
    return StepContext.logOf(this)
  },
  enumerable: true,
}
