import {
  type Engine,
  type Lease,
  OpsError,
  type StepFailure,
  type StepResult,
  type StepSnooze,
} from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import { type Delivery, Lane } from './lane.js'
import type { Mask } from './mask.js'
import { toStorableError } from './results.js'
import type { Verdict } from './verdict.js'

/** What became of an attempt in the end. `undelivered`: the database could not be told; the lease will run out. */
export type Receipt = {
  recorded: 'succeeded' | 'failed' | 'retried' | 'snoozed' | 'released' | 'lost' | 'undelivered'
  /** True when the mission goes on, and steps that waited may have become claimable. */
  missionRuns: boolean
}

export interface OutboxOptions {
  engine: Pick<Engine, 'completeSteps' | 'failSteps' | 'snoozeSteps' | 'releaseSteps'>
  /** Asked while the database is away: whether trying to deliver for this lease has become pointless. */
  isHopeless(lease: Lease): boolean
  mask: Mask
  log: Log
}

/** Brings verdicts to the database, each kind in a lane of its own. */
export class Outbox {
  readonly #lanes
  readonly #mask: Mask
  readonly #log: Log
  #size = 0

  constructor({ engine, isHopeless, mask, log }: OutboxOptions) {
    this.#mask = mask
    this.#log = log
    const common = { isHopeless, log }
    this.#lanes = {
      complete: new Lane({
        ...common,
        what: 'complete steps',
        send: (items: StepResult[]) => engine.completeSteps(items),
      }),
      fail: new Lane({
        ...common,
        what: 'fail steps',
        send: (items: StepFailure[]) => engine.failSteps(items),
      }),
      snooze: new Lane({
        ...common,
        what: 'snooze steps',
        send: (items: StepSnooze[]) => engine.snoozeSteps(items),
      }),
      release: new Lane({
        ...common,
        what: 'release steps',
        send: (items: Lease[]) => engine.releaseSteps(items),
      }),
    }
  }

  /** Verdicts on their way. */
  get size(): number {
    return this.#size
  }

  /** True while the database does not take what is sent. */
  get stalled(): boolean {
    return Object.values(this.#lanes).some((lane) => lane.stalled)
  }

  hurry(): void {
    for (const lane of Object.values(this.#lanes)) lane.hurry()
  }

  /** Never rejects. */
  async deliver({ step_id, token }: Lease, verdict: Verdict): Promise<Receipt> {
    this.#size++
    try {
      return await this.#deliver({ step_id, token }, verdict)
    } finally {
      this.#size--
    }
  }

  async #deliver(lease: Lease, verdict: Verdict): Promise<Receipt> {
    switch (verdict.kind) {
      case 'complete': {
        const { kind: _, bytes, ...result } = verdict
        const delivery = await this.#lanes.complete.deliver({ ...lease, ...result }, bytes)
        if (delivery.end === 'refused') return this.#refused(lease, delivery.error)
        return receipt(delivery, 'succeeded')
      }
      case 'fail': {
        const { kind: _, ...failure } = verdict
        const delivery = await this.#lanes.fail.deliver({ ...lease, ...failure })
        if (delivery.end === 'refused' && failure.events) return this.#refused(lease, delivery.error)
        if (delivery.end === 'refused') return this.#undeliverable(lease, delivery.error)
        const dead = delivery.end === 'answered' && delivery.answer?.step_status === 'failed'
        return receipt(delivery, dead ? 'failed' : 'retried')
      }
      case 'snooze': {
        const { kind: _, ...snooze } = verdict
        const delivery = await this.#lanes.snooze.deliver({ ...lease, ...snooze })
        if (delivery.end === 'refused') return this.#undeliverable(lease, delivery.error)
        return receipt(delivery, 'snoozed')
      }
      case 'release': {
        const delivery = await this.#lanes.release.deliver(lease)
        if (delivery.end === 'refused') return this.#undeliverable(lease, delivery.error)
        return receipt(delivery, 'released')
      }
      case 'nothing':
        return { recorded: 'lost', missionRuns: false }
    }
  }

  /** What the executor returned or emitted is not storable after all: the step fails, with that as its error. */
  async #refused(lease: Lease, error: unknown): Promise<Receipt> {
    if (!isAboutContents(error)) return this.#undeliverable(lease, error)
    const text = `OPS_011: the database refused what the executor reported: ${describeError(error)}`
    return this.#deliver(lease, {
      kind: 'fail',
      error: toStorableError(text, this.#mask),
      permanent: true,
      meta: { code: 'OPS_011' },
    })
  }

  #undeliverable({ step_id }: Lease, error: unknown): Receipt {
    this.#log.error({ step_id }, `the outcome of a step cannot be recorded: ${describeError(error)}`)
    return { recorded: 'undelivered', missionRuns: false }
  }
}

/** Other refusals, a revoked right say, would hit the next attempt as well and are not this step's fault. */
function isAboutContents(error: unknown): boolean {
  return error instanceof OpsError && (error.code === 'OPS_011' || error.code === 'OPS_014')
}

type Answer = { outcome: 'ok' | 'lost'; mission_status?: string | null }

function receipt(delivery: Delivery<Answer>, recorded: Receipt['recorded']): Receipt {
  if (delivery.end !== 'answered') return { recorded: 'undelivered', missionRuns: false }
  if (delivery.answer?.outcome !== 'ok') return { recorded: 'lost', missionRuns: false }
  return { recorded, missionRuns: delivery.answer.mission_status === 'running' }
}
