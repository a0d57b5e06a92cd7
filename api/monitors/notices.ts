import { type ChannelSettings, type Delivered, deliver } from '../../channels/notices/deliver.js'
import type { Engine } from '../../engine/index.js'

export { type ChannelSettings, channelStates } from '../../channels/notices/deliver.js'

const BATCH = 20

/** Sends the notices that are due, of all alerts and through all channels. */
export function deliverNotices(
  { claimNotices, recordNotice }: Pick<Engine, 'claimNotices' | 'recordNotice'>,
  settings: ChannelSettings,
): Promise<Delivered> {
  return deliver(
    { take: (leaseSeconds) => claimNotices(BATCH, leaseSeconds), record: recordNotice },
    settings,
  )
}
