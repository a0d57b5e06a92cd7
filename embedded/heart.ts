import { z } from 'zod'
import { messageOf } from './errors.js'
import { wait } from './wait.js'

export interface HeartOptions {
  /** Of the control plane. */
  url: string
  apiKey: string
  /** Between two beats that find nothing to do. */
  intervalMs: number
  log: (line: string) => void
}

export interface Heart {
  /** Resolves when a beat that is under way has ended. */
  stop(): Promise<void>
}

/** A beat that moved something is followed by the next one at once: what it moved may have brought new work. */
const BRISK_MS = 200
const PATIENCE_MS = 60_000

const reportSchema = z.looseObject({
  ok: z.boolean(),
  triggerResult: z.looseObject({ events: z.number() }),
  reactionResult: z.looseObject({ processed: z.number() }),
  errors: z.array(z.looseObject({ message: z.string() })),
  warnings: z.array(z.looseObject({ message: z.string() })),
})

/** What a scheduler does in production: POSTs the heartbeat, over HTTP and with the key, again and again. */
export function startHeart({ url, apiKey, intervalMs, log }: HeartOptions): Heart {
  const stopping = new AbortController()
  const say = onChange(log)

  async function beat(): Promise<boolean> {
    const response = await fetch(`${url}/api/ops/heartbeat`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
    const report = reportSchema.safeParse(await response.json())
    if (!report.success) throw new Error(`the control plane answered ${response.status}`)
    const { ok, triggerResult, reactionResult, errors, warnings } = report.data
    const problems = [...errors, ...warnings].map(({ message }) => message)
    say(problems.length === 0 ? undefined : `Heartbeat ${ok ? 'warns' : 'failed'}: ${problems.join('; ')}`)
    return triggerResult.events + reactionResult.processed > 0
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const moved = await beat().catch((error: unknown) => {
        if (!stopping.signal.aborted) say(`Heartbeat failed: ${messageOf(error)}`)
        return false
      })
      await wait(moved ? BRISK_MS : intervalMs, stopping.signal)
    }
  }

  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}

/** Says a trouble once while it lasts. */
function onChange(log: (line: string) => void): (trouble: string | undefined) => void {
  let last: string | undefined
  return (trouble) => {
    if (trouble !== undefined && trouble !== last) log(trouble)
    last = trouble
  }
}
