import { describeError, type Log } from '../executors/define.js'
import { toStorable } from './results.js'

/** Takes every secret out of a text. */
export type Mask = (text: string) => string

export const MASKED = '[masked]'

/**
 * Makes a mask for these values, also where they stand inside JSON, an address or base64. Where one contains another, the
 * longer one goes first.
 */
export function createMask(secrets: readonly string[]): Mask {
  if (secrets.length === 0) return (text) => text
  const longestFirst = [...new Set(secrets.flatMap(formsOf))].sort((a, b) => b.length - a.length)
  const pattern = new RegExp(longestFirst.map(escapeRegExp).join('|'), 'g')
  return (text) => text.replace(pattern, MASKED)
}

/** A secret as programs write it: as it is, in JSON, in an address, in a form, in base64, in hexadecimal. */
function formsOf(secret: string): string[] {
  const inAddress = encoded(secret)
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    inAddress,
    inAddress.replaceAll('%20', '+'),
    inAddress.replaceAll(/%[0-9A-F]{2}/g, (octet) => octet.toLowerCase()),
    Buffer.from(secret).toString('hex'),
    ...inBase64(secret),
  ]
}

function encoded(text: string): string {
  // Half a surrogate pair, which no address can hold.
  return encodeURIComponent(text.replaceAll(/\p{Surrogate}/gu, '\uFFFD'))
}

/** Fewer characters of base64 than these occur by chance. */
const SHORTEST_BASE64 = 8

/**
 * What base64 makes of a secret at each of the three places where it can begin in a group of three bytes, as in `user:secret`,
 * less the characters that its neighbours have a part in.
 */
function inBase64(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const own = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replaceAll('=', '')
    return text.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3))
  })
  const long = own.filter((text) => text.length >= SHORTEST_BASE64)
  return [...long, ...long.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'))]
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

/** A log in front of another that masks messages and fields. */
export function maskedLog(log: Log, mask: Mask, bindings: object = {}): Log {
  const method = (level: keyof Log) => (first: string | object, message?: string) => {
    const fields = typeof first === 'string' ? bindings : { ...bindings, ...first }
    log[level](maskFields(fields, mask), mask(message ?? (typeof first === 'string' ? first : '')))
  }
  return { debug: method('debug'), info: method('info'), warn: method('warn'), error: method('error') }
}

function maskFields(fields: object, mask: Mask): object {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (value instanceof Error)
        return [name, { message: mask(describeError(value)), stack: mask(value.stack ?? '') }]
      if (value === undefined || Number.isFinite(value)) return [name, value]
      if (typeof value === 'string') return [name, mask(value)]
      const storable = toStorable(value, { mask, path: name })
      return [name, storable.ok ? storable.value : storable.problem.message]
    }),
  )
}
