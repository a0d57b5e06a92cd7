/**
 * The control plane and the worker of the stack: `ops-loop api` and `ops-loop worker`, each a process of its own.
 *
 * An IPC channel ties them to us: when we die, however, they notice and end by themselves. Their command lines name the data
 * folder, so that the next start finds any that are still winding down.
 */
import { fileURLToPath } from 'node:url'
import { findProcesses, type OwnProcess, pause, spawnProcess, stopProcesses } from './processes.js'

const program = fileURLToPath(new URL('../cli/ops-loop.mjs', import.meta.url))

export type ChildName = 'api' | 'worker'

export interface ChildOptions {
  dataDir: string
  logFile: string
  args?: readonly string[]
  /** On top of ours. An empty one counts as not set, also against `.env`. */
  env: Record<string, string>
}

export function spawnChild(name: ChildName, { dataDir, logFile, args = [], env }: ChildOptions): OwnProcess {
  return spawnProcess(process.execPath, [program, '--data-dir', dataDir, name, ...args], {
    logFile,
    env: { ...process.env, ...env },
    ipc: true,
  })
}

/** How long what a killed stack left behind may take to finish what it has begun. */
const ORPHAN_PATIENCE_MS = 10_000

/** Stops the children that a killed stack left behind. The caller holds the folder's lock. */
export async function stopOrphanedChildren(dataDir: string, log: (line: string) => void): Promise<void> {
  for (const name of ['api', 'worker'] as const) {
    const orphans = await findProcesses('ops-loop.mjs', '--data-dir', dataDir, name)
    if (orphans.length === 0) continue
    log(`Waiting for the ${name} (process ${orphans.join(', ')}) that an earlier run left behind`)
    await stopProcesses(orphans, ['SIGTERM', 'SIGKILL'], ORPHAN_PATIENCE_MS)
  }
}

const READY_WITHIN_MS = 30_000

/** Resolves to whether the URL answered well before the process ended or 30 s were over. */
export async function answers(url: string, child: OwnProcess): Promise<boolean> {
  for (const deadline = Date.now() + READY_WITHIN_MS; child.running && Date.now() < deadline; await pause(50)) {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) }).catch(() => undefined)
    if (response?.ok) return true
  }
  return false
}
