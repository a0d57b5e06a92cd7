import { excerptOf, meaningOf, parseRetryAfter } from '../../channels/answer.js'
import type { Response } from '../../channels/request.js'
import { done, fail, type Outcome, retry } from '../define.js'
import { storableText, storableValue, withoutCutWord } from '../text.js'

/** What an answer means for the step: 2xx done, 5xx and "later" retried, anything else permanent. */
export function toOutcome(response: Response, now: Date): Outcome {
  const { status, headers } = response
  const meta = { status }
  const meaning = meaningOf(status)
  if (meaning === 'done') return done(toResult(response), { meta })
  if (status >= 300 && status < 400) {
    return fail(
      `${status} towards ${originOf(headers.location)}: redirects are not followed, name the final address`,
      {
        meta,
      },
    )
  }
  const error = `${status} ${excerptOf(response)}`.trim()
  if (meaning === 'never') return fail(error, { meta })
  return retry({ error, afterSeconds: parseRetryAfter(headers['retry-after'], now), meta })
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
      return { body: storableValue(JSON.parse(text)) }
    } catch {
      // Said to be JSON and is not: the text is the best there is.
    }
  }
  return { body: storableText(truncated ? withoutCutWord(text) : text) }
}

/** Only the origin: the rest of an address may hold a token. */
function originOf(location: string | undefined): string {
  return location && URL.canParse(location) ? new URL(location).origin : 'another address'
}
