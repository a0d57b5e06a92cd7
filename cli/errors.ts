import { colorsFor } from '../embedded/colors.js'
import { harmless, harmlessJson } from '../engine/harmless.js'
import { OpsError } from '../engine/index.js'

const colors = colorsFor(process.stderr)

/**
 * Says on stderr what went wrong and what to do about it: a sentence for people, or the API's error body as JSON.
 * Stack traces only with `OPS_DEBUG`.
 */
export function reportError(error: unknown, { json }: { json: boolean }): void {
  const told = json ? harmlessJson(JSON.stringify(bodyOf(error))) : harmless(sentenceOf(error))
  console.error(told)
  if (process.env.OPS_DEBUG) console.error(error)
}

function bodyOf(error: unknown) {
  if (!(error instanceof OpsError)) return { error: messageOf(error), code: 'OPS_000', details: {} }
  const { message, code, details, hint } = error
  return { error: message, code, details: { ...asObject(details), ...(hint ? { hint } : {}) } }
}

function sentenceOf(error: unknown): string {
  if (!(error instanceof OpsError)) {
    return `${colors.red('error:')} ${messageOf(error)}\n  OPS_DEBUG=1 shows where it happened.`
  }
  const lines = [`${colors.red('error:')} ${error.message} ${colors.dim(`(${error.code})`)}`]
  if (error.hint) lines.push(`  ${error.hint}`)
  return lines.join('\n')
}

function asObject(details: unknown): object {
  return typeof details === 'object' && details !== null ? details : {}
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
