import { InvalidArgumentError } from 'commander'

const SECONDS = { m: 60, h: 3600, d: 86_400, w: 604_800 } as const

/**
 * For commander: a moment in the past, as `7d`, `12h`, `30m`, `2w` ago or as a date. What is longer ago than 1970 stands for all there
 * is.
 */
export function since(text: string): Date {
  const moment = ago(text) ?? dated(text)
  if (moment === undefined)
    throw new InvalidArgumentError('Write it as 7d, 12h or 30m, or as a date such as 2026-01-31.')
  if (moment > Date.now()) throw new InvalidArgumentError('It must lie in the past.')
  return new Date(Math.max(0, moment))
}

function ago(text: string): number | undefined {
  const [, number, unit] = /^([1-9]\d{0,5})([mhdw])$/.exec(text) ?? []
  if (unit !== 'm' && unit !== 'h' && unit !== 'd' && unit !== 'w') return undefined
  return Date.now() - Number(number) * SECONDS[unit] * 1000
}

function dated(text: string): number | undefined {
  const [day] = /^\d{4}-\d{2}-\d{2}/.exec(text) ?? []
  const moment = Date.parse(text)
  if (day === undefined || Number.isNaN(moment)) return undefined
  // JavaScript takes February 31 for March 3.
  return new Date(day).toISOString().startsWith(day) ? moment : undefined
}
