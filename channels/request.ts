import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { AddressRefused, guardedLookup, isPublicAddress, type Resolve } from './address.js'

export interface Request {
  url: URL
  method: string
  headers: Record<string, string>
  body: string | undefined
  signal: AbortSignal
}

export interface Response {
  status: number
  headers: Record<string, string>
  body: Buffer
  /** The body was longer than the limit; the rest was not read. */
  truncated: boolean
}

/** Decides which addresses may be connected to, when the connection is made. */
export interface Guard {
  isAllowed(address: string): boolean
  lookup: LookupFunction
}

/** @param resolve default: the system's resolver */
export function createGuard(isAllowed: (address: string) => boolean, resolve?: Resolve): Guard {
  return { isAllowed, lookup: guardedLookup(isAllowed, resolve) }
}

/** Only hosts on the public internet. */
export const publicOnly: Guard = createGuard(isPublicAddress)

/** Every host: for addresses that only operators name. */
export const anyAddress: Guard = createGuard(() => true)

/**
 * One request on a connection of its own, so that no pooled socket can bypass the guard. Follows no redirects.
 *
 * @throws AddressRefused for a forbidden address; otherwise what Node says about the connection.
 */
export async function send(request: Request, guard: Guard, maxBytes: number): Promise<Response> {
  const { url, method, headers, body, signal } = request
  // Sockets do not look up what is an address already.
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) && !guard.isAllowed(host)) throw new AddressRefused(host, host)

  const open = url.protocol === 'https:' ? httpsRequest : httpRequest
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = open(url, { method, headers, signal, lookup: guard.lookup, agent: false })
    outgoing.on('response', resolve)
    outgoing.on('error', reject)
    // Node says no more than this of a server that switches protocols, and aborting ends nothing any more.
    outgoing.on('close', () => reject(new Error('the connection was closed without an answer')))
    outgoing.end(body)
  })
  return { status: answer.statusCode ?? 0, headers: flatten(answer), ...(await readBody(answer, maxBytes)) }
}

async function readBody(answer: IncomingMessage, maxBytes: number) {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of answer) {
    const bytes: Buffer = Buffer.from(chunk)
    size += bytes.length
    chunks.push(bytes)
    if (size > maxBytes) break
  }
  const body = Buffer.concat(chunks)
  return { body: body.subarray(0, maxBytes), truncated: body.length > maxBytes }
}

function flatten(answer: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return headers
}
