import { type ChannelSettings, channelStates, deliver } from '../channels/notices/deliver.js'
import type { Engine } from '../engine/index.js'
import { describeError, type Log } from '../executors/define.js'
import { jittered } from './backoff.js'
import { pause } from './wake.js'

type WatchEngine = Pick<Engine, 'watchHeartbeat' | 'claimSilenceNotices' | 'recordNotice'>

const EVERY_MS = 60_000

/**
 * Looks after the heartbeat until the signal is aborted, at once and then every minute: what watches the loop runs inside the heartbeat,
 * so its own silence has to be seen by somebody else. The database raises the alert; this tells of it through the channels whose variables this
 * process has. Never rejects.
 */
export async function lookAfterHeartbeat(
  engine: WatchEngine,
  settings: ChannelSettings,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await lookOnce(engine, settings, log)
    } catch (error) {
      // Whoever cannot reach the database says so elsewhere.
      log.warn(`cannot look after the heartbeat: ${describeError(error)}`)
    }
    await pause(jittered(EVERY_MS), signal)
  }
}

async function lookOnce(engine: WatchEngine, settings: ChannelSettings, log: Log): Promise<void> {
  const silence = await engine.watchHeartbeat()
  if (silence === null) return
  log.error(
    `no heartbeat for ${silence.silent_minutes} minutes: what calls it, and does the control plane answer?`,
  )
  const mine = Object.entries(channelStates({ channels: silence.channels }, settings.variables))
    .filter(([, state]) => state === 'configured')
    .map(([name]) => name)
  if (mine.length === 0) return
  const take = (leaseSeconds: number) => engine.claimSilenceNotices(mine, leaseSeconds)
  const { failures } = await deliver({ take, record: engine.recordNotice }, settings)
  for (const failure of failures) log.warn(failure)
}
