import type { GlobalOptions } from './connection.js'

/** Tells how long work goes on, a line at a time on stderr. With `--json`, or where nobody looks on, it keeps silent. */
export function progress({ json }: GlobalOptions): (line: string) => void {
  return json || !process.stderr.isTTY ? () => undefined : (line) => process.stderr.write(`${line}\n`)
}
