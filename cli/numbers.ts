import { InvalidArgumentError } from 'commander'

/** For commander: a whole number in a range. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= least && number <= most) return number
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
  }
}

export const port = wholeNumber(1, 65_535)

const limit = wholeNumber(1, 1000)

/** For commander, collecting: `minion=2` says how many steps of one executor may run at the same time. */
export function executorLimit(text: string, others: Record<string, number> = {}): Record<string, number> {
  const [, executor, number] = /^([a-z][a-z0-9_-]*)=(.*)$/.exec(text) ?? []
  if (executor === undefined || number === undefined)
    throw new InvalidArgumentError('Write it as executor=number, such as minion=2.')
  return { ...others, [executor]: limit(number) }
}
