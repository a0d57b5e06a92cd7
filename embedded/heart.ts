import { z } from 'zod'
import { messageOf } from './errors.js'
import { wait } from './wait.js'

export interface HeartOptions {
  /** Of the control plane. */
  url: string
  apiKey: string
  /** The longest pause between two beats, which is the usual one when there is nothing to do. */
  intervalMs: number
  /** Told of a trouble once, however long it lasts. */
  log: (line: string) => void
}

export interface Heart {
  /** Breaks off a beat that is under way. */
  stop(): Promise<void>
}

/** What one beat moved may bring work for the next: after such a one the pauses begin short, and double. */
const SHORTEST_PAUSE_MS = 200
const PATIENCE_MS = 60_000

const reportSchema = z.looseObject({
  triggerResult: z.looseObject({ events: z.number() }),
  reactionResult: z.looseObject({ processed: z.number() }),
  errors: z.array(z.looseObject({ message: z.string() })),
  warnings: z.array(z.looseObject({ message: z.string() })),
})

/** What a scheduler does in production: POSTs the heartbeat, over HTTP and with the key, again and again. */
export function startHeart({ url, apiKey, intervalMs, log }: HeartOptions): Heart {
  const stopping = new AbortController()
  let lastTrouble: string | undefined

  function say(trouble: string | undefined): void {
    if (trouble !== undefined && trouble !== lastTrouble) log(`Heartbeat: ${trouble}`)
    lastTrouble = trouble
  }

  /** Answers whether there was anything to do. */
  async function beat(): Promise<boolean> {
    const response = await fetch(`${url}/api/ops/heartbeat`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${apiKey}` },
      // A beat may break off anywhere.
      signal: AbortSignal.any([stopping.signal, AbortSignal.timeout(PATIENCE_MS)]),
    }).catch(() => undefined)
    if (response === undefined) throw new Error('the control plane does not answer')
    const report = reportSchema.safeParse(await response.json())
    if (!report.success) throw new Error(`the control plane answered ${response.status}`)
    const { triggerResult, reactionResult, errors, warnings } = report.data
    const problems = [...errors, ...warnings].map(({ message }) => message)
    say(problems.length === 0 ? undefined : problems.join('; '))
    return triggerResult.events + reactionResult.processed > 0
  }

  async function run(): Promise<void> {
    let pause = SHORTEST_PAUSE_MS
    while (!stopping.signal.aborted) {
      try {
        pause = (await beat()) ? SHORTEST_PAUSE_MS : pause * 2
      } catch (error) {
        if (!stopping.signal.aborted) say(messageOf(error))
        pause *= 2
      }
      pause = Math.min(pause, intervalMs)
      await wait(pause, stopping.signal)
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
