import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onFileEnd } from './fileEnd.js'

export interface Program {
  readonly pid: number
  /** The first line that it wrote. */
  readonly line: string
  /** SIGKILL: the program gets no chance to put anything in order. Resolves when it is gone. */
  kill(): Promise<void>
}

/** Runs one of the programs in this folder until it has written a line. It is killed when the test file ends. */
export async function runProgram(name: string, ...args: string[]): Promise<Program> {
  const path = fileURLToPath(new URL(name, import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', path, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const kill = () => killProgram(child)
  onFileEnd(kill)
  const [line] = await once(createInterface(child.stdout), 'line')
  return { pid: child.pid ?? 0, line: String(line), kill }
}

async function killProgram(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}
