import { describeError, type Log } from '../executors/define.js'

/**
 * A promise that an executor leaves behind and that fails would end the process, and with it the attempts of all other steps. It
 * is logged instead; which step it belongs to, nobody can tell.
 * For as long as the process lives: what fails after the worker's end would be printed as it is, secrets and all.
 */
export function outliveStrayRejections(log: Log): void {
  process.on('unhandledRejection', (reason) =>
    log.error(`an executor left a promise behind, which failed: ${describeError(reason)}`),
  )
}
