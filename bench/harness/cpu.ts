import { readdir, readFile } from 'node:fs/promises'

/** The kernel counts the time of processes in hundredths of a second. */
const MS_PER_TICK = 10

/**
 * Milliseconds of CPU time that a Postgres server has used so far: its postmaster, the processes that live, and those that have ended.
 * Linux only.
 */
export async function serverCpu(postmaster: number): Promise<number> {
  const [own, ...children] = await Promise.all([postmaster, ...(await childrenOf(postmaster))].map(stat))
  if (!own) throw new Error('the server has ended')
  const living = children.reduce((sum, child) => sum + (child?.ticks ?? 0), 0)
  return MS_PER_TICK * (own.ticks + own.ticksOfEnded + living)
}

/** Milliseconds of CPU time that one process has used, to the microsecond. */
export async function processCpu(pid: number): Promise<number> {
  const [running = ''] = (await readFile(`/proc/${pid}/schedstat`, 'utf8')).split(' ')
  return Number(running) / 1e6
}

/** The process that started this one. */
export async function parentOf(pid: number): Promise<number> {
  const found = await stat(pid)
  if (!found) throw new Error(`there is no process ${pid}`)
  return found.parent
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(pids.map(async (pid) => ({ pid, parent: (await stat(pid))?.parent })))
  return found.filter((one) => one.parent === parent).map(({ pid }) => pid)
}

/** Undefined when it has ended. */
async function stat(
  pid: number,
): Promise<{ parent: number; ticks: number; ticksOfEnded: number } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // What stands in parentheses is the program's name, which may hold anything.
  const numbers = text
    ?.slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(1)
    .map(Number)
  if (!numbers) return undefined
  const [parent = 0, , , , , , , , , , user = 0, system = 0, userOfEnded = 0, systemOfEnded = 0] = numbers
  return { parent, ticks: user + system, ticksOfEnded: userOfEnded + systemOfEnded }
}
