import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { EngineOptions, Lease } from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import type { MakeRenewer, RenewalEvents, Renewer, TimedLease } from './renewer.js'
import { claimOf, type FromThread, sharedClock, type ThreadStart, type ToThread } from './renewer-messages.js'

/**
 * Renews leases in a thread of its own, over a connection of its own, so that an executor which keeps the event loop from
 * turning does not lose its lease. The thread starts with the first lease, and loads what renews when one gets old.
 *
 * @param instead takes over should the thread fail
 */
export function renewInThread(connection: EngineOptions, instead: MakeRenewer, log: Log): MakeRenewer {
  return (events) => new ThreadRenewer(connection, () => instead(events), log, events)
}

class ThreadRenewer implements Renewer {
  readonly #held = new Map<string, { lease: TimedLease; first: number; number: number }>()
  /** What the thread is to forget: the number of a claim's first lease, and that of the lease, in turn. */
  #dropped: number[] = []
  #next = 0
  #thread: { worker: Worker; port: MessagePort } | undefined
  #instead: Renewer | undefined
  #closed = false

  constructor(
    private readonly connection: EngineOptions,
    private readonly instead: () => Renewer,
    private readonly log: Log,
    private readonly events: RenewalEvents,
  ) {}

  /** The leases are in the thread's hands when this returns: executors run after it, and the first may keep us from sending. */
  hold(leases: readonly TimedLease[]): void {
    // A claim that found nothing.
    if (leases.length === 0) return
    const first = this.#next
    for (const lease of leases) this.#held.set(lease.step_id, { lease, first, number: this.#next++ })
    if (this.#instead) {
      this.#instead.hold(leases)
      return
    }
    this.#thread ??= this.#start()
    this.#thread.port.postMessage({ hold: claimOf(leases, first) } satisfies ToThread)
  }

  drop(lease: Lease): void {
    const held = this.#held.get(lease.step_id)
    if (held?.lease.token !== lease.token) return
    this.#held.delete(lease.step_id)
    if (this.#instead) this.#instead.drop(lease)
    else this.#forget(held.first, held.number)
  }

  catchUp(): void {
    const port = this.#thread?.port
    if (port === undefined) return
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
      this.#hear(next.message)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#thread?.port.close()
    await this.#thread?.worker.terminate()
    await this.#instead?.close()
  }

  #start() {
    const { port1: port, port2 } = new MessageChannel()
    const start: ThreadStart = { connection: this.connection, port: port2 }
    const worker = new Worker(new URL('./renewer-thread.mjs', import.meta.url), {
      name: 'lease renewer',
      workerData: start,
      transferList: [port2],
      // The program's own loaders and flags are not the thread's.
      execArgv: [],
    })
    port.on('message', (message: FromThread) => this.#hear(message))
    worker.on('error', (error) => this.#takeOver(describeError(error)))
    worker.on('exit', () => this.#takeOver('it ended'))
    port.unref()
    worker.unref()
    return { worker, port }
  }

  /** Those of one answer of the database in one message. */
  #forget(first: number, number: number): void {
    if (this.#dropped.push(first, number) > 2) return
    queueMicrotask(() => {
      this.#thread?.port.postMessage({ drop: this.#dropped } satisfies ToThread)
      this.#dropped = []
    })
  }

  #hear(message: FromThread): void {
    if ('renewed' in message) this.events.onRenewed(message.renewed, sharedClock.toLocal(message.since))
    else if ('lost' in message) this.events.onLost(message.lost)
    else this.log[message.log](message.fields, message.message)
  }

  #takeOver(reason: string): void {
    if (this.#closed || this.#instead) return
    this.log.error(`leases are renewed without a thread from now on, because it failed: ${reason}`)
    this.#thread?.port.close()
    this.#thread = undefined
    this.#instead = this.instead()
    this.#instead.hold([...this.#held.values()].map(({ lease }) => lease))
  }
}
