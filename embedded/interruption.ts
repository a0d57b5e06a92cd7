const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** One Ctrl-C can arrive twice: from the terminal, and passed on by npm. */
const SAME_MS = 500

/** Ctrl-C, and what else asks us to stop: the first asks, the second hurries. */
export class Interruption {
  readonly #controller = new AbortController()
  readonly #log: (line: string) => void
  #first: { reason: string; at: number } | undefined
  #hurry: (() => Promise<void>) | undefined

  constructor(log: (line: string) => void) {
    this.#log = log
    for (const signal of SIGNALS) process.on(signal, this.#interrupt)
    // Nobody reads us any more, as in `npm start | head`.
    process.stdout.on('error', this.#unread)
  }

  /** Aborted as soon as we are asked to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** What being asked again does. */
  onHurry(hurry: () => Promise<void>): void {
    this.#hurry = hurry
  }

  /** From here on signals do what they do by default. */
  end(): void {
    for (const signal of SIGNALS) process.off(signal, this.#interrupt)
  }

  readonly #interrupt = (reason: string) => {
    if (this.#first === undefined) {
      this.#first = { reason, at: Date.now() }
      this.#controller.abort()
      return
    }
    const same = reason === this.#first.reason && Date.now() - this.#first.at < SAME_MS
    if (same || this.#hurry === undefined) return
    this.#log('Hurrying.')
    void this.#hurry().catch(() => undefined)
    this.#hurry = undefined
  }

  readonly #unread = () => this.#controller.abort()
}
