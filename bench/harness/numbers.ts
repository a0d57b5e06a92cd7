import type { Subject, Table } from './types.js'

export function median(list: readonly number[]): number {
  return percentile(list, 50)
}

/** The nearest rank: a number that was really measured. */
export function percentile(list: readonly number[], percent: number): number {
  const sorted = [...list].sort((a, b) => a - b)
  const rank = Math.ceil((percent / 100) * sorted.length)
  return sorted[Math.max(0, rank - 1)] ?? Number.NaN
}

/** What was measured in the same rounds, compared within each: a machine that gets slower meanwhile is slower for both. */
export interface Paired {
  /** The median of the rounds' ratios. */
  ratio: number
  /** The middle half of them lies between these two. */
  low: number
  high: number
}

/** How many times `list` is of `base`, round by round. A round that one of them lacks does not count. */
export function paired(list: readonly number[], base: readonly number[]): Paired {
  const ratios = list.slice(0, base.length).map((value, round) => value / (base[round] ?? Number.NaN))
  return { ratio: median(ratios), low: percentile(ratios, 25), high: percentile(ratios, 75) }
}

/** How many times better the table's first subject is than this one; above 1 it is ahead, whichever way the metric runs. */
export function ratio(table: Table, subject: Subject): number {
  const ours = median(table.subjects[0]?.rounds ?? [])
  const theirs = median(subject.rounds)
  return table.better === 'higher' ? ours / theirs : theirs / ours
}

/** Three significant digits, thousands set off. */
export function show(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return Number(value.toPrecision(Math.abs(value) >= 100 ? 4 : 3)).toLocaleString('en', {
    maximumFractionDigits: digits,
  })
}
