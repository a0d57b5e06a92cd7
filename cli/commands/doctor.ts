import { Command } from 'commander'
import { colorsFor } from '../../embedded/colors.js'
import { engineFromEnv, readEnv } from '../../engine/index.js'
import { findDatabase, type GlobalOptions } from '../connection.js'
import { checkEnvironment } from '../doctor/environment.js'
import { examine } from '../doctor/examine.js'
import type { Finding } from '../doctor/finding.js'
import { EXIT } from '../exit.js'
import { answerFor } from '../session.js'
import { count } from '../text.js'

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
      answerFor(options)({ ok: isHealthy, findings }, () => describe(findings))
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

function describe(findings: readonly Finding[]): string {
  const colors = colorsFor(process.stdout)
  const marks = { ok: colors.green('✓'), warning: colors.yellow('!'), broken: colors.red('✗') }
  const width = Math.max(...findings.map(({ check }) => check.length))
  const lines = findings.flatMap(({ check, status, message, hint }) => [
    `${marks[status]} ${check.padEnd(width)}  ${message}`,
    ...(hint === undefined ? [] : [colors.dim(`  ${' '.repeat(width)}  ${hint}`)]),
  ])
  return [...lines, '', summary(findings)].join('\n')
}

function summary(findings: readonly Finding[]): string {
  const of = (status: Finding['status']) => findings.filter((finding) => finding.status === status).length
  const parts = [
    of('broken') > 0 ? `${count(of('broken'), 'thing')} broken` : '',
    of('warning') > 0 ? count(of('warning'), 'warning') : '',
  ].filter(Boolean)
  return parts.length > 0 ? parts.join(', ') : 'All is well.'
}
