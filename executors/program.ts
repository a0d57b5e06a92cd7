import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { withoutCutWord } from './text.js'

export interface Program {
  /** A path, or a name to look for in `env.PATH`. */
  command: string
  args: readonly string[]
  /** What the program finds as its own name. Default: `command`. */
  name?: string | undefined
  cwd?: string | undefined
  /** All that it gets of the environment. */
  env: Readonly<Record<string, string>>
  stdin?: string | undefined
  /** Ends the program and all that it started. */
  signal: AbortSignal
  /** Bytes of each output that are kept; the rest is read and dropped. */
  maxBytes: number
}

export interface ProgramEnd {
  /** Null when a signal ended it. */
  exit_code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  /** One of the outputs was longer than what is kept. */
  truncated: boolean
}

/** From SIGTERM to SIGKILL, in milliseconds. */
const GRACE_MS = 1000

/** How long outputs may stay open after the program's end: a stranger that left its process group may hold them. */
const DRAIN_MS = 500

/**
 * Runs a program in a process group of its own, without a shell, to its end. When it ends, or is told to, everything that
 * it started and that stayed in its group ends as well.
 *
 * @throws the signal's reason, once the program is gone; or why it could not be started (`ENOENT`, `EACCES`)
 */
export async function runProgram(program: Program): Promise<ProgramEnd> {
  const { stdin, signal, maxBytes } = program
  signal.throwIfAborted()
  const { child, group } = await startProgram(program)
  const outputs = [collect(child.stdout, maxBytes), collect(child.stderr, maxBytes)] as const
  // Programs need not read what they are given.
  child.stdin.on('error', () => undefined)
  child.stdin.end(stdin ?? '')

  const stop = () => group.end()
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  const closed = once(child, 'close').catch(() => undefined)
  try {
    const [exit_code, killedBy] = await once(child, 'exit')
    group.kill()
    await Promise.race([closed, sleep(DRAIN_MS, undefined, { ref: false })])
    signal.throwIfAborted()
    const [stdout, stderr] = outputs
    return {
      exit_code,
      signal: killedBy,
      stdout: stdout.text(),
      stderr: stderr.text(),
      truncated: stdout.truncated || stderr.truncated,
    }
  } finally {
    signal.removeEventListener('abort', stop)
    child.stdout.destroy()
    child.stderr.destroy()
  }
}

/** @throws why the program could not be started */
export async function startProgram(
  program: Pick<Program, 'command' | 'args' | 'name' | 'cwd' | 'env'>,
): Promise<{ child: ChildProcessWithoutNullStreams; group: ProcessGroup }> {
  const { command, args, name, cwd, env } = program
  const child = spawn(command, args, { argv0: name, cwd, env, detached: true, stdio: 'pipe' })
  await once(child, 'spawn')
  return { child, group: new ProcessGroup(child.pid ?? 0) }
}

/** Groups that are alive: they must not outlive this process either. */
const groups = new Set<ProcessGroup>()
process.on('exit', () => {
  for (const group of groups) group.kill()
})

/** A program and all that it started, save what has left its group. */
export class ProcessGroup {
  #patience: NodeJS.Timeout | undefined

  constructor(private readonly leader: number) {
    groups.add(this)
  }

  /** Asks all of the group to end, and ends it a second later when it does not. */
  end(): void {
    this.#send('SIGTERM')
    this.#patience ??= setTimeout(() => this.kill(), GRACE_MS)
  }

  /** Ends all of the group at once. To be called when the leader is gone, too: others may still be there. */
  kill(): void {
    clearTimeout(this.#patience)
    this.#send('SIGKILL')
    groups.delete(this)
  }

  #send(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.leader, signal)
    } catch {
      // Nobody is left in it.
    }
  }
}

function collect(stream: NodeJS.ReadableStream, maxBytes: number) {
  const chunks: Buffer[] = []
  let size = 0
  const collected = {
    truncated: false,
    /** NUL, which Postgres cannot store, becomes U+FFFD, as does what is no UTF-8. */
    text: () => {
      const text = Buffer.concat(chunks).toString('utf8').replaceAll('\0', '\uFFFD')
      return collected.truncated ? withoutCutWord(text) : text
    },
  }
  stream.on('data', (chunk: Buffer) => {
    const kept = chunk.subarray(0, maxBytes - size)
    if (kept.length > 0) chunks.push(kept)
    size += kept.length
    if (kept.length < chunk.length) collected.truncated = true
  })
  return collected
}
