import { InvalidArgumentError } from 'commander'

const SECONDS = { m: 60, h: 3600, d: 86_400, w: 604_800 } as const

/** For commander: a moment in the past, as `7d`, `12h`, `30m`, `2w` ago or as a date. */
export function since(text: string): Date {
  const [, number, unit] = /^(\d{1,6})([mhdw])$/.exec(text) ?? []
  if (number !== undefined && (unit === 'm' || unit === 'h' || unit === 'd' || unit === 'w'))
    return new Date(Date.now() - Number(number) * SECONDS[unit] * 1000)
  const date = /^\d{4}-\d{2}-\d{2}/.test(text) ? new Date(text) : undefined
  if (date === undefined || Number.isNaN(date.getTime()))
    throw new InvalidArgumentError('Write it as 7d, 12h or 30m, or as a date such as 2026-01-31.')
  if (date.getTime() > Date.now()) throw new InvalidArgumentError('It must lie in the past.')
  return date
}
