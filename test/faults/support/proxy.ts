/**
 * A TCP proxy of our own, in front of Postgres or PostgREST: it delays, cuts, goes silent, and stops calls of single functions on
 * their way there or back.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { onFileEnd } from '../../support/fileEnd.js'
import { type CallReader, httpCalls, postgresCalls } from './wire.js'

/**
 * `call`: the call does not arrive; before COMMIT.
 * `answer`: the call arrives and takes effect, but its answer does not come back; after COMMIT.
 */
export type Stopped = 'call' | 'answer'

interface Trap {
  fn: string
  what: Stopped
  meet(caught: Caught): void
}

/** A connection that hangs in the middle of a call. */
export interface Caught {
  /** Resets it: both ends notice. */
  cut(): void
}

interface Link {
  client: Socket
  server: Socket
  calls: CallReader
  /** Answers of this link are dropped from now on. */
  mute: boolean
  /** Nothing of this link is carried any more, in either direction. */
  dead: boolean
}

export class TcpProxy {
  /** Added to every piece that is carried, in milliseconds. */
  delayMs = 0
  /** New connections are reset. */
  refusing = false
  readonly #links = new Set<Link>()
  readonly #traps: Trap[] = []

  private constructor(
    readonly port: number,
    private target: { host: string; port: number },
    private readonly speaks: () => CallReader,
  ) {}

  /** Stands in front of the server of a URL. */
  static async before(target: string, protocol: 'postgres' | 'http' = 'postgres'): Promise<TcpProxy> {
    const { hostname, port } = new URL(target)
    const listener = createServer({ allowHalfOpen: false })
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const address = listener.address()
    if (address === null || typeof address === 'string') throw new Error('expected a port')
    const proxy = new TcpProxy(
      address.port,
      { host: hostname, port: Number(port) },
      protocol === 'http' ? httpCalls : postgresCalls,
    )
    listener.on('connection', (client) => proxy.#accept(client))
    onFileEnd(async () => {
      proxy.cut()
      listener.close()
    })
    return proxy
  }

  /** The same URL by way of this proxy. */
  url(target: string): string {
    const url = new URL(target)
    url.hostname = '127.0.0.1'
    url.port = String(this.port)
    return url.href
  }

  /** Leads new connections elsewhere, as an address that moves to another server does. */
  redirect(port: number): void {
    this.target = { ...this.target, port }
  }

  /** Resets every connection. */
  cut(): void {
    for (const link of this.#links) destroy(link)
  }

  /** From now on nothing is carried and nobody is told: connections stay open, half of them dead. New ones work. */
  halfOpen(): void {
    for (const link of this.#links) link.dead = true
  }

  /** Stops the next call of a function; resolves when it is met. */
  catch(fn: string, what: Stopped): Promise<Caught> {
    return new Promise((meet) => this.#traps.push({ fn, what, meet }))
  }

  #accept(client: Socket): void {
    if (this.refusing) {
      client.resetAndDestroy()
      return
    }
    const link: Link = {
      client,
      server: connect(this.target.port, this.target.host),
      calls: this.speaks(),
      mute: false,
      dead: false,
    }
    this.#links.add(link)
    for (const socket of [link.client, link.server]) {
      socket.setNoDelay(true)
      socket.on('error', () => destroy(link))
      socket.on('close', () => {
        // A dead link's ends do not learn of each other.
        if (!link.dead) destroy(link)
        if (link.client.destroyed && link.server.destroyed) this.#links.delete(link)
      })
    }
    this.#carry(link, link.client, link.server, (data) => !this.#isTrapped(link, data))
    this.#carry(link, link.server, link.client, () => !link.mute)
  }

  #carry(link: Link, from: Socket, to: Socket, mayPass: (data: Buffer) => boolean): void {
    let last: Promise<void> = Promise.resolve()
    from.on('data', (data) => {
      if (link.dead || !mayPass(data)) return
      const wait = this.delayMs
      if (wait === 0) last = last.then(() => void to.write(data))
      else last = Promise.all([last, sleep(wait)]).then(() => void to.write(data))
    })
  }

  /** Whether this piece of the client's must not arrive. */
  #isTrapped(link: Link, data: Buffer): boolean {
    const called = link.calls(data)
    const index = this.#traps.findIndex(({ fn }) => called.includes(fn))
    const [trap] = index < 0 ? [] : this.#traps.splice(index, 1)
    if (trap === undefined) return false
    const caught = { cut: () => destroy(link) }
    if (trap.what === 'call') {
      link.dead = true
      trap.meet(caught)
      return true
    }
    link.mute = true
    // The server has done its work as soon as it begins to answer.
    link.server.once('data', () => trap.meet(caught))
    return false
  }
}

function destroy({ client, server }: Link): void {
  client.resetAndDestroy()
  server.resetAndDestroy()
}
