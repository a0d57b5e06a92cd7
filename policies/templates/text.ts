import { PolicyFault } from '../fault.js'
import { type Budget, copyJson } from './budget.js'
import { resolvePath } from './resolve.js'
import { LITERAL_BRACES, type Occurrence, occurrences } from './scan.js'

/** Which placeholders a text may hold, and what becomes of the rest. */
export interface Grammar {
  /** First words that are rendered now. */
  roots: ReadonlySet<string>
  /** `{{steps.…}}` stays for the worker; then nothing else that is rendered may look like it. */
  keepSteps: boolean
  /** Braces that mean nothing here are an error rather than text. */
  strict: boolean
}

export type Scope = Readonly<Record<string, unknown>>

/** A template's text, ready to be rendered any number of times. */
export type CompiledText = (scope: Scope, budget: Budget) => string

type Part = { text: string } | { path: readonly string[] } | { kept: string }

/**
 * Reads text with placeholders. The values they name are written out: null as nothing, lists and objects as JSON.
 *
 * @throws PolicyFault for placeholders that the grammar does not know
 */
export function compileText(source: string, path: string, grammar: Grammar): CompiledText {
  return textOf(partsOf(source, path, grammar), path, grammar)
}

/**
 * Reads a string of JSON params. A placeholder that is the whole string gives the value it names, of whatever type;
 * else the string is text.
 *
 * @param depth how deep in the params the string stands
 * @throws PolicyFault for placeholders that the grammar does not know
 */
export function compileString(
  source: string,
  path: string,
  grammar: Grammar,
  depth: number,
): (scope: Scope, budget: Budget) => unknown {
  const parts = partsOf(source, path, grammar)
  const [first] = parts
  if (parts.length !== 1 || !first || !('path' in first)) return textOf(parts, path, grammar)
  const inert = grammar.keepSteps ? escapeSteps : asItIs
  return (scope, budget) => copyJson(valueAt(scope, first.path, path), budget, path, inert, depth)
}

function textOf(parts: readonly Part[], path: string, grammar: Grammar): CompiledText {
  const settled = grammar.keepSteps ? escapeSteps : asItIs
  return (scope, budget) => {
    let rendered = ''
    // What lies between two kept placeholders is escaped as one: a value could complete what another begins.
    let inert = ''
    for (const part of parts) {
      if ('kept' in part) {
        rendered += settled(inert) + part.kept
        inert = ''
      } else {
        const text = 'text' in part ? part.text : written(valueAt(scope, part.path, path), budget, path)
        budget.spend(text.length, path)
        inert += text
      }
    }
    return rendered + settled(inert)
  }
}

function partsOf(source: string, path: string, grammar: Grammar): Part[] {
  const parts: Part[] = []
  let from = 0
  const takeText = (end: number) => {
    const text = source.slice(from, end)
    if (grammar.strict && text.includes('{{')) {
      throw new PolicyFault(
        path,
        `holds "{{" that begins no placeholder; write ${LITERAL_BRACES} for two braces`,
      )
    }
    if (text !== '') parts.push({ text })
  }
  for (const found of occurrences(source)) {
    takeText(found.start)
    parts.push(partFor(found, source.slice(found.start, found.end), path, grammar))
    from = found.end
  }
  takeText(source.length)
  return parts
}

function partFor(found: Occurrence, source: string, path: string, grammar: Grammar): Part {
  if (found.path === null) return { text: '{{' }
  const [root = ''] = found.path
  if (grammar.roots.has(root)) return { path: found.path }
  if (root === 'steps' && grammar.keepSteps) {
    if (found.path.length >= 3 && found.path[2] === 'result') return { kept: `{{${found.path.join('.')}}}` }
    throw new PolicyFault(path, `${source} must look like {{steps.<key>.result.<path>}}`)
  }
  if (!grammar.strict) return { text: source }
  const known = [...grammar.roots, ...(grammar.keepSteps ? ['steps'] : [])].join(', ')
  throw new PolicyFault(path, `${source} cannot be used here: placeholders here begin with ${known}`)
}

function valueAt(scope: Scope, words: readonly string[], path: string): unknown {
  const resolved = resolvePath(scope, words)
  if (resolved.found) return resolved.value
  const reason = resolved.missing === words.join('.') ? '' : `: there is no ${resolved.missing}`
  throw new PolicyFault(path, `{{${words.join('.')}}} names nothing${reason}`)
}

function written(value: unknown, budget: Budget, path: string): string {
  if (typeof value === 'string') return value
  if (value === null) return ''
  if (typeof value !== 'object') return String(value)
  return JSON.stringify(copyJson(value, budget, path, asItIs))
}

const asItIs = (text: string): string => text

/**
 * Makes text inert for the worker: braces before `steps` or before a literal brace become literal braces, so that what
 * the worker renders is the text as it was. Unfinished placeholders too, and whatever may count as a space: the gate
 * looks for `{{steps.` alone.
 */
export function escapeSteps(text: string): string {
  return text.replace(/\{\{(?=[^!-~]*(?:steps|"\{\{"))/g, LITERAL_BRACES)
}

/** Undoes `escapeSteps` where nothing else is rendered. */
export function unescapeSteps(text: string): string {
  let plain = ''
  let from = 0
  for (const { path, start, end } of occurrences(text)) {
    if (path !== null) continue
    plain += `${text.slice(from, start)}{{`
    from = end
  }
  return plain + text.slice(from)
}
