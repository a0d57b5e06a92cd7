/**
 * Child processes that belong to a data folder.
 *
 * They run in a process group of their own, so that Ctrl-C in the terminal reaches only us and we stop them in order. The
 * price is that they outlive us when we are killed with SIGKILL. The next start finds them by their exact command line (binary
 * and data folder), which needs no record on disk that could be missing or stale, and never hits a stranger's process id.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { promisify } from 'node:util'
import { isSystemError } from './errors.js'

const execFileAsync = promisify(execFile)

export interface ProcessEnd {
  code: number | null
  signal: NodeJS.Signals | null
  /** Why the program could not even be executed. */
  error?: Error
}

export interface OwnProcess {
  readonly pid: number
  /** Settles when the process has ended, for whatever reason; never rejects. */
  readonly ended: Promise<ProcessEnd>
  /** False as soon as `ended` is settled. */
  readonly running: boolean
  /** Sends `signals` one after the other, each time waiting up to `patienceMs` for the end. */
  stop(signals: NodeJS.Signals[], patienceMs: number): Promise<void>
}

/**
 * All that the programs need to know of our environment. Variables such as PGDATESTYLE or PGRST_DB_URI would override what we
 * tell them; without a locale, Postgres refuses to run on macOS.
 */
export const childEnvironment: NodeJS.ProcessEnv = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }

/** For programs that read paths by their locale: a folder may be named in any script. */
export const unicodeEnvironment: NodeJS.ProcessEnv = { ...childEnvironment, LC_ALL: 'en_US.UTF-8' }

export interface SpawnOptions {
  logFile: string
  /** Default: `childEnvironment`. */
  env?: NodeJS.ProcessEnv
  /** Opens a channel to a Node program, which sees it close (`disconnect`) when we die, however. */
  ipc?: boolean
  user?: { uid: number; gid: number } | undefined
}

/** Starts a program in a process group of its own, with its output appended to a log file. */
export function spawnProcess(command: string, args: string[], options: SpawnOptions): OwnProcess {
  const log = openSync(options.logFile, 'a')
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', log, log, ...(options.ipc ? ['ipc' as const] : [])],
    env: options.env ?? childEnvironment,
    cwd: '/',
    ...options.user,
  })
  closeSync(log)
  const end = endOf(child)
  return {
    pid: child.pid ?? 0,
    ended: end.promise,
    get running() {
      return !end.settled()
    },
    async stop(signals, patienceMs) {
      for (const signal of signals) {
        if (end.settled()) return
        child.kill(signal)
        if (await endsWithin(end.promise, patienceMs)) return
      }
      await end.promise
    },
  }
}

function endOf(child: ChildProcess): { promise: Promise<ProcessEnd>; settled: () => boolean } {
  let settled = false
  const promise = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', (error) => resolve({ code: null, signal: null, error }))
  }).then((end) => {
    settled = true
    return end
  })
  return { promise, settled: () => settled }
}

async function endsWithin(ended: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds)
  })
  const result = await Promise.race([ended.then(() => true as const), timeout])
  clearTimeout(timer)
  return result
}

/**
 * When a process was started, in the system's own notation: with the process id it names one process for good.
 * Undefined if it is gone, or only waits to be reaped (a container's first process often never reaps).
 */
export async function processStart(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    // The second field is the program's name in parentheses and may hold anything; state is field 3, start time field 22.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  }
  const listing = await execFileAsync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)]).catch(() => undefined)
  const [, state, start] = /^(\S+)\s+(.+?)\s*$/.exec(listing?.stdout ?? '') ?? []
  return state?.startsWith('Z') ? undefined : start
}

/**
 * The live processes that run this program, or this script under Node, with these first arguments, e.g. `'postgres', '-D', '/data'`.
 * A last argument that ends in `/` stands for every path below it.
 */
export async function findProcesses(program: string, ...args: string[]): Promise<number[]> {
  const words = `/${[program, ...args].join(separator)}`
  const wanted = words.endsWith('/') ? words : `${words}${separator}`
  const lines = await commandLines()
  return [...lines].filter(([, line]) => runs(line, wanted)).map(([pid]) => pid)
}

/** Not whatever mentions the words, such as a debugger; but `ps` shows a path with spaces as several words. */
function runs(line: string, wanted: string): boolean {
  const at = line.indexOf(wanted)
  if (at < 0) return false
  const [first = '', ...others] = line.slice(0, at).split(separator)
  return others.length === 0 || basename(first) === 'node' || separator === ' '
}

/** Whether the process is alive and its program has this name. */
export async function runsProgram(pid: number, program: string): Promise<boolean> {
  const line = (await commandLines()).get(pid) ?? ''
  return basename(line.split(separator)[0] ?? '') === program
}

/** Stops processes that are not our children: `signals` one after the other, then gives up. True if all are gone. */
export async function stopProcesses(
  pids: number[],
  signals: NodeJS.Signals[],
  patienceMs: number,
): Promise<boolean> {
  for (const signal of signals) {
    for (const pid of pids) sendSignal(pid, signal)
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await pause(20)) {
      if (await areGone(pids)) return true
    }
  }
  return areGone(pids)
}

async function areGone(pids: number[]): Promise<boolean> {
  const starts = await Promise.all(pids.map(processStart))
  return starts.every((start) => start === undefined)
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!isSystemError(error, 'ESRCH')) throw error
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

/** What stands between (and after) the words of a command line: `ps` cannot tell a space from the end of a word. */
const separator = process.platform === 'linux' ? '\0' : ' '

async function commandLines(): Promise<Map<number, string>> {
  if (process.platform !== 'linux') {
    const { stdout } = await execFileAsync('ps', ['-axww', '-o', 'pid=,command='], { maxBuffer: 64 << 20 })
    const rows = stdout.matchAll(/^\s*(\d+) (.*)$/gm)
    return new Map(Array.from(rows, ([, pid, line]) => [Number(pid), `${line}${separator}`]))
  }
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return new Map(pids.map((pid, index) => [Number(pid), lines[index] ?? '']))
}
