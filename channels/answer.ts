/** Client errors that say "later", not "never": a timeout, too early, too many. */
const LATER = new Set([408, 425, 429])

/** Longest wait that a `Retry-After` can ask for, in seconds: one day. */
const LONGEST_WAIT = 86_400

/** What a status means for the one who asked: 2xx is done, 5xx and "later" may be tried again, anything else is final. */
export function meaningOf(status: number): 'done' | 'later' | 'never' {
  if (status >= 200 && status < 300) return 'done'
  return status >= 500 || LATER.has(status) ? 'later' : 'never'
}

/**
 * Seconds to wait, from a number of seconds or an HTTP date; at most a day. Undefined when there is nothing to go by.
 */
export function parseRetryAfter(value: string | undefined, now: Date): number | undefined {
  if (!value) return undefined
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - now.getTime()) / 1000)
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 0), LONGEST_WAIT)
}

const MAX_EXCERPT = 300

/**
 * The beginning of an error's body: services say there what they did not like. It does not end in the middle of a word: half a
 * secret is known to nobody who masks it.
 */
export function excerptOf({ headers, body }: { headers: Record<string, string>; body: Buffer }): string {
  if (!/^text\/plain|json/i.test(headers['content-type'] ?? '')) return ''
  const text = body.subarray(0, MAX_EXCERPT).toString('utf8')
  const whole = body.length > MAX_EXCERPT ? text.replace(/[^\s"',;]*$/, '') : text
  return whole.replaceAll(/\s+/g, ' ').trim()
}
