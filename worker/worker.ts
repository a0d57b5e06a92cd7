import { setTimeout as sleep } from 'node:timers/promises'
import type { ClaimedStep, ClaimRequest, HandedSteps, Subscription } from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import type { ExecutorRegistry } from '../executors/registry.js'
import { jittered } from './backoff.js'
import { type Environment, pickEnv, secretsOf } from './environment.js'
import { type HandedStep, Handover } from './handover.js'
import { InFlight } from './in-flight.js'
import { createMask, maskedLog } from './mask.js'
import type { StopMode, Summary, Worker, WorkerOptions } from './options.js'
import { readWorkerPolicy } from './policy.js'
import { Presence } from './presence.js'
import { RenewalLoop } from './renewer.js'
import { rideOut } from './ride-out.js'
import type { Workshop } from './run-step.js'
import { Trail } from './trail.js'
import { endOfTurn, Wake } from './wake.js'

export type { StopMode, Summary, Worker, WorkerEngine, WorkerOptions } from './options.js'

const POLL_INTERVAL_MS = 1000
/** The same of a worker that is notified: with its signs of life and the echoes of its subscription that is less than a statement a second. */
const LISTENING_POLL_INTERVAL_MS = 1200
/** How soon a worker says that it has begun what it was handed, if that runs so long, in milliseconds. The database waits for a minute. */
const BEGUN_AFTER_MS = 1000
/** How long a worker that leaves tries to say so, in milliseconds. */
const LEAVE_PATIENCE_MS = 2000
/** How long a worker that does not watch waits for a database that is away. */
const ONE_SHOT_PATIENCE_MS = 60_000

/**
 * A worker: claims steps, runs their executors, records what came of it.
 *
 * @throws RangeError when `concurrency`, or that of an executor, is not a whole number from 1 to 1000.
 *
 * @example
 * const worker = createWorker({ engine, executors: shippedExecutors(), name: 'vps-1', version, concurrency: 4, watch: true, log })
 * process.once('SIGTERM', () => worker.stop('drain'))
 * await worker.start()
 */
export function createWorker(options: WorkerOptions): Worker {
  const { concurrency, concurrencyOf = {} } = options
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 1000) {
    throw new RangeError('concurrency must be a whole number from 1 to 1000')
  }
  for (const [executor, limit] of Object.entries(concurrencyOf)) {
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000)
      throw new RangeError(`the concurrency of ${executor} must be a whole number from 1 to 1000`)
  }
  return new StepWorker(options)
}

class StepWorker implements Worker {
  readonly #options: WorkerOptions
  readonly #log: Log
  readonly #inFlight: InFlight
  readonly #wake = new Wake()
  readonly #trail = new Trail()
  readonly #stopping = new AbortController()
  #presence: Presence | undefined
  /** The last claim got all that it asked for: there may be more. */
  #moreToClaim = true
  readonly #handover = new Handover()
  /** A claim is under way that may fill the room there is. */
  #isClaiming = false
  /** Executors that had no more room than was filled: there may be more of theirs. */
  #full = new Set<string>()
  #fatal: unknown
  #ended: Promise<Summary> | undefined

  constructor(options: WorkerOptions) {
    const { engine, executors, watch, env = process.env } = options
    const mask = createMask(
      secretsOf(
        env,
        [...executors.values()].flatMap((executor) => executor.env),
      ),
    )
    const workshop: Workshop = {
      executors,
      engine,
      envOf: environmentsOf(executors, env),
      roleOf: (agent) => this.#presence?.roleOf(agent),
      policy: () => this.#presence?.policy ?? readWorkerPolicy({}),
      mask,
      log: options.log,
    }
    this.#options = options
    this.#log = maskedLog(options.log, mask)
    this.#inFlight = new InFlight({
      engine,
      makeRenewer: options.makeRenewer ?? ((events) => new RenewalLoop(engine, this.#log, events)),
      workshop,
      log: this.#log,
      isLeaving: () => !watch || this.#stopping.signal.aborted,
      onRoom: (executor) => (this.#moreToClaim || this.#full.has(executor)) && this.#wake.ring(),
      onRecorded: () => this.#wake.ring(),
    })
  }

  start(): Promise<Summary> {
    this.#ended ??= this.#run()
    return this.#ended
  }

  async stop(mode: StopMode): Promise<void> {
    this.#stopping.abort()
    this.#wake.ring()
    if (mode === 'release') this.#inFlight.release()
    await this.#ended?.catch(() => {})
  }

  async #run(): Promise<Summary> {
    const presence = await this.#register()
    const subscription = await this.#listen()
    const beats = presence.keep(
      this.#stopping.signal,
      () => (subscription !== undefined && !this.#moreToClaim ? this.#takes() : undefined),
      (error) => this.#giveUp(error),
      this.#options.heartbeatMs,
    )
    if (this.#options.watch) {
      this.#log.info(
        { worker_id: presence.workerId, listening: subscription !== undefined },
        'ready for work',
      )
    }
    try {
      await this.#work(presence, subscription !== undefined)
    } finally {
      this.#stopping.abort()
      if (subscription) await this.#leave(presence)
      await subscription?.stop()
      await this.#inFlight.settled()
      await beats
    }
    if (this.#fatal !== undefined) throw this.#fatal
    return this.#inFlight.summary
  }

  /** Claims as long as there is room and work; sleeps until one of them changes. */
  async #work(presence: Presence, listening: boolean): Promise<void> {
    const usual = listening ? LISTENING_POLL_INTERVAL_MS : POLL_INTERVAL_MS
    while (!this.#stopping.signal.aborted) {
      const wasEmpty = this.#inFlight.isEmpty()
      const claimed = await this.#look(presence)
      if (claimed === 0 && wasEmpty && !this.#moreToClaim && !this.#options.watch) return

      const lookAgain = listening && !this.#moreToClaim && (await presence.fallAsleep(this.#takes()))
      if (!lookAgain) await this.#wake.wait(jittered(this.#options.pollIntervalMs ?? usual))
    }
  }

  /** Looks for work where some may be; answers how many steps it got. */
  async #look(presence: Presence): Promise<number> {
    if (this.#handover.takeGap()) return this.#fetchHanded(presence)
    // Who was handed a step lies down before it looks for more, and then does.
    if (this.#handover.takeNews() && !this.#moreToClaim) return 0
    return this.#claim(presence.workerId)
  }

  /** Takes as many steps as there is room for; answers how many it got. */
  async #claim(workerId: string): Promise<number> {
    // Attempts that end together make room for one claim, not for one each.
    await endOfTurn()
    const limit = this.#inFlight.room(this.#options.concurrency)
    if (limit === 0) return 0
    const room = this.#roomOfExecutors()
    const past = this.#trail.ends
    this.#isClaiming = true
    const { steps, since } = await this.#claimSteps({ worker_id: workerId, limit, room, past })
    this.#isClaiming = false
    if (steps.length === limit) this.#trail.follow(steps, performance.now() - since)
    else this.#trail.leave()
    // A claim that began behind others has not seen everything.
    this.#moreToClaim = steps.length === limit || past !== undefined
    if (steps.length < limit && past) this.#wake.ring()
    this.#full = filled(room, steps)
    if (this.#stopping.signal.aborted) for (const step of steps) this.#inFlight.decline(step)
    else this.#inFlight.take(steps, since)
    this.#takeArrived()
    return steps.length
  }

  /** Asks for what was handed to us and has not come with a notification. Answers how much of it could begin. */
  async #fetchHanded(presence: Presence): Promise<number> {
    presence.wakeUp()
    const { steps, since } = await this.#receive('look for handed steps', () =>
      this.#options.engine.handedSteps(presence.workerId),
    )
    return steps.filter((step) => this.#takeHanded({ step, since })).length
  }

  #takeArrived(): void {
    for (const handed of this.#handover.takeArrived()) this.#takeHanded(handed)
  }

  /** Begins a step that was claimed for us; hands it back if there is no room for it any more. */
  #takeHanded({ step, since }: HandedStep): boolean {
    if (!this.#handover.meet(step)) return false
    const isFitting =
      !this.#stopping.signal.aborted &&
      this.#inFlight.room(this.#options.concurrency) > 0 &&
      this.#roomOfExecutors()[step.executor] !== 0
    if (isFitting) {
      this.#inFlight.take([step], since)
      setTimeout(() => this.#sayBegun(step), BEGUN_AFTER_MS).unref()
    } else this.#inFlight.decline(step)
    return isFitting
  }

  /** What nobody prolongs within a minute counts as handed to a worker that has vanished. */
  #sayBegun(step: ClaimedStep): void {
    if (!this.#inFlight.has(step)) return
    const { engine, leaseSeconds } = this.#options
    engine.renewSteps([{ step_id: step.step_id, token: step.token }], leaseSeconds).then(
      ([answer]) => {
        if (answer?.outcome === 'lost') this.#inFlight.lose(step)
      },
      // The renewer's turn comes within half a minute.
      () => {},
    )
  }

  /** Nothing is handed to a worker that leaves; what was handed to it at the last moment goes back. A database that is away is not waited for. */
  async #leave(presence: Presence): Promise<void> {
    const patience = new AbortController()
    const sayGoodbye = async () => {
      await presence.leave()
      // Its notification may still be on its way.
      const { steps, since } = await this.#receive('look for handed steps', () =>
        this.#options.engine.handedSteps(presence.workerId),
      )
      if (!patience.signal.aborted) for (const step of steps) this.#takeHanded({ step, since })
    }
    await Promise.race([sayGoodbye(), sleep(LEAVE_PATIENCE_MS, undefined, { ref: false })])
    patience.abort()
  }

  /** What may be handed to this worker: a step of an executor that has room. */
  #takes(): HandedSteps {
    const roomOf = this.#roomOfExecutors()
    const hasRoom = this.#inFlight.room(this.#options.concurrency) > 0 && !this.#stopping.signal.aborted
    return {
      executors: hasRoom ? [...this.#options.executors.keys()].filter((name) => roomOf[name] !== 0) : [],
      channel: this.#handover.channel,
      lease_seconds: this.#options.leaseSeconds,
    }
  }

  /** What is left to those executors whose concurrency is limited. */
  #roomOfExecutors(): Record<string, number> {
    const limits = Object.entries(this.#options.concurrencyOf ?? {})
    return Object.fromEntries(
      limits.map(([executor, limit]) => [executor, Math.max(0, limit - this.#inFlight.runningOf(executor))]),
    )
  }

  async #claimSteps(
    claim: Pick<ClaimRequest, 'worker_id' | 'limit' | 'past'> & { room: Record<string, number> },
  ): Promise<{ steps: ClaimedStep[]; since: number }> {
    const { engine, executors, leaseSeconds } = this.#options
    const request = {
      ...claim,
      executors: [...executors.keys()],
      lease_seconds: leaseSeconds,
      room: Object.keys(claim.room).length > 0 ? claim.room : undefined,
    }
    return this.#receive('claim steps', () => engine.claimSteps(request))
  }

  /** `since`: from when the leases count here. */
  async #receive(
    what: string,
    call: () => Promise<ClaimedStep[]>,
  ): Promise<{ steps: ClaimedStep[]; since: number }> {
    try {
      return await this.#rideOut(what, async () => {
        const since = performance.now()
        return { since, steps: await call() }
      })
    } catch (error) {
      // A worker that leaves does not mind that there is nothing to claim.
      if (!this.#stopping.signal.aborted) this.#giveUp(error)
      return { steps: [], since: 0 }
    }
  }

  async #register(): Promise<Presence> {
    const { engine, executors, name, version, concurrency, settings } = this.#options
    const registration = { name, version, concurrency, settings, executors: [...executors.keys()] }
    this.#presence = await this.#rideOut('register', () => Presence.register(engine, registration, this.#log))
    return this.#presence
  }

  /** Notifications only save time: without them the worker polls. */
  async #listen(): Promise<Subscription | undefined> {
    const { engine, watch } = this.#options
    if (!watch || !engine.listen) return undefined
    try {
      return await engine.listen(
        ['ops_steps', this.#handover.channel],
        (channel, payload) => this.#hear(channel, payload),
        () => {
          this.#handover.miss()
          this.#wake.ring()
        },
      )
    } catch (error) {
      this.#log.warn(`cannot listen for work, so it is polled for: ${describeError(error)}`)
      return undefined
    }
  }

  /** There is work for whoever comes first, or a step for us. */
  #hear(channel: string, payload: string): void {
    if (channel === this.#handover.channel) {
      this.#presence?.wakeUp()
      this.#handover.hear(payload)
      if (!this.#isClaiming) this.#takeArrived()
    }
    this.#wake.ring()
  }

  #rideOut<T>(what: string, call: () => Promise<T>): Promise<T> {
    const giveUpAfterMs = this.#options.watch ? undefined : ONE_SHOT_PATIENCE_MS
    return rideOut(what, call, { log: this.#log, signal: this.#stopping.signal, giveUpAfterMs })
  }

  /** Ends the worker because of something that waiting does not mend, when what is under way is done. */
  #giveUp(error: unknown): void {
    this.#fatal ??= error
    this.#stopping.abort()
    this.#wake.ring()
  }
}

/** What each executor may see of the environment, picked once: looking through all of it takes longer than a step. */
function environmentsOf(executors: ExecutorRegistry, env: Environment): Workshop['envOf'] {
  const picked = new Map(
    [...executors.values()].map((executor) => [executor, Object.freeze(pickEnv(env, executor.env))]),
  )
  return (executor) => picked.get(executor) ?? pickEnv(env, executor.env)
}

/** The executors that got as many steps as they had room for. */
function filled(room: Record<string, number>, steps: ClaimedStep[]): Set<string> {
  const got = (executor: string) => steps.filter((step) => step.executor === executor).length
  return new Set(Object.keys(room).filter((executor) => got(executor) === room[executor]))
}
