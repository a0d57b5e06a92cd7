import { done, fail, type Outcome, retry } from '../define.js'
import type { Response } from './request.js'

/** Client errors that say "later", not "never": a timeout, too early, too many. */
const LATER = new Set([408, 425, 429])

/** Longest wait that a `Retry-After` can ask for, in seconds: one day. */
const LONGEST_WAIT = 86_400

/** What an answer means for the step: 2xx done, 5xx and "later" retried, anything else permanent. */
export function toOutcome(response: Response, now: Date): Outcome {
  const { status, headers } = response
  const meta = { status }
  if (status >= 200 && status < 300) return done(toResult(response), { meta })
  if (status >= 300 && status < 400) {
    return fail(
      `${status} towards ${originOf(headers.location)}: redirects are not followed, name the final address`,
      {
        meta,
      },
    )
  }
  const error = `${status} ${excerpt(response)}`.trim()
  if (status < 500 && !LATER.has(status)) return fail(error, { meta })
  return retry({ error, afterSeconds: parseRetryAfter(headers['retry-after'], now), meta })
}

/**
 * Seconds to wait, from a number of seconds or an HTTP date; at most a day. Undefined when there is nothing to go by.
 */
export function parseRetryAfter(value: string | undefined, now: Date): number | undefined {
  if (!value) return undefined
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - now.getTime()) / 1000)
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 0), LONGEST_WAIT)
}

function toResult({ status, headers, body, truncated }: Response) {
  // Cookies are credentials of a session that ends here.
  const { 'set-cookie': _, ...kept } = headers
  return { status, headers: kept, ...readBody(headers, body, truncated), ...(truncated && { truncated }) }
}

/** JSON as a value, text as text, anything else as its size. */
function readBody(headers: Record<string, string>, body: Buffer, truncated: boolean) {
  const type = headers['content-type'] ?? ''
  const isText = /^text\/|[/+](json|xml|x-www-form-urlencoded|javascript)\b/i.test(type)
  if (body.length === 0) return { body: null }
  if (!isText || headers['content-encoding']) return { body: null, body_bytes: body.length }
  const text = body.toString('utf8')
  if (!truncated && /[/+]json\b/i.test(type)) {
    try {
      return { body: JSON.parse(text) as unknown }
    } catch {
      // Said to be JSON and is not: the text is the best there is.
    }
  }
  return { body: text.replaceAll('\0', '\uFFFD') }
}

/** The beginning of an error's body: services say there what they did not like. */
function excerpt({ headers, body }: Response): string {
  if (!/^text\/plain|json/i.test(headers['content-type'] ?? '')) return ''
  return body.subarray(0, 300).toString('utf8').replaceAll(/\s+/g, ' ').trim()
}

/** Only the origin: the rest of an address may hold a token. */
function originOf(location: string | undefined): string {
  return location && URL.canParse(location) ? new URL(location).origin : 'another address'
}
