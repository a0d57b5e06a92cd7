import { Command } from 'commander'
import { OpsError } from '../../../engine/index.js'
import { wholeNumber } from '../../numbers.js'
import { AS_OPTION, actorOf, withEngine } from '../../session.js'
import { compare, describeComparison } from './changes.js'
import { FILES_HELP, readPolicies } from './files.js'

const EXAMPLES = `
All policies are put in force together or none is. A policy that somebody changes meanwhile is left alone.

Examples:
  ops-loop policy apply policies/production --as ada
  ops-loop policy apply control.json --if-version 7`

interface ApplyOptions {
  as?: string
  ifVersion?: number
}

export function applyCommand(): Command {
  return new Command('apply')
    .description('put policy files in force, and show what that changes')
    .argument('<files...>', 'files or folders')
    .option(...AS_OPTION)
    .option(
      '--if-version <n>',
      'only over this version (0: only if there is none); for one file',
      wholeNumber(0, 2 ** 31 - 1),
    )
    .addHelpText('after', `${FILES_HELP}\n${EXAMPLES}`)
    .action(async (names: string[], options: ApplyOptions, command: Command) => {
      const files = await readPolicies(names)
      const { ifVersion } = options
      if (ifVersion !== undefined && files.length > 1) command.error('error: --if-version goes with one file')
      await withEngine(command, async (engine, answer) => {
        const compared = await compare(engine, files)
        for (const { key, version } of compared) {
          if (ifVersion === undefined || version === ifVersion) continue
          throw new OpsError('OPS_014', `Policy ${key} is at version ${version}, not ${ifVersion}.`, {
            details: { key, version },
            hint: 'Nothing was changed. See ops-loop policy diff.',
          })
        }
        const applied = await engine.applyPolicies(
          files.map(({ key, value }, index) => ({ key, value, expected_version: compared[index]?.version })),
          actorOf(options),
        )
        const outcomes = compared.map((comparison) => {
          const now = applied.find(({ key }) => key === comparison.key)
          return {
            ...comparison,
            outcome: now?.outcome,
            previous_version: comparison.version,
            version: now?.version,
          }
        })
        answer(outcomes, () =>
          compared
            .map((comparison, index) => {
              const { outcome, version } = outcomes[index] ?? {}
              const end = outcome === 'unchanged' ? '' : `\n  ${outcome}: version ${version} is in force`
              return `${describeComparison(comparison)}${end}`
            })
            .join('\n'),
        )
      })
    })
}
