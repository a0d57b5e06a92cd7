/** A network between client and server that can fall silent, as one does when a firewall forgets a connection. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { onFileEnd } from './fileEnd.js'

export interface Relay {
  /** The server's address, through the relay. */
  readonly url: string
  /** From now on nothing passes on connections that are open; nobody is told. New ones work. */
  silence(): void
  /** Breaks all connections. */
  cut(): void
  /** While false, new connections are refused by closing them at once. */
  accepts: boolean
}

/** Relays to the server of a database URL until the test file ends. */
export async function startRelay(databaseUrl: string): Promise<Relay> {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  const url = new URL(databaseUrl)
  const relay: Relay = {
    get url() {
      return url.href
    },
    accepts: true,
    silence() {
      for (const socket of sockets) socket.unpipe().resume()
    },
    cut() {
      for (const socket of sockets) socket.destroy()
    },
  }
  const server = createServer((client) => {
    if (!relay.accepts) return client.destroy()
    const upstream = connect(Number(target.port), target.hostname)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(from)
          to.destroy()
        })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address === 'object' && address !== null) url.port = String(address.port)
  onFileEnd(async () => {
    server.close()
    relay.cut()
  })
  return relay
}
