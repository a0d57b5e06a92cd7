import { colorsFor } from '../../embedded/colors.js'
import { count } from '../text.js'
import type { Finding } from './finding.js'

/** Findings for people: a line each, the way to mend it below, and the sum. */
export function describeFindings(findings: readonly Finding[]): string {
  const colors = colorsFor(process.stdout)
  const marks = { ok: colors.green('✓'), warning: colors.yellow('!'), broken: colors.red('✗') }
  const width = Math.max(...findings.map(({ check }) => check.length))
  const lines = findings.flatMap(({ check, status, message, hint }) => [
    `${marks[status]} ${check.padEnd(width)}  ${message}`,
    ...(hint === undefined ? [] : [colors.dim(`  ${' '.repeat(width)}  ${hint}`)]),
  ])
  return [...lines, '', summary(findings)].join('\n')
}

/** `1 thing broken, 2 warnings` */
export function summary(findings: readonly Finding[]): string {
  const of = (status: Finding['status']) => findings.filter((finding) => finding.status === status).length
  const parts = [
    of('broken') > 0 ? `${count(of('broken'), 'thing')} broken` : '',
    of('warning') > 0 ? count(of('warning'), 'warning') : '',
  ].filter(Boolean)
  return parts.length > 0 ? parts.join(', ') : 'All is well.'
}
