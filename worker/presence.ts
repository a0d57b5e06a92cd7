import { totalmem } from 'node:os'
import { z } from 'zod'
import {
  type Engine,
  type HandedSteps,
  isRetryable,
  OpsError,
  type WorkerRegistration,
  type WorkerSettings,
} from '../engine/index.js'
import { type AgentRole, describeError, type ExecutorPolicy, type Log } from '../executors/define.js'
import { jittered } from './backoff.js'
import { readWorkerPolicy } from './policy.js'
import { pause } from './wake.js'

/** The newest database schema that this worker understands: the number of its last migration. */
export const SCHEMA_VERSION = 2

/** A worker counts as gone when it has been silent for some minutes. */
const HEARTBEAT_MS = 20_000

type PresenceEngine = Pick<Engine, 'registerWorker' | 'workerHeartbeat'>

const roleSchema = z.object({
  instructions: z.string().optional(),
  model: z.string().optional(),
  tools: z.array(z.string()).optional(),
  temperature: z.number().optional(),
})

/** This worker as the database knows it: what it told about itself, and what it was told. */
export class Presence {
  /** What we are handed while we sleep until notified, as the database knows it; undefined while it thinks that we do not. */
  #asleep: HandedSteps | undefined
  /** How often we have been woken. */
  #wakings = 0
  /** The database has been migrated past this worker. */
  #outdated: OpsError | undefined
  #registering: Promise<void> | undefined

  private constructor(
    private readonly engine: PresenceEngine,
    private readonly registration: WorkerRegistration,
    private readonly log: Log,
    private settings: WorkerSettings,
  ) {}

  /** @throws OpsError `OPS_011` when the database's schema is newer than this worker understands */
  static async register(
    engine: PresenceEngine,
    registration: Omit<WorkerRegistration, 'schema_version'>,
    log: Log,
  ) {
    const complete = { ...registration, schema_version: SCHEMA_VERSION }
    return new Presence(engine, complete, log, await engine.registerWorker(complete))
  }

  get workerId(): string {
    return this.settings.worker_id
  }

  /** The agent's entry in policy `agent_roles`, as of the last heartbeat. */
  roleOf(agent: string | null): AgentRole | undefined {
    return agent === null ? undefined : roleSchema.safeParse(this.settings.agent_roles[agent]).data
  }

  /** What policy `worker_policy` lets executors do, as of the last heartbeat. */
  get policy(): ExecutorPolicy {
    return readWorkerPolicy(this.settings.worker_policy)
  }

  /**
   * Asks to be notified of work from now on, and to be handed some of it. Answers true when it is news to the database that we sleep:
   * work may have come in the meantime, so look once more before you do.
   */
  async fallAsleep(takes: HandedSteps): Promise<boolean> {
    const before = this.#asleep
    if (before && same(before, takes)) return false
    await this.#beat(takes)
    return before === undefined && this.#asleep !== undefined
  }

  /** We were handed something: to the database we are awake until we fall asleep again. */
  wakeUp(): void {
    this.#wakings++
    this.#asleep = undefined
  }

  /** Nothing is to be handed to us any more. */
  async leave(): Promise<void> {
    if (this.#asleep) await this.#beat(undefined)
  }

  /**
   * Sends a sign of life every now and then until the signal is aborted.
   *
   * @param asleep what a notification could hand to the worker at this moment; undefined when none could wake it
   * @param onOutdated called when the database has been migrated past this worker
   */
  async keep(
    signal: AbortSignal,
    asleep: () => HandedSteps | undefined,
    onOutdated: (error: OpsError) => void,
    everyMs = HEARTBEAT_MS,
  ): Promise<void> {
    while (!signal.aborted) {
      await pause(jittered(everyMs), signal)
      if (signal.aborted) return
      await this.#beat(asleep())
      if (this.#outdated) onOutdated(this.#outdated)
    }
  }

  async #beat(asleep: HandedSteps | undefined): Promise<void> {
    const { workerId } = this
    const wakings = this.#wakings
    try {
      const health = { memory_percent: memoryPercent() }
      const takes = asleep && asleep.executors.length > 0 ? asleep : undefined
      this.settings = await this.engine.workerHeartbeat(workerId, asleep !== undefined, health, takes)
      // Who was woken while it lay down is awake.
      if (wakings === this.#wakings) this.#asleep = asleep
      const { schema_version } = this.settings
      if (schema_version > SCHEMA_VERSION)
        this.#outdated = outdated(schema_version, this.registration.version)
    } catch (error) {
      // Nobody has to be told about us for the work to go on.
      this.log[isRetryable(error) ? 'warn' : 'error'](`cannot send a sign of life: ${describeError(error)}`)
      if (error instanceof OpsError && error.code === 'OPS_013') await this.#registerAgain(workerId)
    }
  }

  /** The database has forgotten us: it was restored from a backup, or tidied up. Once, also when two beats have heard of it. */
  async #registerAgain(forgotten: string): Promise<void> {
    if (forgotten !== this.workerId) return
    this.#registering ??= this.#register().finally(() => {
      this.#registering = undefined
    })
    await this.#registering
  }

  async #register(): Promise<void> {
    try {
      this.settings = await this.engine.registerWorker(this.registration)
      this.#asleep = undefined
    } catch (error) {
      // So it refuses workers that it is too new for.
      if (error instanceof OpsError && error.code === 'OPS_011') this.#outdated = error
      this.log.error(`cannot register again: ${describeError(error)}`)
    }
  }
}

function same(one: HandedSteps, other: HandedSteps): boolean {
  return String(one.executors) === String(other.executors)
}

function outdated(schema: number, version: string): OpsError {
  return new OpsError(
    'OPS_011',
    `the database has schema ${schema}, this worker (${version}) understands up to ${SCHEMA_VERSION}`,
    { hint: 'update the worker' },
  )
}

/** What this process takes of the memory that its container or machine allows it, with one decimal. */
function memoryPercent(): number {
  const limits = [totalmem(), process.constrainedMemory()].filter((bytes) => bytes > 0)
  return Math.round((1000 * process.memoryUsage.rss()) / Math.min(...limits)) / 10
}
