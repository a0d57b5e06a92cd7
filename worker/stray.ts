import { describeError, type Log } from '../executors/define.js'

/**
 * A promise that an executor leaves behind and that fails would end the process, and with it the attempts of all other steps. It
 * is logged instead; which step it belongs to, nobody can tell.
 *
 * @returns ends that
 */
export function outliveStrayRejections(log: Log): () => void {
  const onRejection = (reason: unknown) =>
    log.error(`an executor left a promise behind, which failed: ${describeError(reason)}`)
  process.on('unhandledRejection', onRejection)
  return () => void process.off('unhandledRejection', onRejection)
}
