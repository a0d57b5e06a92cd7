import { vi } from 'vitest'
import { main } from './main.js'

/** What a command line came to. */
export interface Outcome {
  exitCode: number
  stdout: string
  stderr: string
}

/** Runs a command line in this process, on the database that `DATABASE_URL` names. */
export async function run(...args: string[]): Promise<Outcome> {
  const written = { stdout: '', stderr: '' }
  const write = (to: keyof typeof written, text: unknown, end = '') => {
    written[to] += `${text}${end}`
    return true
  }
  const spies = [
    vi.spyOn(console, 'log').mockImplementation((text) => void write('stdout', text, '\n')),
    vi.spyOn(console, 'error').mockImplementation((text) => void write('stderr', text, '\n')),
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => write('stdout', text)),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => write('stderr', text)),
  ]
  process.exitCode = 0
  try {
    await main(args)
    return { exitCode: Number(process.exitCode), ...written }
  } finally {
    process.exitCode = 0
    for (const spy of spies) spy.mockRestore()
  }
}

/** The same with `--json`: its answer, parsed. */
export async function answer(...args: string[]): Promise<unknown> {
  const { exitCode, stdout, stderr } = await run(...args, '--json')
  if (exitCode !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}
