/** What renews in the renewer's thread: the same loop, on a connection of its own. */
import type { MessagePort } from 'node:worker_threads'
import { connectEngine, type EngineOptions } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import { RenewalLoop, type TimedLease } from './renewer.js'
import { type Claim, type FromThread, leasesOf, sharedClock } from './renewer-messages.js'

export interface Body {
  /**
   * Renews a claim's leases, save those that were dropped, from now on.
   *
   * @returns all of them, in their order
   */
  hold(claim: Claim, dropped: ReadonlySet<number>): TimedLease[]
  drop(lease: TimedLease): void
}

export function start(connection: EngineOptions, port: MessagePort): Body {
  const tell = (message: FromThread) => port.postMessage(message)
  const logged =
    (log: keyof Log) =>
    (fields: object | string, message = '') =>
      typeof fields === 'string' ? tell({ log, fields: {}, message: fields }) : tell({ log, fields, message })
  const log: Log = {
    debug: logged('debug'),
    info: logged('info'),
    warn: logged('warn'),
    error: logged('error'),
  }
  const loop = new RenewalLoop(connectEngine(connection), log, {
    onRenewed: ({ step_id, token }, since) =>
      tell({ renewed: { step_id, token }, since: sharedClock.of(since) }),
    onLost: ({ step_id, token }) => tell({ lost: { step_id, token } }),
  })
  return {
    hold(claim, dropped) {
      const leases = leasesOf(claim)
      loop.hold(leases.filter((_, index) => !dropped.has(claim.first + index)))
      return leases
    },
    drop: (lease) => loop.drop(lease),
  }
}
