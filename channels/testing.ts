import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createGuard, type Guard } from './request.js'

/** Lets requests through to servers on this machine. */
export const anyAddress: Guard = createGuard(() => true)

export interface Received {
  method: string | undefined
  path: string | undefined
  headers: IncomingMessage['headers']
  body: string
}

export interface TestServer {
  url: string
  port: number
  /** What came in, in order. */
  received: Received[]
  close(): Promise<void>
}

export type Handler = (request: Received, response: ServerResponse) => void | Promise<void>

/** A web server on this machine that keeps what it is sent. */
export async function serve(handler: Handler): Promise<TestServer> {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const one = { method: request.method, path: request.url, headers: request.headers, body }
    received.push(one)
    await handler(one, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const close = async () => {
    if (!server.listening) return
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  return { url: `http://127.0.0.1:${address.port}`, port: address.port, received, close }
}

/** Answers every request alike. */
export const answering =
  (status: number, headers: Record<string, string> = {}, body = ''): Handler =>
  (_request, response) =>
    void response.writeHead(status, headers).end(body)
