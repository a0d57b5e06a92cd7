const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** One Ctrl-C can arrive twice: from the terminal, and passed on by npm. */
const SAME_MS = 500

/** Ctrl-C, and what else asks us to stop: the first asks, the second hurries. */
export class Interruption {
  readonly #controller = new AbortController()
  readonly #log: (line: string) => void
  #askedAt: number | undefined
  #hurry: (() => Promise<void>) | undefined

  constructor(log: (line: string) => void) {
    this.#log = log
    for (const signal of SIGNALS) process.on(signal, this.#interrupt)
    // Nobody reads us any more, as in `npm start | head`.
    process.stdout.on('error', this.#interrupt)
  }

  /** Aborted as soon as we are asked to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** What a second Ctrl-C does. */
  onHurry(hurry: () => Promise<void>): void {
    this.#hurry = hurry
  }

  /** From here on signals do what they do by default. */
  end(): void {
    for (const signal of SIGNALS) process.off(signal, this.#interrupt)
  }

  readonly #interrupt = () => {
    const now = Date.now()
    if (this.#askedAt === undefined) {
      this.#askedAt = now
      this.#controller.abort()
    } else if (now - this.#askedAt > SAME_MS && this.#hurry) {
      this.#log('Hurrying.')
      void this.#hurry()
      this.#hurry = undefined
    }
  }
}
