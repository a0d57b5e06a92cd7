/** How the requests that this process answered last went, in bounded memory. */
export class RequestMeter {
  readonly #requests: { at: number; failed: boolean; ms: number }[] = []

  constructor(
    private readonly windowMs = 10 * 60_000,
    private readonly most = 2000,
  ) {}

  /** @param at milliseconds since 1970, when it was answered */
  note(at: number, status: number, ms: number): void {
    this.#requests.push({ at, failed: status >= 500, ms })
    if (this.#requests.length > this.most) this.#requests.shift()
  }

  /** Share of errors and 99th percentile of the window; nothing while there are too few requests to say anything. */
  read(now: number): { api_error_percent: number; api_p99_ms: number } | Record<string, never> {
    const recent = this.#requests.filter(({ at }) => at > now - this.windowMs)
    if (recent.length < LEAST) return {}
    const durations = recent.map(({ ms }) => ms).sort((a, b) => a - b)
    const failed = recent.filter((request) => request.failed).length
    return {
      api_error_percent: Math.round((1000 * failed) / recent.length) / 10,
      api_p99_ms: durations[Math.ceil(0.99 * durations.length) - 1] ?? 0,
    }
  }
}

const LEAST = 20

/** Of this process: beats and routes of one instance meet here. */
export const requestMeter = new RequestMeter()
