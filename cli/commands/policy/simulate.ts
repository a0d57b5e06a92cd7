import { writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import type { Engine } from '../../../engine/index.js'
import { defaultPolicies } from '../../../policies/index.js'
import type { Comparison, Micros, Recording, Totals } from '../../../simulation/index.js'
import type { GlobalOptions } from '../../connection.js'
import { progress } from '../../progress.js'
import { answerFor, withEngine } from '../../session.js'
import { count, short, table } from '../../text.js'
import { since } from '../../time.js'
import { FILES_HELP, isObject, type PolicyFile, readPolicies, textOf } from './files.js'

const HELP = `
Plays what happened once more, in a database in memory, and tells what would have been different. The database that it reads
from is not touched. Without files nothing should differ: it is then a proof of the simulation itself.

What came of missions is taken from the record. Missions that there were not then are taken to succeed, after as long as such
steps took, and at the cost that they declare; what nobody decided on waits, and expires.

Examples:
  ops-loop policy simulate reaction_matrix.json --since 7d
  ops-loop policy simulate --since 24h --save day.ndjson
  ops-loop policy simulate policies/candidate --recording day.ndjson`

/** Policies that have a say in what is simulated. */
const SIMULATED = [
  'reaction_matrix',
  'auto_approve',
  'proposal_caps',
  'control',
  'approvals',
  'agent_roles',
  'worker_policy',
]

const MOST_SHOWN = 30

interface SimulateOptions {
  since?: Date
  recording?: string
  save?: string
}

export function simulateCommand(): Command {
  return new Command('simulate')
    .description('what recorded events would have done under other policies')
    .argument('[files...]', 'the policies to try: files or folders')
    .option('--since <time>', 'from how long ago (90m, 24h, 7d) or which time on (default: 24h)', since)
    .option('--recording <file>', 'play this NDJSON file instead: events, or what --save wrote')
    .option('--save <file>', 'keep the recording as NDJSON')
    .addHelpText('after', `${HELP}\n${FILES_HELP}`)
    .action(async (names: string[], options: SimulateOptions, command: Command) => {
      const files = await readPolicies(names)
      if (options.recording !== undefined && options.since !== undefined)
        command.error('error: give --since or --recording, not both')
      const globals = command.optsWithGlobals<GlobalOptions>()
      if (options.recording !== undefined) {
        await tell(await fromFile(options.recording), files, options, globals)
        return
      }
      await withEngine(command, async (engine) => {
        progress(globals)('reading what was recorded …')
        await tell(await fromDatabase(engine, options, files), files, options, globals)
      })
    })
}

async function tell(
  recording: Recording,
  files: readonly PolicyFile[],
  { save }: SimulateOptions,
  globals: GlobalOptions,
) {
  const { linesOf, simulate, textOf: timeText } = await import('../../../simulation/index.js')
  if (save !== undefined) await writeFile(save, linesOf(recording))
  const candidate = Object.fromEntries(files.map(({ key, value }) => [key, value]))
  progress(globals)(`playing ${count(recording.lines.length, 'record')} again …`)
  const comparison = await simulate(recording, candidate, byTenths(progress(globals)))
  const stretch = { from: timeText(recording.from), to: timeText(recording.to) }
  const not_simulated = files.map(({ key }) => key).filter((key) => !SIMULATED.includes(key))
  answerFor(globals)({ ...stretch, tried: Object.keys(candidate), not_simulated, ...comparison }, () =>
    describe(comparison, stretch, not_simulated),
  )
}

/** Says how far it is at every tenth of the way. */
function byTenths(say: (line: string) => void): (part: number) => void {
  let said = 0
  return (part) => {
    const tenth = Math.floor(part * 10)
    if (tenth > said && tenth < 10) say(`  ${tenth * 10} % played`)
    said = Math.max(said, tenth)
  }
}

/** A recording from a file. Where it begins with no policies, the default ones are taken to be in force. */
async function fromFile(path: string): Promise<Recording> {
  const { readLines, recordingFrom } = await import('../../../simulation/index.js')
  const lines = readLines(await textOf(path))
  const own = lines.some(({ kind }) => kind === 'policy')
  const defaults = Object.entries(defaultPolicies).map(([key, value]) => ({ key, value, version: 1 }))
  return recordingFrom(lines, own ? [] : defaults, Date.now() * 1000)
}

async function fromDatabase(
  engine: Engine,
  { since }: SimulateOptions,
  files: readonly PolicyFile[],
): Promise<Recording> {
  const { DAY, recordingOf } = await import('../../../simulation/index.js')
  const to = Date.now() * 1000
  const from = since === undefined ? to - DAY : since.getTime() * 1000
  const matrices = [...files, ...(await engine.policies(['reaction_matrix']))]
  return recordingOf(engine, { start: from - (await warmUp(matrices.map(({ value }) => value))), from, to })
}

/** How much earlier to begin: a day, for caps; longer where a pattern looks further back. */
async function warmUp(policies: readonly unknown[]): Promise<Micros> {
  const { DAY, MINUTE } = await import('../../../simulation/index.js')
  const patterns = policies.flatMap((value) =>
    isObject(value) && Array.isArray(value.patterns) ? value.patterns : [],
  )
  const minutes = patterns.flatMap((pattern: unknown) => {
    const { cooldown_minutes, cooldown, threshold } = Object(pattern)
    return [cooldown_minutes, cooldown, Object(threshold).within_minutes].filter(
      (value) => typeof value === 'number',
    )
  })
  return Math.min(30 * DAY, Math.max(DAY, ...minutes.map((number: number) => number * MINUTE)))
}

function describe(
  comparison: Comparison,
  { from, to }: { from: string; to: string },
  notSimulated: readonly string[],
): string {
  const { was, would_be, patterns, differences } = comparison
  const shown = differences.slice(0, MOST_SHOWN)
  const more = differences.length - shown.length
  return [
    `${from} to ${to}: ${count(was.events, 'event')}`,
    ...notSimulated.map((key) => `Policy ${key} has no say in what is simulated.`),
    table(['', 'was', 'would be'], [...rowsOf(was, would_be)]),
    ...(patterns.length === 0
      ? []
      : [
          '',
          table(
            ['pattern', 'reactions', 'shadow', 'proposals'],
            patterns.map(({ pattern_id, was: a, would_be: b }) => [
              pattern_id,
              `${a.reactions} → ${b.reactions}`,
              `${a.shadow_reactions} → ${b.shadow_reactions}`,
              `${a.proposals} → ${b.proposals}`,
            ]),
          ),
        ]),
    '',
    ...(comparison.same
      ? ['No difference.']
      : [
          table(
            ['event', 'type', 'pattern', 'what', 'was', 'would be'],
            shown.map(({ event_id, event_type, pattern_id, what, was: a, would_be: b }) => [
              event_id?.slice(-6) ?? '',
              short(event_type ?? '', 40),
              pattern_id ?? '',
              what,
              a ?? 'none',
              b ?? 'none',
            ]),
          ),
          ...(more > 0 ? [`… and ${more} more; --json gives all`] : []),
        ]),
  ].join('\n')
}

function* rowsOf(was: Totals, wouldBe: Totals): Generator<string[], void> {
  const names = [
    'reactions',
    'shadow_reactions',
    'proposals',
    'auto_approved',
    'needed_approval',
    'missions',
  ] as const
  for (const name of names) yield [name.replace('_', ' '), String(was[name]), String(wouldBe[name])]
  yield ['cost', `$${was.cost_usd}`, `$${wouldBe.cost_usd}`]
  for (const [title, field] of [
    ['held back', 'held_back'],
    ['turned away', 'turned_away'],
  ] as const) {
    for (const name of new Set([...Object.keys(was[field]), ...Object.keys(wouldBe[field])])) {
      yield [`${title}: ${name}`, String(was[field][name] ?? 0), String(wouldBe[field][name] ?? 0)]
    }
  }
}
