/** What runs in the renewer's thread: the same loop, on a connection of its own. */
import { workerData } from 'node:worker_threads'
import { connectEngine } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import { RenewalLoop } from './renewer.js'
import { type FromThread, sharedClock, type ThreadStart, type ToThread } from './renewer-messages.js'

const { connection, port }: ThreadStart = workerData

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

port.on('message', ({ hold, drop }: ToThread) => {
  for (const lease of hold) loop.hold({ ...lease, since: sharedClock.toLocal(lease.since) })
  for (const lease of drop) loop.drop(lease)
})
