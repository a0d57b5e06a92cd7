/** The real programs, as an operator starts them, and everything that can happen to a process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onFileEnd } from '../../support/fileEnd.js'
import { monotonic } from './ledger.js'

const program = fileURLToPath(new URL('../../../cli/ops-loop.mjs', import.meta.url))

export type Ending = number | NodeJS.Signals

export interface StartOptions {
  args: string[]
  env: Record<string, string | undefined>
  cwd: string
  /** For Node itself, before the program. */
  nodeArgs?: string[]
}

export class Program {
  output = ''
  readonly ended: Promise<Ending>
  /** When it died, by the machine's monotonic clock. */
  diedAt: number | undefined
  readonly #child: ChildProcess
  readonly #waiting = new Set<() => void>()

  constructor({ args, env, cwd, nodeArgs = [] }: StartOptions) {
    this.#child = spawn(process.execPath, [...nodeArgs, program, ...args], {
      cwd,
      env: { PATH: process.env.PATH, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
        this.#wake()
      })
    }
    this.ended = once(this.#child, 'close').then(([code, signal]) => {
      this.diedAt ??= monotonic()
      this.#wake()
      return code ?? signal
    })
    this.#child.once('exit', () => {
      this.diedAt = monotonic()
    })
    onFileEnd(async () => {
      await this.end('SIGKILL')
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isAlive(): boolean {
    return this.diedAt === undefined
  }

  /** Resolves as soon as the program has printed this; rejects when it ends without. */
  async says(text: string | RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const found = this.output.match(text)
      if (found) return found
      if (!this.isAlive) throw new Error(`the program ended without saying ${text}:\n${this.output}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sends a signal and waits for the end: the exit code, or the signal that killed it. */
  async end(signal: NodeJS.Signals): Promise<Ending> {
    if (this.isAlive) this.#child.kill(signal)
    return this.ended
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}
