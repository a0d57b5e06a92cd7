import { Command } from 'commander'
import { OpsError, type PolicyChange } from '../../../engine/index.js'
import { diffPolicy, isPolicyKey, policyKeys } from '../../../policies/index.js'
import { wholeNumber } from '../../numbers.js'
import { withEngine } from '../../session.js'
import { ago, short, table } from '../../text.js'
import { describeChange } from './changes.js'

export function historyCommand(): Command {
  return new Command('history')
    .description('who changed what, newest first')
    .argument('[policy]', 'only of this policy')
    .option('--limit <n>', 'at most this many', wholeNumber(1, 1000), 20)
    .addHelpText('after', '\nExample:\n  ops-loop policy history proposal_caps')
    .action((policy: string | undefined, { limit }: { limit: number }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const recorded = await engine.policyChanges(policy, limit)
        const isKnown = (key: string) => isPolicyKey(key) || recorded.some((change) => change.key === key)
        if (policy !== undefined && !isKnown(policy)) throw neverThere(policy)
        const changes = recorded.map((change) => ({
          ...change,
          changes: diffPolicy(change.previous_value ?? undefined, change.value ?? undefined),
        }))
        answer(changes, () =>
          changes.length === 0
            ? 'Nothing was ever changed.'
            : table(['policy', 'version', 'what', 'by', 'when', 'changes'], changes.map(cells)),
        )
      }),
    )
}

function neverThere(policy: string): OpsError {
  return new OpsError('OPS_013', `There never was a policy ${policy}.`, {
    details: { path: 'policy' },
    hint: `There are ${policyKeys.join(', ')}.`,
  })
}

function cells(change: PolicyChange & { changes: ReturnType<typeof diffPolicy> }): string[] {
  const { key, action, version, previous_version, changed_by, changed_at, changes } = change
  const told = action === 'insert' || action === 'delete' ? [] : changes.map(describeChange)
  const more = told.length > 1 ? ` (and ${told.length - 1} more)` : ''
  return [
    key,
    String(version ?? previous_version ?? ''),
    action,
    changed_by,
    ago(changed_at),
    `${short(told[0] ?? '', 100)}${more}`,
  ]
}
