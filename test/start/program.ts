/** Runs the real program, as `npm start` and its users do. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { dataPaths } from '../../embedded/paths.js'
import { freePort } from '../../embedded/ports.js'
import { findProcesses } from '../../embedded/processes.js'
import { onFileEnd } from '../support/fileEnd.js'

const program = fileURLToPath(new URL('../../cli/ops-loop.mjs', import.meta.url))

/** No database of whoever runs the tests. */
const env = { ...process.env, DATABASE_URL: '', SUPABASE_URL: '', NO_COLOR: '1', CI: '' }

/** A running `ops-loop start`. */
export class Running {
  readonly lines: string[] = []
  readonly errors: string[] = []
  readonly #child: ChildProcess
  readonly #waiting = new Set<() => void>()
  readonly #ended: Promise<number | NodeJS.Signals>
  #over = false

  constructor(child: ChildProcess) {
    this.#child = child
    this.#ended = once(child, 'close').then(([code, signal]) => {
      this.#over = true
      this.#wake()
      return code ?? signal
    })
    for (const [stream, lines] of [
      [child.stdout, this.lines],
      [child.stderr, this.errors],
    ] as const) {
      if (stream === null) throw new Error('expected pipes')
      createInterface(stream).on('line', (line) => {
        lines.push(line)
        this.#wake()
      })
    }
    onFileEnd(async () => {
      child.kill('SIGKILL')
      await this.#ended
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** The first line that fits, as soon as it is printed. Rejects when the program ends without it. */
  async line(fits: RegExp): Promise<string> {
    for (;;) {
      const line = this.lines.find((text) => fits.test(text))
      if (line !== undefined) return line
      if (this.#over) throw new Error(`the program ended without ${fits}:\n${this.output()}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /** Sends a signal, and answers how the program ended: its exit code, or the signal that killed it. */
  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    this.#child.kill(signal)
    return this.#ended
  }

  /** Waits for the program to end by itself. */
  ended(): Promise<number | NodeJS.Signals> {
    return this.#ended
  }

  output(): string {
    return [...this.lines, ...this.errors].join('\n')
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}

/** `ops-loop start` on a data folder and a free port. */
export async function start(dataDir: string, ...args: string[]): Promise<Running> {
  const port = args.includes('--port') ? [] : ['--port', String(await freePort())]
  return new Running(
    spawn(process.execPath, [program, 'start', '--data-dir', dataDir, ...port, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  )
}

/** Another `ops-loop` command about the stack of a data folder. */
export async function command(dataDir: string, ...args: string[]) {
  const { exitCode, stdout, stderr } = await execa(
    process.execPath,
    [program, '--data-dir', dataDir, ...args],
    {
      env,
      reject: false,
      cwd: join(program, '..', '..'),
    },
  )
  return { exitCode, stdout, stderr }
}

/** The processes that belong to the stack of a data folder, its own excepted. */
export async function partsOf(dataDir: string): Promise<number[]> {
  const found = await Promise.all([
    findProcesses('ops-loop.mjs', '--data-dir', dataDir, 'api'),
    findProcesses('ops-loop.mjs', '--data-dir', dataDir, 'worker'),
    findProcesses('postgrest', `${dataDir}/`),
    findProcesses('postgres', '-D', dataPaths(dataDir).cluster),
  ])
  return found.flat()
}
