const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Does work that would leave something behind if it were killed. The first Ctrl-C aborts the signal, has the work put things in order
 * and only then ends the process, as Ctrl-C does; a second one ends it at once.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController()
  let asked: NodeJS.Signals | undefined
  const ask = (signal: NodeJS.Signals) => {
    asked = signal
    release()
    interruption.abort()
  }
  const release = () => {
    for (const signal of SIGNALS) process.off(signal, ask)
  }
  for (const signal of SIGNALS) process.on(signal, ask)
  try {
    return await work(interruption.signal)
  } finally {
    release()
    if (asked !== undefined) await endBy(asked)
  }
}

/** Never resolves: nobody is to go on, or to tell of an error, in the moment before the end. */
function endBy(signal: NodeJS.Signals): Promise<never> {
  process.kill(process.pid, signal)
  return new Promise(() => undefined)
}
