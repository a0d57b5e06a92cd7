/** What `npm start` does with a stack: plays the demonstration, tells what happens, sums up, and stays until it is stopped. */
import { connectEngine, type Engine, type Health } from '../engine/index.js'
import { resetDataFolder } from './dataFolder.js'
import { demoFor, playDemo } from './demo.js'
import { startHeart } from './heart.js'
import { Interruption } from './interruption.js'
import { type Stack, startStack } from './stack.js'
import { Story } from './story.js'
import { summarize } from './summary.js'
import { Tally } from './tally.js'
import type { Teller } from './teller.js'
import { wait } from './wait.js'

export interface RunOptions {
  dataDir: string
  /** Of the control plane. */
  port: number
  restPort?: number | undefined
  postgresPort?: number | undefined
  /** Deletes the data folder first. */
  reset: boolean
  /** Plays the demonstration on an empty database. */
  demo: boolean
  /** Ends after the summary. */
  once: boolean
  /** Longest pause between two heartbeats. */
  heartbeatMs: number
  teller: Teller
  /** What commands need to find this stack: empty, or `--data-dir …`. */
  commandOptions: string
}

/**
 * Runs the stack until Ctrl-C, or until the summary with `once`.
 *
 * @throws OpsError, with the fix as its hint, when a part cannot start
 */
export async function runStack(options: RunOptions): Promise<void> {
  const { dataDir, teller } = options
  const since = new Date()
  const interruption = new Interruption((line) => teller.log(line))
  try {
    if (options.reset) await resetDataFolder(dataDir, (line) => teller.log(line))
    const { signal } = interruption
    const stack = await startStack({ ...options, signal, log: (line) => teller.log(line) })
    interruption.onHurry(() => stack.hurry())
    try {
      await live(stack, since, options, signal)
    } finally {
      teller.log('Stopping …')
      await stack.stop()
    }
  } catch (error) {
    // Asked to stop before all was up: that is no failure.
    if (error !== interruption.signal.reason) throw error
  } finally {
    interruption.end()
  }
  teller.log('Stopped.')
}

async function live(stack: Stack, since: Date, options: RunOptions, signal: AbortSignal): Promise<void> {
  const { teller, once } = options
  const { DATABASE_URL, OPS_API_URL, OPS_API_KEY } = stack.connection
  const log = (line: string) => teller.log(line)
  const engine = connectEngine({ databaseUrl: DATABASE_URL, maxConnections: 2 })
  const tally = new Tally()
  const story = new Story({
    engine,
    since,
    tell(entry) {
      tally.add(entry)
      teller.entry(entry)
    },
  })
  story.start()
  let heart: { stop(): Promise<void> } | undefined
  const beat = () => {
    heart ??= startHeart({ url: OPS_API_URL, apiKey: OPS_API_KEY, intervalMs: options.heartbeatMs, log })
  }
  try {
    await intake(engine, stack, options, signal, beat)
    beat()
    await untilQuiet(engine, story, signal)
    if (signal.aborted) return
    await story.catchUp()
    const { commandOptions } = options
    teller.summary(await summarize({ engine, stack, totals: tally.totals(), commandOptions }))
    if (once) return
    log('Ctrl-C stops. Until then the story goes on.')
    await untilAborted(signal)
  } finally {
    await heart?.stop()
    await story.stop()
    await engine.close()
  }
}

/** Plays what is left of the demonstration, or says what the loop continues with. */
async function intake(
  engine: Engine,
  { connection }: Stack,
  { demo, teller }: RunOptions,
  signal: AbortSignal,
  beat: () => void,
): Promise<void> {
  const [first, ...others] = demo ? await demoFor(engine) : []
  if (first === undefined) {
    teller.log(`Continuing: ${describeQueues(await engine.health())}`)
    return
  }
  teller.log(`Playing ${others.length + 1} of GitHub's own webhook examples, signed as GitHub signs them`)
  const target = { url: connection.OPS_API_URL, webhookSecret: connection.GITHUB_WEBHOOK_SECRET, signal }
  await playDemo([first], target)
  // Not before: a heartbeat is an event too, and the database would no longer be empty if we were killed now.
  beat()
  await playDemo(others, target)
}

function describeQueues({ queues }: Health): string {
  const { events, steps, steps_running, proposals_pending } = queues
  return `${events} events to match, ${steps + steps_running} steps to run, ${proposals_pending} proposals waiting`
}

const POLL_MS = 250
/** Work that waits for its time, or is paused, does not keep the summary back for longer than this. */
const LONGEST_SILENCE_MS = 20_000

async function untilQuiet(engine: Engine, story: Story, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && story.silence < LONGEST_SILENCE_MS) {
    const health = await engine.health().catch(() => undefined)
    if (health && isQuiet(health)) return
    await wait(POLL_MS, signal)
  }
}

function isQuiet({ queues }: Health): boolean {
  return queues.events + queues.reactions + queues.steps + queues.steps_running === 0
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
