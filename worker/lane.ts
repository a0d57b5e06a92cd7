import { isRetryable, type Lease } from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import { backoffMs, DATABASE_BACKOFF } from './backoff.js'
import { endOfTurn, Wake } from './wake.js'

/** Items of one call; the database takes up to 1,000. */
const MAX_ITEMS = 500
/** Calls at the same time, over a connection each. */
const MAX_CALLS = 2
/** So many items go beside a call that is under way; fewer are cheaper in the one after it. */
const WORTH_A_CALL = 100
/** Bytes of results in one call; a single larger one goes alone. */
const MAX_BYTES = 4 * 1024 * 1024

/** How a delivery ended: answered, refused for good by the database, or given up because the worker has to leave. */
export type Delivery<Answer> =
  | { end: 'answered'; answer: Answer | undefined }
  | { end: 'refused'; error: unknown }
  | { end: 'given up' }

/** What is carried, its size, and who wants to know how that ended. */
interface Parcel<Item, Answer> {
  item: Item
  bytes: number
  settle(delivery: Delivery<Answer>): void
}

export interface LaneOptions<Item, Answer> {
  /** The call in words, for the log: "complete steps". */
  what: string
  send(items: Item[]): Promise<Answer[]>
  /** Asked after a failed call: whether trying to deliver this item has become pointless. */
  isHopeless(item: Item): boolean
  log: Log
}

/**
 * Carries items of one sort to the database. While a call is under way the next ones gather and share the call after it: nothing
 * waits when there is little to do, and batches grow as soon as there is much. Where a hundred have
 * gathered they go beside it, so that the database has work while a commit is on its way to the disk, and both of its processors
 * while a worker drains.
 *
 * What cannot be delivered because the database is away is kept and sent again. When the database refuses a batch, each
 * item goes by itself, so that a bad one harms no other.
 */
export class Lane<Item extends Lease, Answer extends { step_id: string }> {
  #waiting: Parcel<Item, Answer>[] = []
  /** How many calls are under way, or about to be. */
  #calls = 0
  #failures = 0
  /** How long to wait before the next call after one that failed, in milliseconds. */
  #patience = 0
  readonly #wake = new Wake()

  constructor(private readonly options: LaneOptions<Item, Answer>) {}

  /** True while the database does not take what is sent. */
  get stalled(): boolean {
    return this.#failures > 0
  }

  /**
   * Takes an item for delivery. A batch of 500 is settled in one go, without a promise for each.
   *
   * @param settle called once, when the delivery has ended
   */
  deliver(item: Item, bytes: number, settle: (delivery: Delivery<Answer>) => void): void {
    this.#waiting.push({ item, bytes, settle })
    if (this.#mayCall(this.#calls)) void this.#run()
  }

  /** Ends a wait for the database and tries again now. */
  hurry(): void {
    this.#wake.ring()
  }

  async #run(): Promise<void> {
    this.#calls++
    await endOfTurn()
    while (this.#mayCall(this.#calls - 1)) {
      if (this.stalled) await this.#wake.wait(this.#patience)
      await this.#send(this.#nextBatch())
    }
    this.#calls--
  }

  /** Beside another call only what is worth one, and nothing to a database that is away. */
  #mayCall(others: number): boolean {
    if (others === 0) return this.#waiting.length > 0
    return others < MAX_CALLS && this.#waiting.length >= WORTH_A_CALL && !this.stalled
  }

  async #send(batch: Batch<Item, Answer>): Promise<void> {
    const parcels = [...batch.values()]
    let answers: Answer[]
    try {
      answers = await this.options.send(parcels.map(({ item }) => item))
    } catch (error) {
      if (isRetryable(error)) return this.#keep(parcels, error)
      this.#failures = 0
      const [only] = parcels
      if (parcels.length === 1) return only?.settle({ end: 'refused', error })
      for (const parcel of parcels) await this.#send(new Map([[parcel.item.step_id, parcel]]))
      return
    }
    this.#failures = 0
    for (const answer of answers) {
      batch.get(answer.step_id)?.settle({ end: 'answered', answer })
      batch.delete(answer.step_id)
    }
    for (const { settle } of batch.values()) settle({ end: 'answered', answer: undefined })
  }

  #keep(parcels: Parcel<Item, Answer>[], error: unknown): void {
    const hopeless = new Set(parcels.filter(({ item }) => this.options.isHopeless(item)))
    for (const { settle } of hopeless) settle({ end: 'given up' })
    this.#waiting.unshift(...parcels.filter((parcel) => !hopeless.has(parcel)))
    this.#patience = backoffMs(++this.#failures, DATABASE_BACKOFF)
    this.options.log.warn(
      { steps: parcels.length, given_up: hopeless.size, wait_ms: Math.round(this.#patience) },
      `cannot ${this.options.what}: ${describeError(error)}`,
    )
  }

  /** Answers are told apart by their step, so a step occurs once in a batch. */
  #nextBatch(): Batch<Item, Answer> {
    const batch: Batch<Item, Answer> = new Map()
    const later: Parcel<Item, Answer>[] = []
    let bytes = 0
    for (const parcel of this.#waiting) {
      const fits = batch.size === 0 || (batch.size < MAX_ITEMS && bytes + parcel.bytes <= MAX_BYTES)
      if (!fits || batch.has(parcel.item.step_id)) {
        later.push(parcel)
        continue
      }
      batch.set(parcel.item.step_id, parcel)
      bytes += parcel.bytes
    }
    this.#waiting = later
    return batch
  }
}

/** The parcels of one call by their steps. */
type Batch<Item, Answer> = Map<string, Parcel<Item, Answer>>
