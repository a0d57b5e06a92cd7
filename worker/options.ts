import type { Engine, WorkerRegistration } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import type { ExecutorRegistry } from '../executors/registry.js'
import type { Environment } from './environment.js'
import type { Receipt } from './outbox.js'
import type { MakeRenewer } from './renewer.js'

/** What the worker needs of the engine. */
export type WorkerEngine = Pick<
  Engine,
  | 'registerWorker'
  | 'workerHeartbeat'
  | 'claimSteps'
  | 'handedSteps'
  | 'renewSteps'
  | 'completeSteps'
  | 'failSteps'
  | 'snoozeSteps'
  | 'releaseSteps'
  | 'radarAdd'
  | 'radarUpdate'
  | 'radarList'
  | 'listen'
>

export interface WorkerOptions {
  engine: WorkerEngine
  executors: ExecutorRegistry
  /** 1 to 200 characters, for people. Several workers may share one. */
  name: string
  version: string
  /** Steps at the same time, from 1 to 1000. */
  concurrency: number
  /** Of single executors at most so many at the same time, from 1 to 1000, so that a slow one leaves room for the others. */
  concurrencyOf?: Readonly<Record<string, number>> | undefined
  /** Stay and wait for work; otherwise end when nothing is left to claim. */
  watch: boolean
  log: Log
  /** What keeps leases. Default: calls of `engine`, which an executor that blocks the event loop holds up. */
  makeRenewer?: MakeRenewer | undefined
  /** 1 to 86400. Default: what policy, then `settings`, say. */
  leaseSeconds?: number | undefined
  /** How often to look for work that nobody announced. Default 1000, and 1200 for a worker that is notified. */
  pollIntervalMs?: number | undefined
  /** How often to send a sign of life, which also brings news of policies and schema. Default 20 000. */
  heartbeatMs?: number | undefined
  /** What the environment says where policy is silent. */
  settings?: WorkerRegistration['settings']
  /** Where executors' variables come from, and secrets to mask. Default: the process's. */
  env?: Environment | undefined
}

/** How many attempts ended how. `failed` are dead letters, `retried` run again later. */
export type Summary = Record<Receipt['recorded'], number>

/** `drain`: finish what is under way. `release`: abort it and hand the steps back, which costs them nothing. */
export type StopMode = 'drain' | 'release'

export interface Worker {
  /**
   * Works until nothing is left or, when watching, until it is stopped. A database that is away is waited for; a worker
   * that does not watch gives up after a minute.
   *
   * @throws OpsError `OPS_011` when the schema is newer than this worker, and whatever cannot be waited out. Steps under
   * way are finished first.
   */
  start(): Promise<Summary>
  /** Claims nothing more; settles when all is recorded. Call it again with `release` when draining takes too long. */
  stop(mode: StopMode): Promise<void>
}
