import { colorsFor } from '../../embedded/colors.js'
import { summary } from '../doctor/describe.js'
import type { Finding } from '../doctor/finding.js'

const WORDS = { ok: 'ok', warning: 'warning', broken: 'BROKEN' } as const
/** Where nobody says how wide a line may be. */
const WIDTH = 140
const NARROWEST = 24

/** All findings as one table: for each line the verdict, what was found, and what to do next. Then the sum. */
export function verifyTable(findings: readonly Finding[], width = process.stdout.columns ?? WIDTH): string {
  const colors = colorsFor(process.stdout)
  const paint = { ok: colors.green, warning: colors.yellow, broken: colors.red }
  const first = Math.max('line'.length, ...findings.map(({ check }) => check.length))
  const second = 'warning'.length
  const rest = Math.max(2 * NARROWEST, width - first - second - 6)
  const third = Math.ceil(rest / 2)
  const lines = findings.flatMap(({ check, status, message, hint = 'nothing' }) => {
    const found = wrapped(message, third)
    const next = wrapped(hint, rest - third)
    return Array.from({ length: Math.max(found.length, next.length) }, (_, i) =>
      [
        (i === 0 ? check : '').padEnd(first),
        i === 0 ? paint[status](WORDS[status].padEnd(second)) : ' '.repeat(second),
        (found[i] ?? '').padEnd(third),
        next[i] ?? '',
      ]
        .join('  ')
        .trimEnd(),
    )
  })
  const heading = ['line'.padEnd(first), 'verdict', 'found'.padEnd(third), 'next action'].join('  ')
  return [colors.dim(heading), ...lines, '', summary(findings)].join('\n')
}

/** Text in lines of at most so many characters, broken between words where it can be. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = ['']
  for (const word of text.replace(/\s+/g, ' ').trim().split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line === '') lines[lines.length - 1] = word
    else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines.flatMap((line) => line.match(new RegExp(`.{1,${width}}`, 'g')) ?? [''])
}
