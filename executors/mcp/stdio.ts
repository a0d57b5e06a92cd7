import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ReadBuffer, serializeMessage } from '@modelcontextprotocol/sdk/shared/stdio.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import { type Program, startProgram } from '../program.js'
import { endOf } from '../text.js'

/** How long a server may take to end by itself once its input is closed, in milliseconds. */
const LEAVE_MS = 500

/** A longer message than this is no answer that a step could keep. */
const MAX_BUFFER_BYTES = 4 * 1024 * 1024

/** The end of what the server complains about, for errors. */
const MAX_COMPLAINT = 500

/**
 * Speaks MCP with a program over its standard input and output. Unlike the library's own transport it gives the program no
 * variable that it was not told to, and ends everything that the program has started.
 */
export class StdioTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: (message: JSONRPCMessage) => void
  #said = ''
  readonly #buffer = new ReadBuffer({ maxBufferSize: MAX_BUFFER_BYTES })
  #running: Awaited<ReturnType<typeof startProgram>> | undefined
  #exited: Promise<unknown> = Promise.resolve()

  constructor(private readonly program: Pick<Program, 'command' | 'args' | 'env'>) {}

  async start(): Promise<void> {
    const running = await startProgram(this.program)
    this.#running = running
    const { child, group } = running
    this.#exited = once(child, 'exit').catch(() => undefined)
    child.stdin.on('error', (error) => this.onerror?.(error))
    child.stdout.on('data', (chunk: Buffer) => this.#receive(chunk))
    child.stderr.on('data', (chunk: Buffer) => {
      this.#said = `${this.#said}${chunk.toString('utf8')}`.slice(-2 * MAX_COMPLAINT)
    })
    child.once('exit', () => {
      group.kill()
      this.onclose?.()
    })
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const stdin = this.#running?.child.stdin
    if (!stdin?.writable) throw new Error('the server has ended')
    if (!stdin.write(serializeMessage(message))) await Promise.race([once(stdin, 'drain'), this.#exited])
  }

  /** What the program last wrote to its standard error. */
  get complaint(): string {
    return endOf(this.#said, MAX_COMPLAINT)
  }

  /** Lets the server go: first by closing its input, then by signals. */
  async close(): Promise<void> {
    if (!this.#running) return
    const { child, group } = this.#running
    child.stdin.end()
    await Promise.race([this.#exited, sleep(LEAVE_MS, undefined, { ref: false })])
    group.end()
    await this.#exited
    child.stdout.destroy()
    child.stderr.destroy()
    this.#buffer.clear()
  }

  #receive(chunk: Buffer): void {
    try {
      this.#buffer.append(chunk)
      for (let message = this.#buffer.readMessage(); message; message = this.#buffer.readMessage()) {
        this.onmessage?.(message)
      }
    } catch (error) {
      this.onerror?.(error instanceof Error ? error : new Error(String(error)))
    }
  }
}
