import { randomBytes } from 'node:crypto'
import { type ClaimedStep, readHandedStep } from '../engine/index.js'

/** More than can be handed to one worker before those before them have begun. */
const KNOWN = 100

/** A step that was claimed for this worker. Its lease counts from `since`, by `performance.now()`. */
export interface HandedStep {
  step: ClaimedStep
  since: number
}

/** What comes to a worker that sleeps: steps that whoever made them has claimed for it, by notifications that only it can hear. */
export class Handover {
  /** Whoever knows this name may listen too. */
  readonly channel = `ops_hand_${randomBytes(16).toString('hex')}`
  #arrived: HandedStep[] = []
  /** The attempts that were handed over last. */
  readonly #known = new Set<string>()
  #isNews = false
  #isIncomplete = false

  /** Takes in a notification on the channel. */
  hear(payload: string): void {
    this.#isNews = true
    const step = readHandedStep(payload)
    if (step) this.#arrived.push({ step, since: performance.now() })
    else this.#isIncomplete = true
  }

  /** Notifications may have been lost. */
  miss(): void {
    this.#isIncomplete = true
  }

  /** What has arrived since it was last asked for. */
  takeArrived(): HandedStep[] {
    return this.#arrived.splice(0)
  }

  /** Remembers an attempt. False when it is known: it may come by a notification, and be among what is fetched. */
  meet({ token }: ClaimedStep): boolean {
    if (this.#known.has(token)) return false
    const [oldest] = this.#known
    if (this.#known.size >= KNOWN && oldest !== undefined) this.#known.delete(oldest)
    this.#known.add(token)
    return true
  }

  /** Whether a notification has come since this was last asked. */
  takeNews(): boolean {
    const isNews = this.#isNews
    this.#isNews = false
    return isNews
  }

  /** Whether something may have been handed over that has not arrived. Whoever asks fetches it: the next answer is no. */
  takeGap(): boolean {
    const isIncomplete = this.#isIncomplete
    this.#isIncomplete = false
    return isIncomplete
  }
}
