import { TypeError as CelTypeError, EvaluationError, ParseError } from '@marcbachmann/cel-js'
import { clip } from '../templates/proposal.js'
import { boundTypes, instrument } from './instrument.js'
import { Meter } from './meter.js'
import { type EventScope, environment } from './scope.js'

const nothing = environment.parse('true')
boundTypes(nothing.ast, nothing)

/** Messages quote what they complain of, which may be a whole event, and are kept with each. */
const MESSAGE_CHARACTERS = 500

/** Whether an event meets a condition, or why that cannot be told. */
export type Verdict = { ok: true; met: boolean } | { ok: false; message: string }

export type Condition = (event: EventScope) => Verdict

/**
 * Compiles a CEL expression over `event` (id, type, data, depth, created_at). Regular expressions are RE2's, written
 * out as strings; each evaluation may take a bounded amount of work.
 *
 * @throws Error when it is no valid expression, or cannot give true or false
 * @example compileCondition('event.data.issue.comments > 3')
 */
export function compileCondition(expression: string): Condition {
  const meter = new Meter()
  const evaluate = explaining(() => {
    const parsed = environment.parse(expression)
    instrument(parsed.ast, () => requireBoolean(parsed.check()), meter)
    return parsed
  })
  return (event) => {
    meter.start()
    let value: unknown
    try {
      value = evaluate({ event })
    } catch (error) {
      const { message } = meter.fault ?? summarised(error)
      return { ok: false, message: clip(message, MESSAGE_CHARACTERS) }
    }
    if (meter.fault) return { ok: false, message: meter.fault.message }
    if (typeof value === 'boolean') return { ok: true, met: value }
    return { ok: false, message: `gives ${value === null ? 'null' : typeof value}, not true or false` }
  }
}

function requireBoolean(checked: { valid: boolean; type?: string; error?: Error }): void {
  if (!checked.valid) throw checked.error ?? new Error('is not valid')
  if (checked.type !== 'bool' && checked.type !== 'dyn')
    throw new Error(`gives ${checked.type}, not true or false`)
}

function explaining<Result>(run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    throw summarised(error)
  }
}

/** The library's messages draw the place in the source, which belongs in a terminal. */
function summarised(error: unknown): Error {
  if (error instanceof ParseError || error instanceof CelTypeError || error instanceof EvaluationError) {
    const at = error.range ? ` (at character ${error.range.start + 1})` : ''
    return new Error(`${error.summary}${at}`, { cause: error })
  }
  return error instanceof Error ? error : new Error(String(error))
}
