import { AddressRefused } from './address.js'
import { excerptOf, meaningOf, parseRetryAfter } from './answer.js'
import { type Guard, type Request, type Response, send } from './request.js'

/** What a channel brings to people or programs. */
export interface Message {
  /** One line: what it is about. */
  title: string
  text?: string | undefined
  severity?: 'info' | 'warning' | 'critical' | undefined
  /** Where to look. */
  link?: string | undefined
  /** Short facts by name. */
  fields?: Record<string, string> | undefined
}

/**
 * What came of sending a message:
 *
 * - `delivered`: the other side took it; `detail` says under what number or name
 * - `later`: it did not, and may take it another time, not before `after_seconds` if that is given
 * - `refused`: it never will
 */
export type Delivery =
  | { outcome: 'delivered'; detail: Record<string, unknown> }
  | { outcome: 'later'; error: string; after_seconds?: number | undefined }
  | { outcome: 'refused'; error: string }

/** What every channel needs to know besides the message. */
export interface Sending {
  /** The same for every attempt to send this message, so that receivers can tell a repetition. */
  id: string
  signal: AbortSignal
}

/** Answers of webhooks are a word or two. */
const MAX_ANSWER_BYTES = 16 * 1024

/** Posts a body and reads the answer as a delivery. An abort by the caller's signal is thrown. */
export async function post(
  request: Pick<Request, 'url' | 'headers' | 'signal'> & { body: string },
  guard: Guard,
): Promise<Delivery> {
  let response: Response
  try {
    response = await send({ ...request, method: 'POST' }, guard, MAX_ANSWER_BYTES)
  } catch (error) {
    if (request.signal.aborted) throw error
    if (error instanceof AddressRefused) return { outcome: 'refused', error: error.message }
    return { outcome: 'later', error: reasonOf(error) }
  }
  return deliveryOf(response, new Date())
}

function deliveryOf(response: Response, now: Date): Delivery {
  const { status, headers } = response
  const error = `${status} ${excerptOf(response)}`.trim()
  switch (meaningOf(status)) {
    case 'done':
      return { outcome: 'delivered', detail: { status } }
    case 'later':
      return { outcome: 'later', error, after_seconds: parseRetryAfter(headers['retry-after'], now) }
    case 'never':
      return { outcome: 'refused', error }
  }
}

/** Several refused addresses of one name stand in an AggregateError without a message. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  return error instanceof Error ? error.message || error.name : String(error)
}
