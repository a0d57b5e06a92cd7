import pc from 'picocolors'
import pino from 'pino'
import { z } from 'zod'
import { harmless } from '../engine/harmless.js'
import type { Log } from '../executors/define.js'

const OPTIONS: pino.LoggerOptions = {
  base: undefined,
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (level) => ({ level }) },
}

/** Lines for people where somebody is watching, JSON on stderr where a file or a collector is. */
export function createLog(terminal: NodeJS.WriteStream = process.stdout): Log {
  if (!terminal.isTTY) return pino(OPTIONS, pino.destination({ fd: 2, sync: true }))
  return pino(OPTIONS, { write: (line) => void terminal.write(`${forPeople(line, pc)}\n`) })
}

const record = z.looseObject({ level: z.string(), time: z.string(), msg: z.string() })

/** `09:30:01 noop: succeeded  key=step-1 ms=12` */
export function forPeople(line: string, colors: ReturnType<typeof pc.createColors>): string {
  const { level, time, msg, ...fields } = record.parse(JSON.parse(line))
  const paint = level === 'error' ? colors.red : level === 'warn' ? colors.yellow : (text: string) => text
  const details = Object.entries(fields).map(([name, value]) => `${name}=${plain(value)}`)
  return harmless(
    `${colors.dim(time.slice(11, 19))} ${paint(msg)}  ${colors.dim(details.join(' '))}`.trimEnd(),
  )
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
