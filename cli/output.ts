import { isSystemError } from '../embedded/errors.js'
import { reportError } from './errors.js'
import { EXIT } from './exit.js'

/**
 * Sees to it that writing does not end the process in a stack trace. A reader who has seen enough (`ops-loop … | head`) is no
 * failure; an answer that cannot be written, on a full disk say, is one. Repeating it changes nothing.
 */
export function watchOutput(): void {
  process.stdout.off('error', unwritten).on('error', unwritten)
  process.stderr.off('error', unheard).on('error', unheard)
}

function unwritten(error: Error): void {
  if (isSystemError(error, 'EPIPE')) return
  reportError(error, { json: process.argv.includes('--json') })
  process.exitCode = EXIT.failed
}

/** There is nobody left to tell. */
function unheard(): void {}
