import { median, ratio, show } from './numbers.js'
import type { Goal, Table } from './types.js'

/** A table as Markdown, so that it can go into README.md as it is. */
export function markdown(table: Table): string {
  const lines = [
    `**${table.metric}**, ${table.unit} (${table.better} is better)`,
    '',
    '| | median | rounds | ratio |',
    '|---|---|---|---|',
    ...table.subjects.map((subject, index) => {
      if (subject.missing !== undefined) return `| ${subject.name} | missing | ${subject.missing} | |`
      const rounds = subject.rounds.map(show).join(', ')
      const factor =
        index === 0 || Number.isNaN(ratio(table, subject)) ? '' : `${show(ratio(table, subject))} ×`
      return `| ${subject.name} | ${show(median(subject.rounds))} | ${rounds} | ${factor} |`
    }),
  ]
  for (const goal of table.goals ?? []) lines.push('', verdict(goal))
  return lines.join('\n')
}

/** The same for programs: every round, the median, and the ratio of the first subject to each. */
export function toJson(table: Table): unknown {
  return {
    ...table,
    subjects: table.subjects.map((subject, index) => ({
      ...subject,
      median: subject.missing === undefined ? median(subject.rounds) : null,
      ratio: subject.missing === undefined && index > 0 ? ratio(table, subject) : null,
    })),
  }
}

/** Whether a goal is reached, in a line. */
export function verdict({ goal, measured, reached }: Goal): string {
  return `${reached ? 'reached' : 'NOT reached'}: ${goal} (${measured})`
}
