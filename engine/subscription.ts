import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import { OpsError } from './errors.js'
import type { OnNotify, Subscription } from './types/engine.js'

export interface SubscriptionOptions {
  channels: readonly string[]
  onNotify: OnNotify
  /** Called when listening begins anew, because what was sent meanwhile is lost. */
  onGap(): void
  /** A client of a single connection, not yet open. */
  open(): postgres.Sql
  /** Notifies a channel over another connection. */
  notify(channel: string): Promise<unknown>
  /** How often the connection is tried, in milliseconds. Default 15 s. */
  echoEveryMs?: number
  /** How long an echo may take, in milliseconds. Default 5 s. */
  echoWithinMs?: number
  /** How long it may take to connect and to begin to listen, in milliseconds. Default 20 s. */
  listenWithinMs?: number
}

/**
 * Listens on a connection of its own, and makes sure that it is heard: a connection can die without a word (a firewall that
 * forgot it, a machine that is gone), and behind an unannounced transaction pooler notifications never arrive. So every now and
 * then it is notified over another connection; what brings no echo is replaced.
 *
 * @throws OpsError `OPS_001` when the first echo does not come; what opening the connection throws
 */
export async function subscribe(options: SubscriptionOptions): Promise<Subscription> {
  const stopping = new AbortController()
  let line = await Line.open(options)
  void keep()
  return {
    async stop() {
      stopping.abort()
      await line.close()
    },
  }

  async function keep(): Promise<void> {
    while (await pause(options.echoEveryMs ?? 15_000)) {
      if (line.isOpen && (await line.echo()) !== 'missing') continue
      await line.close()
      // Without a new one the next round tries again.
      line = await Line.open(options).catch(() => line)
      if (stopping.signal.aborted) await line.close()
      else if (line.isOpen) options.onGap()
    }
  }

  /** False when the subscription was stopped. */
  async function pause(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined)
    return !stopping.signal.aborted
  }
}

/** A connection that listens, until it is closed. postgres.js opens it again by itself when it breaks with a word. */
class Line {
  readonly #echoChannel = `ops_echo_${randomBytes(8).toString('hex')}`
  #onEcho = () => {}
  #isOpen = true

  private constructor(
    private readonly sql: postgres.Sql,
    private readonly options: SubscriptionOptions,
  ) {}

  static async open(options: SubscriptionOptions): Promise<Line> {
    const line = new Line(options.open(), options)
    try {
      const isListening = line.#listen().then(() => true)
      if (!(await Promise.race([isListening, after(options.listenWithinMs ?? 20_000)])))
        throw new OpsError('OPS_001', 'The database does not answer whoever wants to listen.')
      if ((await line.echo()) === 'heard') return line
      throw new OpsError(
        'OPS_001',
        'Notifications do not come through: is there a transaction pooler in between?',
        {
          hint: 'Listen over a direct or session connection, or add ?pgbouncer=true to DATABASE_URL to do without.',
        },
      )
    } catch (error) {
      await line.close()
      throw error
    }
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  async #listen(): Promise<void> {
    let isFirst = true
    const onListening = () => {
      if (!isFirst) this.options.onGap()
      isFirst = false
    }
    for (const channel of this.options.channels)
      await this.sql.listen(channel, (payload) => this.options.onNotify(channel, payload))
    // Listened to last, also when it begins anew.
    await this.sql.listen(this.#echoChannel, () => this.#onEcho(), onListening)
  }

  /** Whether a notification arrives in time. `untold`: it could not be sent, which says nothing about this connection. */
  async echo(): Promise<'heard' | 'missing' | 'untold'> {
    const within = this.options.echoWithinMs ?? 5000
    const heard = new Promise<'heard'>((resolve) => {
      this.#onEcho = () => resolve('heard')
    })
    const sent = this.options.notify(this.#echoChannel).then(
      () => 'sent',
      () => 'untold',
    )
    if ((await Promise.race([sent, heard, after(within)])) !== 'sent')
      return (await settled(heard)) ?? 'untold'
    return Promise.race([heard, after(within).then(() => 'missing' as const)])
  }

  async close(): Promise<void> {
    this.#isOpen = false
    await this.sql.end({ timeout: 0 })
  }
}

const after = (ms: number) => sleep(ms, undefined, { ref: false })

/** What a promise has come to by now. */
const settled = <T>(promise: Promise<T>) => Promise.race([promise, Promise.resolve(undefined)])
