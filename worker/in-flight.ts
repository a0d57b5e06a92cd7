import type { ClaimedStep, Engine, Lease } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import { Attempt } from './attempt.js'
import { type HeldLease, Leases } from './leases.js'
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
  /** Steps may have become claimable that waited for this one, or room where there was none, or nothing is in flight any more. */
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
  readonly #running = new Set<Job>()
  /** How many steps are in flight. */
  #open = 0
  /** There was no room when last asked: whoever asked waits for an outcome to be recorded. */
  #isFull = false
  #onSettled: (() => void) | undefined
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
    return this.#open === 0
  }

  /** How many steps may be claimed now. None while the database does not take results: they must not pile up. */
  room(concurrency: number): number {
    const room = this.#outbox.stalled
      ? 0
      : Math.max(0, Math.min(concurrency - this.#running.size, 2 * concurrency - this.#open))
    this.#isFull = room === 0
    return room
  }

  /** Whether this attempt has been taken already. */
  has(lease: Lease): boolean {
    return this.#leases.holds(lease)
  }

  /** Stops an attempt that the database knows no more. */
  lose(lease: Lease): void {
    this.#leases.lose(lease)
  }

  /** How many steps of this executor run now. */
  runningOf(executor: string): number {
    let running = 0
    for (const { step } of this.#running) if (step.executor === executor) running++
    return running
  }

  /**
   * Runs steps and records their outcomes. All their leases are held, and in the renewer's hands, before the first executor
   * can keep the event loop from turning.
   *
   * @param since when the claim was sent, by `performance.now()`
   */
  take(steps: readonly ClaimedStep[], since: number): void {
    const jobs = steps.map((step) => new Job(step, since))
    this.#leases.hold(jobs)
    this.#open += jobs.length
    for (const job of jobs) this.#running.add(job)
    for (const job of jobs) {
      runStep(job.step, job.attempt, this.#options.workshop, (verdict) => this.#end(job, verdict))
    }
  }

  /** Hands back a step that has not been started. */
  decline(step: ClaimedStep): void {
    this.#open++
    this.#record(step, { kind: 'release' })
  }

  /** Aborts everything and hands it back, unless it gets done in the short time that executors have to wind down. */
  release(): void {
    this.#giveUpAt = performance.now() + RELEASE_PATIENCE_MS
    for (const { attempt } of this.#running) attempt.stop('released', 'the worker has to leave')
    this.#outbox.hurry()
  }

  /** Settles when every outcome is recorded, or given up. Nothing may be taken meanwhile. */
  async settled(): Promise<void> {
    if (this.#open > 0) {
      await new Promise<void>((resolve) => {
        this.#onSettled = resolve
      })
    }
    await this.#leases.close()
  }

  #end(job: Job, verdict: Verdict): void {
    this.#running.delete(job)
    this.#options.onRoom(job.step.executor)
    this.#record(job.step, verdict, job)
  }

  #record(step: ClaimedStep, verdict: Verdict, job?: Job): void {
    this.#outbox.deliver(step, verdict, (receipt) => {
      this.#leases.drop(step)
      this.summary[receipt.recorded]++
      if (job) this.#report(job, verdict, receipt)
      this.#open--
      if (receipt.missionRuns || this.#isFull || this.#open === 0) this.#options.onRecorded()
      if (this.#open === 0) this.#onSettled?.()
    })
  }

  #isHopeless(lease: Lease): boolean {
    return performance.now() > this.#giveUpAt || (this.#options.isLeaving() && !this.#leases.holds(lease))
  }

  #report({ step, began }: Job, verdict: Verdict, { recorded }: Receipt): void {
    const { step_id, mission_id, key, attempt } = step
    const level =
      recorded === 'succeeded' || recorded === 'snoozed' || recorded === 'released' ? 'info' : 'warn'
    const error = verdict.kind === 'fail' ? verdict.error : undefined
    const ms = Math.round(performance.now() - began)
    // The one line that every step writes: masked by hand where it holds words of others, which costs a fifth of `maskedLog`.
    const { log, mask } = this.#options.workshop
    const fields = { step_id, mission_id, key: mask(key), attempt, ms, error: error && mask(error) }
    log[level](fields, mask(`${step.kind}: ${recorded}`))
  }
}

/** A step at work, and the lease that stands for it. */
class Job implements HeldLease {
  readonly step_id: string
  readonly token: string
  readonly seconds: number
  readonly attempt: Attempt
  readonly began = performance.now()

  constructor(
    readonly step: ClaimedStep,
    public since: number,
  ) {
    this.step_id = step.step_id
    this.token = step.token
    this.seconds = step.lease_seconds
    this.attempt = new Attempt(step.timeout_seconds)
  }

  onLost(message: string): void {
    this.attempt.stop('lost', message)
  }
}
