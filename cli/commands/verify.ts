import { Command } from 'commander'
import { engineFromEnv, readEnv } from '../../engine/index.js'
import { findDatabase, type GlobalOptions } from '../connection.js'
import { EXIT } from '../exit.js'
import { answerFor } from '../session.js'
import { verifyTable } from '../verify/table.js'
import { verifyLoop } from '../verify/verify.js'

const HELP = `
Looks at what ops-loop doctor looks at, and at services, invariants, canary, alerts, schedules, backups and keys.
It prints one table: for each line a verdict, what was found, and the next action. Ends with 1 when something is broken; warnings alone end with 0. docs/runbook.md says what to do about each line.

Examples:
  ops-loop verify
  ops-loop verify --json | jq '.findings[] | select(.status != "ok")'`

export function verifyCommand(): Command {
  return new Command('verify')
    .description('the daily look: is the loop well, and if not, what to do')
    .addHelpText('after', HELP)
    .action(async (_options: object, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>()
      await findDatabase(options)
      const engine = engineFromEnv(readEnv())
      try {
        const findings = await verifyLoop(engine, process.env)
        const isWell = findings.every(({ status }) => status !== 'broken')
        answerFor(options)({ ok: isWell, findings }, () => verifyTable(findings))
        if (!isWell) process.exitCode = EXIT.failed
      } finally {
        await engine.close()
      }
    })
}
