import type { TimelineEntry } from '../engine/index.js'
import { verdictOf } from './verdict.js'

/** What has happened since the start, in numbers. */
export interface Totals {
  /** From outside, and how many of them a pattern answered. */
  events: number
  answered: number
  /** Events that the loop itself made. */
  came_back: number
  /** By verdict: what was decided last. */
  proposals: Record<string, number>
  /** By how they ended. */
  missions: Record<string, number>
  steps: Record<string, number>
}

/** Counts what the story tells. */
export class Tally {
  #events = 0
  #cameBack = 0
  readonly #answered = new Set<unknown>()
  readonly #verdicts = new Map<string, string>()
  readonly #missions = new Map<string, string>()
  readonly #steps = new Map<string, string>()

  add({ entity, id, status, details }: TimelineEntry): void {
    switch (entity) {
      case 'event':
        if (details.depth === 0) this.#events += 1
        else this.#cameBack += 1
        return
      case 'reaction':
        this.#answered.add(details.event_id)
        return
      case 'proposal':
        this.#verdicts.set(id, verdictOf(status, details.code).word)
        return
      case 'mission':
        this.#missions.set(id, status)
        return
      case 'step':
        this.#steps.set(id, status)
    }
  }

  totals(): Totals {
    return {
      events: this.#events,
      answered: this.#answered.size,
      came_back: this.#cameBack,
      proposals: countBy(this.#verdicts),
      missions: countBy(this.#missions),
      steps: countBy(this.#steps),
    }
  }
}

function countBy(words: Map<string, string>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const word of words.values()) counts[word] = (counts[word] ?? 0) + 1
  return counts
}
