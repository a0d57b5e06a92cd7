import { LONGEST_TIMER } from './wake.js'

/**
 * Why an attempt was told to stop:
 *
 * - `timeout`: the step's `timeout_seconds` are over
 * - `lost`: the lease is gone, someone else may be at this step
 * - `released`: the worker leaves and hands the step back
 */
export type StopCause = 'timeout' | 'lost' | 'released'

/** What executors find as their signal's reason. */
export class AttemptStopped extends Error {
  override name = 'AttemptStopped'

  constructor(
    readonly stopCause: StopCause,
    message: string,
  ) {
    super(message)
  }
}

/** How long an executor may take to wind down before its step is given up, in milliseconds. */
const WIND_DOWN_MS = 2000

/** How long one whose lease is lost may take, in milliseconds: nobody waits for its late result, but it has a place that others need. */
const LATE_MS = 60_000

/** One attempt at a step, which can be told to stop from outside and stops by itself at the step's timeout. */
export class Attempt {
  /** Made when somebody wants to know: most executors are done before they would listen. */
  #abort: AbortController | undefined
  #stopped: AttemptStopped | undefined
  #timers: NodeJS.Timeout[] | undefined
  #lost = false
  #ended = false

  /** Told when there is no more waiting for the executor, whether or not it heeds its signal. */
  waiting: { abandoned(): void } | undefined

  constructor(timeoutSeconds: number | null) {
    if (timeoutSeconds === null) return
    this.#after(timeoutSeconds * 1000, () => this.stop('timeout', `timed out after ${timeoutSeconds} s`))
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    if (this.#stopped) this.#abort.abort(this.#stopped)
    return this.#abort.signal
  }

  /** What stopped the attempt; a lost lease outweighs everything else. Undefined while it runs. */
  get stoppedBy(): StopCause | undefined {
    return this.#lost ? 'lost' : this.#stopped?.stopCause
  }

  /** @param message what the executor reads */
  stop(cause: StopCause, message: string): void {
    if (cause === 'lost') this.#lost = true
    this.#stopped ??= new AttemptStopped(cause, message)
    this.#abort?.abort(this.#stopped)
    // After a lost lease there is no hurry: a late result is evidence. Otherwise the step may run again soon, so what this attempt
    // has started is given the time to end, and no more.
    this.#after(cause === 'lost' ? LATE_MS : WIND_DOWN_MS, () => this.waiting?.abandoned())
  }

  /** @throws AttemptStopped once the attempt has been told to stop */
  throwIfStopped(): void {
    if (this.#stopped) throw this.#stopped
  }

  /** The executor has answered, or nobody waits for it any more: nothing stops this attempt now. */
  end(): void {
    this.#ended = true
    for (const timer of this.#timers ?? []) clearTimeout(timer)
  }

  #after(ms: number, act: () => void): void {
    if (this.#ended) return
    this.#timers ??= []
    this.#timers.push(setTimeout(act, Math.min(ms, LONGEST_TIMER)))
  }
}
