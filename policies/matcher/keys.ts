import { createHash } from 'node:crypto'
import { Budget } from '../templates/budget.js'
import { finalText, type ProposalScope } from '../templates/proposal.js'
import { compileText } from '../templates/text.js'

/** Longer keys do not fit into an index. */
const MAX_KEY = 500

const MAX_RENDERED = 65_536

export type CompiledKey = (scope: ProposalScope) => string

/**
 * Reads the template of a cooldown, threshold or dedupe key. What renders to more than 500 characters is replaced by its
 * hash: as good a key, and short.
 *
 * @throws PolicyFault for placeholders that cannot be used here; so does the function it returns where one names nothing
 */
export function compileKey(source: string, path: string): CompiledKey {
  const text = compileText(source, path, finalText)
  return (scope) => {
    const key = text({ ...scope }, new Budget(MAX_RENDERED))
    return key.length <= MAX_KEY ? key : `sha256:${createHash('sha256').update(key).digest('hex')}`
  }
}
