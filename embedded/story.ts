import type { Engine, TimelineEntry } from '../engine/index.js'
import { wait } from './wait.js'

export interface StoryOptions {
  engine: Pick<Engine, 'timeline'>
  /** Where the story begins. */
  since: Date
  tell: (entry: TimelineEntry) => void
}

const POLL_MS = 250
/** Rows become visible when their transaction commits, with the time at which they were written: look back this far. */
const OVERLAP_MS = 5_000
const PAGE = 5_000
/** How much is remembered as told; more than can come again. */
const MEMORY = 50_000

/** Follows the timeline and tells each thing that happens once, causes before effects. */
export class Story {
  readonly #options: StoryOptions
  readonly #stopping = new AbortController()
  readonly #told = new Set<string>()
  #horizon: number
  #reading = Promise.resolve()
  #telling: Promise<void> | undefined
  #lastNews = Date.now()

  constructor(options: StoryOptions) {
    this.#options = options
    this.#horizon = options.since.getTime()
  }

  /** Tells what happens until it is stopped. A database that is away is waited for. */
  start(): void {
    this.#telling ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#telling
  }

  /** How long nothing has happened, in milliseconds. */
  get silence(): number {
    return Date.now() - this.#lastNews
  }

  /** Tells what has happened up to now. */
  catchUp(): Promise<void> {
    const turn = this.#reading.then(() => this.#read())
    this.#reading = turn.catch(() => undefined)
    return turn
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.catchUp().catch(() => undefined)
      await wait(POLL_MS, this.#stopping.signal)
    }
  }

  async #read(): Promise<void> {
    const { engine, since } = this.#options
    let from = Math.max(since.getTime(), this.#horizon - OVERLAP_MS)
    for (;;) {
      const entries = await engine.timeline(new Date(from).toISOString(), PAGE)
      for (const entry of causesFirst(entries)) this.#hear(entry)
      if (entries.length < PAGE || this.#horizon === from) break
      from = this.#horizon
    }
  }

  #hear(entry: TimelineEntry): void {
    this.#horizon = Math.max(this.#horizon, Date.parse(entry.at))
    const key = keyOf(entry)
    if (this.#told.has(key)) return
    this.#told.add(key)
    this.#forget()
    if (isHeartbeat(entry)) return
    this.#lastNews = Date.now()
    this.#options.tell(entry)
  }

  #forget(): void {
    for (const oldest of this.#told) {
      if (this.#told.size <= MEMORY) break
      this.#told.delete(oldest)
    }
  }
}

function isHeartbeat({ entity, summary }: TimelineEntry): boolean {
  return entity === 'event' && summary?.startsWith('heartbeat:') === true
}

/** What makes an entry news: attempts and reopened missions end more than once, a reaction counts once unless it fails. */
function keyOf({ entity, id, status, at }: TimelineEntry): string {
  switch (entity) {
    case 'event':
      return id
    case 'reaction':
      return status === 'failed' ? `${id} failed` : id
    case 'proposal':
      return `${id} ${status}`
    case 'step':
    case 'mission':
      return `${id} ${status} ${at}`
  }
}

/** A reaction is marked done after its proposal was made: it is moved in front of that. */
export function causesFirst(entries: readonly TimelineEntry[]): TimelineEntry[] {
  const reactions = new Map(
    entries.filter(({ entity }) => entity === 'reaction').map((entry) => [causeOf(entry), entry]),
  )
  const ordered = entries.flatMap((entry) => {
    const reaction = entry.entity === 'proposal' ? reactions.get(causeOf(entry)) : undefined
    return reaction === undefined ? [entry] : [reaction, entry]
  })
  return [...new Set(ordered)]
}

function causeOf({ details }: TimelineEntry): string {
  return `${details.event_id} ${details.pattern_id}`
}
