import { Command } from 'commander'
import { engineFromEnv, readEnv } from '../../engine/index.js'
import { findDatabase, type GlobalOptions } from '../connection.js'
import { describeFindings } from '../doctor/describe.js'
import { checkEnvironment } from '../doctor/environment.js'
import { examine } from '../doctor/examine.js'
import type { Finding } from '../doctor/finding.js'
import { EXIT } from '../exit.js'
import { answerFor } from '../session.js'

const HELP = `
Ends with 1 when something is broken; warnings alone end with 0.

Examples:
  ops-loop doctor
  ops-loop doctor --json | jq '.findings[] | select(.status != "ok")'`

export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'look for what is wrong: environment, connection, schema, rights, policies, heartbeat, workers',
    )
    .addHelpText('after', HELP)
    .action(async (_options: object, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>()
      await findDatabase(options)
      const environment = checkEnvironment()
      const isUsable = environment.every(({ status }) => status !== 'broken')
      const findings = [...environment, ...(isUsable ? await examineDatabase() : [])]
      const isHealthy = findings.every(({ status }) => status !== 'broken')
      answerFor(options)({ ok: isHealthy, findings }, () => describeFindings(findings))
      if (!isHealthy) process.exitCode = EXIT.failed
    })
}

async function examineDatabase(): Promise<Finding[]> {
  const engine = engineFromEnv(readEnv())
  try {
    return await examine(engine)
  } finally {
    await engine.close()
  }
}
