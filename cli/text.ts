import stringWidth from 'string-width'
import { colorsFor } from '../embedded/colors.js'
import { oneLine } from '../engine/harmless.js'

const colors = colorsFor(process.stdout)

/** Rows under their headings, in columns as wide as they need to be: a character may take two places of a terminal, or none. */
export function table(headings: readonly string[], values: readonly (readonly string[])[]): string {
  const rows = values.map((row) => row.map(oneLine))
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => stringWidth(row[column] ?? ''))),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - stringWidth(cell))))
      .join('  ')
      .trimEnd()
  return [colors.dim(line(headings)), ...rows.map(line)].join('\n')
}

/** `name  value` lines. Fields without a value are left out. */
export function fields(values: Record<string, string | number | null | undefined>): string {
  const present = Object.entries(values).filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  )
  const width = Math.max(0, ...present.map(([name]) => name.length))
  // What has several lines must not look like fields of ours.
  const indented = (value: unknown) => String(value).replaceAll('\n', `\n${' '.repeat(width + 2)}`)
  return present.map(([name, value]) => `${colors.dim(name.padEnd(width))}  ${indented(value)}`).join('\n')
}

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const

/** `3 min ago`, from an ISO timestamp. */
export function ago(timestamp: string | null, now = Date.now()): string {
  if (timestamp === null) return 'never'
  const seconds = Math.max(0, Math.round((now - Date.parse(timestamp)) / 1000))
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ['s', 1]
  return `${Math.floor(seconds / size)} ${unit} ago`
}

/** Text of one line, at most so long. */
export function short(text: string, length = 80): string {
  const line = text.replace(/\s+/g, ' ').trim()
  if (line.length <= length) return line
  // Not between the two halves of a character beyond the first 65,536, such as an emoji.
  return `${line.slice(0, length - 1).replace(/[\ud800-\udbff]$/, '')}…`
}

/** A value out of JSON as one line. */
export function plain(value: unknown): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** `1 step`, `2 steps`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
