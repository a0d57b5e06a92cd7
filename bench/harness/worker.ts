import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import packageJson from '../../package.json' with { type: 'json' }
import type { Database } from './types.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A worker in a process of its own, started as `npm run worker -- --watch` starts it. */
export interface WorkerProcess {
  /** Bytes of memory that the process holds now, and the most it ever held. Linux only. */
  memory(): { now: number; most: number }
  stop(): Promise<void>
}

/** Starts a worker that offers the bench's executor `nothing`, 500 steps at a time. */
export function startWorker(database: Database): WorkerProcess {
  // `exec node <flags> cli/ops-loop.mjs worker`: without npm and the shell between, the process is ours to measure.
  const [, , ...args] = packageJson.scripts.worker.split(' ')
  const child = spawn(
    process.execPath,
    [...args, '--watch', '--concurrency', '500', '--executors', 'bench/executors'],
    {
      cwd: root,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, DATABASE_URL: database.url },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  // A line for each step is not worth showing.
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (!line.startsWith('{"level":"info"')) console.error(line)
  })
  return { memory: () => memoryOf(child), stop: () => end(child) }
}

function memoryOf(child: ChildProcess): { now: number; most: number } {
  if (child.exitCode !== null) throw new Error(`the worker ended with ${child.exitCode}`)
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  const bytes = (field: string) =>
    z.coerce.number().parse(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024
  return { now: bytes('VmRSS'), most: bytes('VmHWM') }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}
