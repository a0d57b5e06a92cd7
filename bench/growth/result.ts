import { median, show } from '../harness/numbers.js'
import { verdict } from '../harness/report.js'
import type { Goal } from '../harness/types.js'
import type { Samples } from './verbs.js'

/** What a verb may cost beside empty tables. */
const MOST = 1.2
/** A phase of the heartbeat is named when it takes so many milliseconds more. */
const WORTH_NAMING_MS = 1

/** One case beside empty tables. */
export interface CaseResult {
  name: string
  /** What is in the tables, in words. */
  load: string
  verbs: VerbResult[]
  /** The heartbeat's phases, as `heartbeat: <phase>`. */
  phases: VerbResult[]
  goals: Goal[]
  /** Plans that read a large table from end to end. */
  reads: string[]
}

interface VerbResult {
  verb: string
  empty: number
  loaded: number
  ratio: number
  ratio_before_analyze: number
  /** Milliseconds of each round after ANALYZE. */
  rounds: { empty: readonly number[]; loaded: readonly number[] }
}

/** Ratios are those of the medians. */
export function caseResult(
  name: string,
  load: string,
  before: Samples,
  after: Samples,
  reads: string[],
): CaseResult {
  const all = [...after.keys()].map((verb): VerbResult => {
    const rounds = { empty: after.get(verb)?.get('empty') ?? [], loaded: after.get(verb)?.get(name) ?? [] }
    const [empty, loaded] = [median(rounds.empty), median(rounds.loaded)]
    return {
      verb,
      empty,
      loaded,
      ratio: loaded / empty,
      ratio_before_analyze:
        median(before.get(verb)?.get(name) ?? []) / median(before.get(verb)?.get('empty') ?? []),
      rounds,
    }
  })
  const verbs = all.filter(({ verb }) => !verb.includes(': '))
  const goals = verbs.map(({ verb, ratio, ratio_before_analyze }) => ({
    goal: `${verb} within ${MOST} × of empty tables`,
    measured: `${ratio.toFixed(2)} ×, before ANALYZE ${ratio_before_analyze.toFixed(2)} ×`,
    reached: Math.max(ratio, ratio_before_analyze) <= MOST,
  }))
  goals.push({
    goal: 'no plan reads a large table from end to end',
    measured: `${reads.length} do`,
    reached: reads.length === 0,
  })
  return { name, load, verbs, phases: all.filter(({ verb }) => verb.includes(': ')), goals, reads }
}

/** A case as Markdown, so that it can go into README.md as it is. */
export function caseMarkdown({ load, verbs, phases, goals, reads }: CaseResult): string {
  const row = ({ verb, empty, loaded, ratio, ratio_before_analyze }: VerbResult) =>
    `| ${verb} | ${show(empty)} | ${show(loaded)} | ${ratio.toFixed(2)} | ${ratio_before_analyze.toFixed(2)} |`
  const grown = phases.filter(({ empty, loaded }) => loaded - empty >= WORTH_NAMING_MS)
  return [
    `**${load}**`,
    '',
    '| | empty, ms | loaded, ms | ratio | ratio before `ANALYZE` |',
    '|---|---|---|---|---|',
    ...verbs.map(row),
    ...grown.map(row),
    ...goals.flatMap((goal) => ['', verdict(goal)]),
    ...(reads.length > 0 ? ['', ...reads.map((read) => `- ${read}`)] : []),
  ].join('\n')
}
