import type { ClaimedStep, Engine, Lease } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import { Attempt } from './attempt.js'
import { Leases } from './leases.js'
import type { Summary } from './options.js'
import { Outbox, type Receipt } from './outbox.js'
import type { MakeRenewer } from './renewer.js'
import { runStep, type Workshop } from './run-step.js'
import type { Verdict } from './verdict.js'

/** How long a worker that releases its steps tries to tell the database, in milliseconds. */
const RELEASE_PATIENCE_MS = 5000

export interface InFlightOptions {
  engine: Pick<Engine, 'completeSteps' | 'failSteps' | 'snoozeSteps' | 'releaseSteps'>
  makeRenewer: MakeRenewer
  workshop: Workshop
  log: Log
  /** The worker is not going to wait for more work: results are worth sending as long as their lease lasts. */
  isLeaving(): boolean
  /** A place has become free, which a step of this executor had. */
  onRoom(executor: string): void
  /** Steps may have become claimable that waited for this one, or nothing is in flight any more. */
  onRecorded(): void
}

/** The steps that this worker has claimed and whose outcome is not recorded yet. */
export class InFlight {
  readonly summary: Summary = {
    succeeded: 0,
    failed: 0,
    retried: 0,
    snoozed: 0,
    released: 0,
    lost: 0,
    undelivered: 0,
  }
  readonly #options: InFlightOptions
  readonly #leases: Leases
  readonly #outbox: Outbox
  readonly #running = new Map<Attempt, ClaimedStep>()
  readonly #steps = new Set<Promise<void>>()
  #giveUpAt = Number.POSITIVE_INFINITY

  constructor(options: InFlightOptions) {
    const { engine, makeRenewer, log, workshop } = options
    this.#options = options
    this.#leases = new Leases(makeRenewer)
    this.#outbox = new Outbox({
      engine,
      log,
      mask: workshop.mask,
      isHopeless: (lease) => this.#isHopeless(lease),
    })
  }

  isEmpty(): boolean {
    return this.#steps.size === 0
  }

  /** How many steps may be claimed now. None while the database does not take results: they must not pile up. */
  room(concurrency: number): number {
    if (this.#outbox.stalled) return 0
    return Math.max(0, Math.min(concurrency - this.#running.size, 2 * concurrency - this.#steps.size))
  }

  /** How many steps of this executor run now. */
  runningOf(executor: string): number {
    let running = 0
    for (const step of this.#running.values()) if (step.executor === executor) running++
    return running
  }

  /**
   * Runs a step and records its outcome.
   *
   * @param since when the claim was sent, by `performance.now()`
   */
  take(step: ClaimedStep, since: number): void {
    this.#keep(this.#attend(step, since))
  }

  /** Hands back a step that has not been started. */
  decline(step: ClaimedStep): void {
    this.#keep(this.#record(step, { kind: 'release' }))
  }

  /** Aborts everything and hands it back, unless it gets done in the short time that executors have to wind down. */
  release(): void {
    this.#giveUpAt = performance.now() + RELEASE_PATIENCE_MS
    for (const attempt of this.#running.keys()) attempt.stop('released', 'the worker has to leave')
    this.#outbox.hurry()
  }

  /** Settles when every outcome is recorded, or given up. Nothing may be taken meanwhile. */
  async settled(): Promise<void> {
    await Promise.all(this.#steps)
    await this.#leases.close()
  }

  async #attend(step: ClaimedStep, since: number): Promise<void> {
    const began = performance.now()
    const attempt = new Attempt(step.timeout_seconds)
    this.#leases.hold(leaseOf(step), {
      seconds: step.lease_seconds,
      since,
      onLost: (message) => attempt.stop('lost', message),
    })
    this.#running.set(attempt, step)
    const verdict = await runStep(step, attempt, this.#options.workshop)
    this.#running.delete(attempt)
    this.#options.onRoom(step.executor)
    const receipt = await this.#record(step, verdict)
    this.#report(step, verdict, receipt, performance.now() - began)
  }

  async #record(step: ClaimedStep, verdict: Verdict): Promise<Receipt> {
    const receipt = await this.#outbox.deliver(leaseOf(step), verdict)
    this.#leases.drop(step)
    this.summary[receipt.recorded]++
    if (receipt.missionRuns) this.#options.onRecorded()
    return receipt
  }

  #keep(work: Promise<unknown>): void {
    const step = work.then(() => {
      this.#steps.delete(step)
      if (this.isEmpty()) this.#options.onRecorded()
    })
    this.#steps.add(step)
  }

  #isHopeless(lease: Lease): boolean {
    return performance.now() > this.#giveUpAt || (this.#options.isLeaving() && !this.#leases.holds(lease))
  }

  #report(step: ClaimedStep, verdict: Verdict, { recorded }: Receipt, ms: number): void {
    const { step_id, mission_id, key, attempt } = step
    const level =
      recorded === 'succeeded' || recorded === 'snoozed' || recorded === 'released' ? 'info' : 'warn'
    const error = verdict.kind === 'fail' ? verdict.error : undefined
    this.#options.log[level](
      { step_id, mission_id, key, attempt, ms: Math.round(ms), error },
      `${step.kind}: ${recorded}`,
    )
  }
}

function leaseOf({ step_id, token }: ClaimedStep): Lease {
  return { step_id, token }
}
