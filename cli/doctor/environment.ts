import { statSync } from 'node:fs'
import { OpsError, readEnv } from '../../engine/index.js'
import { broken, check, type Finding, ok, warning } from './finding.js'

const SHORTEST_KEY = 16

/** The variables that are set, and who may read the file that they come from. */
export function checkEnvironment(folder = process.cwd()): Finding[] {
  return [...check('environment', variables()), ...check('environment', weakKey(), readableFile(folder))]
}

function variables() {
  try {
    const env = readEnv()
    const named = env.DATABASE_URL ? 'DATABASE_URL' : 'SUPABASE_URL'
    return ok(`Node ${process.versions.node}; the database is the one of ${named}`)
  } catch (error) {
    if (!(error instanceof OpsError)) throw error
    return broken(error.message, error.hint ?? 'Correct them.')
  }
}

function weakKey() {
  const weak = ['OPS_API_KEY', 'OPS_API_KEY_PREVIOUS', 'CRON_SECRET', 'GITHUB_WEBHOOK_SECRET'].filter(
    (name) => {
      const key = process.env[name]
      return key && key.length < SHORTEST_KEY
    },
  )
  if (weak.length === 0) return undefined
  return warning(
    `${weak.join(' and ')} can be guessed: shorter than ${SHORTEST_KEY} characters`,
    'Make one with: openssl rand -hex 32',
  )
}

function readableFile(folder: string) {
  const file = `${folder}/.env`
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0
  if ((mode & 0o077) === 0) return undefined
  return warning(`${file} holds secrets, and others on this machine may read it`, `Run chmod 600 ${file}`)
}
