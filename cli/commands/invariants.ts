import { Command } from 'commander'
import { runChecks, wantedChecks } from '../../api/monitors/checks.js'
import type { CheckOutcome } from '../../engine/index.js'
import { withEngine } from '../session.js'
import { ago, short, table } from '../text.js'

const EXAMPLES = `
Examples:
  ops-loop invariants list
  ops-loop invariants run                        the checks of a round, now
  ops-loop invariants run order cap_kept
  ops-loop invariants run --everything           over all rows, and the checks that have to read all of them

run exits with 1 when a check is violated, broke or was cut off.`

/** How long one check may take, in milliseconds. */
const TIMEOUT_MS = 5000
const LONG_TIMEOUT_MS = 600_000

export function invariantsCommand(): Command {
  const invariants = new Command('invariants')
    .description('statements about the data that must hold, checked all day')
    .addHelpText('after', EXAMPLES)

  invariants
    .command('list')
    .description('every check, and how it went the last time')
    .action((_options: object, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const rows = await engine.listChecks()
        answer(rows, () =>
          table(
            ['check', 'severity', 'last outcome', 'open', 'ran', 'detects'],
            rows.map((row) => [
              row.name,
              row.severity,
              row.outcome ?? 'never run',
              String(row.open),
              ago(row.ran_at),
              short(row.detects, 80),
            ]),
          ),
        )
      }),
    )

  invariants
    .command('run')
    .description('run checks now and keep what violates them')
    .argument('[checks...]', 'by name; default: those of a round')
    .option('--everything', 'look at all rows instead of the latest, however long it takes')
    .action((names: string[], { everything }: { everything?: boolean }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const wanted = await wantedChecks(engine, names, everything)
        const outcomes: CheckOutcome[] = []
        const timeoutMs = everything ? LONG_TIMEOUT_MS : TIMEOUT_MS
        const run = { timeoutMs, everything, mayGoOn: () => true }
        await runChecks(engine, wanted, run, (outcome) => outcomes.push(outcome))
        if (outcomes.some(({ outcome }) => outcome !== 'clean')) process.exitCode = 1
        answer(outcomes, () =>
          table(
            ['check', 'severity', 'outcome', 'violations', 'ms', 'error'],
            outcomes.map((o) => [
              o.name,
              o.severity,
              o.outcome,
              String(o.violations),
              String(o.duration_ms),
              short(o.error ?? '', 80),
            ]),
          ),
        )
      }),
    )
  return invariants
}
