import { median, type Paired, paired, show } from '../harness/numbers.js'
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
  after_analyze: Paired
  before_analyze: Paired
  /** Milliseconds of each round after ANALYZE. */
  rounds: { empty: readonly number[]; loaded: readonly number[] }
}

/** Ratios are medians of the rounds' ratios, of two measurements that followed one another, and not ratios of medians. */
export function caseResult(
  name: string,
  load: string,
  before: Samples,
  after: Samples,
  reads: string[],
): CaseResult {
  const all = [...after.keys()].map((verb): VerbResult => {
    const of = (samples: Samples, subject: string) => samples.get(verb)?.get(subject) ?? []
    const rounds = { empty: of(after, 'empty'), loaded: of(after, name) }
    return {
      verb,
      empty: median(rounds.empty),
      loaded: median(rounds.loaded),
      after_analyze: paired(rounds.loaded, rounds.empty),
      before_analyze: paired(of(before, name), of(before, 'empty')),
      rounds,
    }
  })
  const verbs = all.filter(({ verb }) => !verb.includes(': '))
  const goals = verbs.map(({ verb, after_analyze, before_analyze }) => ({
    goal: `${verb} within ${MOST} × of empty tables`,
    measured: `${spread(after_analyze)} ×, before ANALYZE ${spread(before_analyze)} ×`,
    reached: Math.max(after_analyze.ratio, before_analyze.ratio) <= MOST,
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
  const rounds = verbs[0]?.rounds.loaded.length ?? 0
  const row = ({ verb, empty, loaded, after_analyze, before_analyze }: VerbResult) =>
    `| ${verb} | ${show(empty)} | ${show(loaded)} | ${spread(after_analyze)} | ${spread(before_analyze)} |`
  const grown = phases.filter(({ empty, loaded }) => loaded - empty >= WORTH_NAMING_MS)
  return [
    `**${load}**`,
    '',
    `Milliseconds are medians of ${rounds} rounds. A ratio is the median of the rounds' own ratios, each of two measurements in direct succession; half of the`,
    'rounds lie within the brackets.',
    '',
    '| | empty, ms | loaded, ms | ratio | ratio before `ANALYZE` |',
    '|---|---|---|---|---|',
    ...verbs.map(row),
    ...grown.map(row),
    ...goals.flatMap((goal) => ['', verdict(goal)]),
    ...(reads.length > 0 ? ['', ...reads.map((read) => `- ${read}`)] : []),
  ].join('\n')
}

const spread = ({ ratio, low, high }: Paired) => `${ratio.toFixed(2)} [${low.toFixed(2)}–${high.toFixed(2)}]`
