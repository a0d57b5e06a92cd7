import { describeError, type Log } from '../executors/define.js'
import { toStorable } from './results.js'

/** Takes every secret out of a text. */
export type Mask = (text: string) => string

export const MASKED = '[masked]'

/** Makes a mask for these values. Where one contains another, the longer one goes first. */
export function createMask(secrets: readonly string[]): Mask {
  if (secrets.length === 0) return (text) => text
  const longestFirst = secrets.toSorted((a, b) => b.length - a.length)
  const pattern = new RegExp(longestFirst.map(escapeRegExp).join('|'), 'g')
  return (text) => text.replace(pattern, MASKED)
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
