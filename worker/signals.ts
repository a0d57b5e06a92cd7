import type { Log } from '../executors/define.js'
import type { StopMode } from './options.js'

/** How long a worker whose supervisor has died drains before it hands its steps back, in milliseconds. */
const ORPHAN_PATIENCE_MS = 10_000

/**
 * Stops a worker when the process is asked to end: the first SIGTERM or SIGINT drains, the second releases.
 *
 * A process with an IPC channel has a supervisor, and drains when that is gone. Ctrl-C reaches both of them, and what to do
 * about it is the supervisor's choice.
 *
 * @returns takes the handlers away again
 */
export function stopWithProcess(stop: (mode: StopMode) => void, log: Log): () => void {
  let asked = false
  let orphaned: NodeJS.Timeout | undefined
  const supervised = process.send !== undefined

  const onSignal = (signal: NodeJS.Signals) => {
    if (signal === 'SIGINT' && supervised) return
    log.info(asked ? `${signal} again: handing steps back` : `${signal}: finishing the steps under way`)
    stop(asked ? 'release' : 'drain')
    asked = true
  }
  const onDisconnect = () => {
    log.warn('the supervisor is gone: finishing the steps under way')
    stop('drain')
    orphaned = setTimeout(() => stop('release'), ORPHAN_PATIENCE_MS)
  }

  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  if (supervised) process.on('disconnect', onDisconnect)
  return () => {
    clearTimeout(orphaned)
    process.off('SIGTERM', onSignal)
    process.off('SIGINT', onSignal)
    process.off('disconnect', onDisconnect)
  }
}
