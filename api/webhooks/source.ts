import type { EventInput } from '../../engine/index.js'

/** One call of a webhook, exactly as it came in. */
export interface Delivery {
  headers: Headers
  /** The signed bytes. */
  body: Buffer
  /** Milliseconds since 1970, for sources that sign the time. */
  receivedAt: number
}

/** Another system that reports by signed webhooks: a file of its own in this folder, a line in `index.ts`. */
export interface WebhookSource {
  /**
   * Proves that the delivery is genuine, and says which event it reports: its type, data and the `dedupe_key` that makes a
   * repeated delivery harmless. `'ping'` is a delivery that only tries the connection.
   *
   * @throws OpsError `OPS_012` when it is not genuine, `OPS_011` when it cannot be read
   */
  receive(delivery: Delivery): EventInput | 'ping'
}
