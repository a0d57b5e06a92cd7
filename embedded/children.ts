/**
 * The control plane and the worker of the stack: `ops-loop api` and `ops-loop worker`, each a process of its own.
 *
 * An IPC channel ties them to us: when we die, however, they notice and end by themselves. Their command lines name the data
 * folder, so that the next start finds any that are still winding down.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { stackError } from './errors.js'
import { findProcesses, type OwnProcess, pause, spawnProcess, stopProcesses } from './processes.js'
import type { Service } from './supervisor.js'

const program = fileURLToPath(new URL('../cli/ops-loop.mjs', import.meta.url))

export interface ChildOptions {
  dataDir: string
  logFile: string
  /** On top of ours. An empty one counts as not set. */
  env: Record<string, string>
}

/** How long a child may take to finish what it has begun; a worker then hands its steps back, and has as long for that. */
const PATIENCE_MS = 10_000
const HURRIED_PATIENCE_MS = 1000

/**
 * Starts the control plane and resolves when it answers, the database behind it included.
 *
 * @param options.signal aborted: it is stopped, and the signal's reason thrown
 * @throws OpsError `OPS_001` with the last lines of its log when it does not answer within 30 s
 */
export async function startApi(
  options: ChildOptions & { port: number; signal: AbortSignal },
): Promise<Service> {
  const { port, logFile, signal } = options
  const child = spawnChild('api', ['--port', String(port)], options)
  if (await answers(`http://127.0.0.1:${port}/readyz`, child, signal)) return asService(child)
  await child.stop(['SIGKILL'], PATIENCE_MS)
  signal.throwIfAborted()
  const lines = (await readFile(logFile, 'utf8')).trim().split('\n')
  throw stackError(`The control plane does not answer:\n${lines.slice(-5).join('\n')}`, {
    hint: `The whole log is in ${logFile}.`,
  })
}

/** Starts the worker. It waits for the database by itself. */
export async function startWorker(options: ChildOptions): Promise<Service> {
  return asService(spawnChild('worker', ['--watch', '--name', 'npm start'], options))
}

/**
 * Stops the children that a killed stack left behind. The caller holds the folder's lock.
 *
 * @param dataDir its real path
 */
export async function stopOrphanedChildren(dataDir: string, log: (line: string) => void): Promise<void> {
  for (const name of ['api', 'worker'] as const) {
    const orphans = await findProcesses('ops-loop.mjs', '--data-dir', dataDir, name)
    if (orphans.length === 0) continue
    log(`Stopping the ${name} (process ${orphans.join(', ')}), which an earlier run left behind`)
    await stopProcesses(orphans, ['SIGTERM', 'SIGTERM', 'SIGKILL'], PATIENCE_MS)
  }
}

function spawnChild(
  name: 'api' | 'worker',
  args: string[],
  { dataDir, logFile, env }: ChildOptions,
): OwnProcess {
  return spawnProcess(process.execPath, [program, '--data-dir', dataDir, name, ...args], {
    logFile,
    env: { ...process.env, ...env, OPS_STACK_PART: name },
    ipc: true,
  })
}

function asService(child: OwnProcess): Service {
  return {
    ended: child.ended,
    stop: () => child.stop(['SIGTERM', 'SIGTERM', 'SIGKILL'], PATIENCE_MS),
    hurry: () => child.stop(['SIGTERM', 'SIGTERM', 'SIGKILL'], HURRIED_PATIENCE_MS),
  }
}

const READY_WITHIN_MS = 30_000

/** Resolves to whether the URL answered well before the process ended, nobody wanted it any more or 30 s were over. */
async function answers(url: string, child: OwnProcess, signal: AbortSignal): Promise<boolean> {
  for (
    const deadline = Date.now() + READY_WITHIN_MS;
    child.running && !signal.aborted && Date.now() < deadline;
    await pause(50)
  ) {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) }).catch(() => undefined)
    if (response?.ok) return true
  }
  return false
}
