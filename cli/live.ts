import { setTimeout as sleep } from 'node:timers/promises'
import { harmless } from '../engine/harmless.js'

const HIDE_CURSOR = '\x1b[?25l'
const SHOW_CURSOR = '\x1b[?25h'
const NO_WRAP = '\x1b[?7l'
const WRAP = '\x1b[?7h'
const HOME = '\x1b[H'
const CLEAR_LINE = '\x1b[K'
const CLEAR_BELOW = '\x1b[J'
const CLEAR_ALL = '\x1b[2J'

export interface Live {
  /** What is to be seen now. A text that it throws for is the error's. */
  frame(): Promise<string>
  everyMs: number
}

/**
 * Shows something that changes until Ctrl-C (or SIGTERM), which is the way to end it and no failure. On a terminal it is drawn over
 * itself, without a cursor; elsewhere each frame is written under the one before.
 */
export async function showLive(
  { frame, everyMs }: Live,
  out: NodeJS.WriteStream = process.stdout,
): Promise<void> {
  const ending = new AbortController()
  const end = () => ending.abort()
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.on(signal, end)
  out.on('error', end)
  if (out.isTTY) out.write(HIDE_CURSOR + NO_WRAP + CLEAR_ALL)
  try {
    while (!ending.signal.aborted) {
      const text = harmless(await frame())
      if (ending.signal.aborted) break
      out.write(out.isTTY ? overlaid(text, out.rows) : `${text}\n`)
      await sleep(everyMs, undefined, { signal: ending.signal }).catch(() => undefined)
    }
  } finally {
    if (out.isTTY) out.write(`${WRAP}${SHOW_CURSOR}\n`)
    for (const signal of signals) process.off(signal, end)
    out.off('error', end)
  }
}

/** What does not fit is cut off, at the side by the terminal itself: a screen that scrolls cannot be drawn over. Some terminals do not tell their size: 0 rows. */
function overlaid(text: string, rows: number): string {
  const lines = text.split('\n').slice(0, rows > 1 ? rows - 1 : undefined)
  return HOME + lines.map((line) => `${line}${CLEAR_LINE}\n`).join('') + CLEAR_BELOW
}
