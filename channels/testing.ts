import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'

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

export interface Letter {
  from: string
  to: string[]
  /** Headers and body. */
  text: string
  user: string | undefined
}

export interface MailServer {
  /** With its port. */
  host: string
  /** What came in, in order. */
  letters: Letter[]
  close(): Promise<void>
}

/** The password that a mail server of tests takes. */
const PASSWORD = 'open sesame'

/** A mail server on this machine that keeps what it is sent. */
export async function mailServer(options: SMTPServerOptions = {}): Promise<MailServer> {
  const letters: Letter[] = []
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    onAuth: ({ username, password }, _session, callback) =>
      password === PASSWORD
        ? callback(null, { user: username })
        : callback(new Error('Invalid username or password')),
    onData(stream, { envelope, user }, callback) {
      let text = ''
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      stream.on('end', () => {
        const from = envelope.mailFrom ? envelope.mailFrom.address : ''
        letters.push({ from, to: envelope.rcptTo.map(({ address }) => address), text, user })
        callback()
      })
    },
    ...options,
  })
  // A client that hangs up is no news here.
  server.on('error', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const address = server.server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()))
  return { host: `127.0.0.1:${address.port}`, letters, close }
}
