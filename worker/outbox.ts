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

  /** True while the database does not take what is sent. */
  get stalled(): boolean {
    return Object.values(this.#lanes).some((lane) => lane.stalled)
  }

  hurry(): void {
    for (const lane of Object.values(this.#lanes)) lane.hurry()
  }

  /** @param settle called once, when there is nothing more to be done for this verdict */
  deliver({ step_id, token }: Lease, verdict: Verdict, settle: (receipt: Receipt) => void): void {
    const lease = { step_id, token }
    switch (verdict.kind) {
      case 'complete': {
        const { result, cost_usd, meta, events, bytes } = verdict
        const item = { step_id, token, result, cost_usd, meta, events }
        this.#lanes.complete.deliver(item, bytes, (delivery) => {
          if (delivery.end === 'refused') this.#refused(lease, delivery.error, settle)
          else settle(receipt(delivery, 'succeeded'))
        })
        break
      }
      case 'fail': {
        const { kind: _, ...failure } = verdict
        this.#lanes.fail.deliver({ ...lease, ...failure }, 0, (delivery) => {
          if (delivery.end === 'refused' && failure.events) this.#refused(lease, delivery.error, settle)
          else if (delivery.end === 'refused') settle(this.#undeliverable(lease, delivery.error))
          else if (delivery.end === 'answered' && delivery.answer?.step_status === 'failed')
            settle(receipt(delivery, 'failed'))
          else settle(receipt(delivery, 'retried'))
        })
        break
      }
      case 'snooze': {
        const { kind: _, ...snooze } = verdict
        this.#lanes.snooze.deliver({ ...lease, ...snooze }, 0, (delivery) => {
          if (delivery.end === 'refused') settle(this.#undeliverable(lease, delivery.error))
          else settle(receipt(delivery, 'snoozed'))
        })
        break
      }
      case 'release':
        this.#lanes.release.deliver(lease, 0, (delivery) => {
          if (delivery.end === 'refused') settle(this.#undeliverable(lease, delivery.error))
          else settle(receipt(delivery, 'released'))
        })
        break
      case 'nothing':
        settle({ recorded: 'lost', missionRuns: false })
    }
  }

  /** What the executor returned or emitted is not storable after all: the step fails, with that as its error. */
  #refused(lease: Lease, error: unknown, settle: (receipt: Receipt) => void): void {
    if (!isAboutContents(error)) {
      settle(this.#undeliverable(lease, error))
      return
    }
    const text = `OPS_011: the database refused what the executor reported: ${describeError(error)}`
    const failure: Verdict = {
      kind: 'fail',
      error: toStorableError(text, this.#mask),
      permanent: true,
      meta: { code: 'OPS_011' },
    }
    this.deliver(lease, failure, settle)
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
