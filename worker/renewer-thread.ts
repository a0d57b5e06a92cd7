import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { EngineOptions, Lease } from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import type { MakeRenewer, RenewalEvents, Renewer, TimedLease } from './renewer.js'
import { type FromThread, sharedClock, type ThreadStart, type ToThread } from './renewer-messages.js'

/**
 * Renews leases in a thread of its own, over a connection of its own, so that an executor which keeps the event loop from
 * turning does not lose its lease. The thread starts with the first lease.
 *
 * @param instead takes over should the thread fail
 */
export function renewInThread(connection: EngineOptions, instead: MakeRenewer, log: Log): MakeRenewer {
  return (events) => new ThreadRenewer(connection, () => instead(events), log, events)
}

class ThreadRenewer implements Renewer {
  readonly #held = new Map<string, TimedLease>()
  #toThread: ToThread = { hold: [], drop: [] }
  #thread: { worker: Worker; port: MessagePort } | undefined
  #instead: Renewer | undefined
  #closed = false

  constructor(
    private readonly connection: EngineOptions,
    private readonly instead: () => Renewer,
    private readonly log: Log,
    private readonly events: RenewalEvents,
  ) {}

  hold(lease: TimedLease): void {
    this.#held.set(lease.step_id, lease)
    if (this.#instead) {
      this.#instead.hold(lease)
      return
    }
    this.#thread ??= this.#start()
    this.#gather().hold.push({ ...lease, since: sharedClock.of(lease.since) })
  }

  drop({ step_id, token }: Lease): void {
    if (this.#held.get(step_id)?.token === token) this.#held.delete(step_id)
    if (this.#instead) this.#instead.drop({ step_id, token })
    else this.#gather().drop.push({ step_id, token })
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

  /**
   * What is to be sent at the end of this task. Executors run after it: all that were claimed with them are in the thread's
   * hands before the first can keep us from sending.
   */
  #gather(): ToThread {
    if (this.#toThread.hold.length + this.#toThread.drop.length === 0) queueMicrotask(() => this.#send())
    return this.#toThread
  }

  #send(): void {
    this.#thread?.port.postMessage(this.#toThread)
    this.#toThread = { hold: [], drop: [] }
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
    for (const lease of this.#held.values()) this.#instead.hold(lease)
  }
}
