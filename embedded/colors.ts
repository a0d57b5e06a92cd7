import { WriteStream } from 'node:tty'
import pc from 'picocolors'

export type Colors = ReturnType<typeof pc.createColors>

/** Colours where somebody looks at a terminal that has them; plain text everywhere else, also in CI. */
export function colorsFor(stream: NodeJS.WritableStream): Colors {
  return pc.createColors(stream instanceof WriteStream && pc.isColorSupported)
}
