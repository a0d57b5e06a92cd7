import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import type { OpsError } from '../engine/errors.js'
import { isSystemError, stackError } from './errors.js'

/**
 * A port of 127.0.0.1 that nobody uses now. From below the range out of which systems serve outgoing connections, so that none of
 * those takes it before its listener does.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_768)
    if (!(await isPortTaken(port))) return port
  }
}

/** Whether something listens on this port of 127.0.0.1 already. */
export function isPortTaken(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => (isSystemError(error, 'EADDRINUSE') ? resolve(true) : reject(error)))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(false)))
  })
}

/** @param option of `npm start`, which chooses another one */
export function portTaken(port: number, who: string, option: string): OpsError {
  return stackError(`Port ${port} of 127.0.0.1 is taken by another program, so ${who} cannot listen there.`, {
    hint: `Stop that program, or choose another port: npm start -- ${option} <port>.`,
  })
}

/** A port that was asked for. */
export interface WantedPort {
  port: number | undefined
  who: string
  /** Of `npm start`. */
  option: string
}

/** @throws OpsError OPS_001 if two are to listen on one port */
export function checkApart(wanted: readonly WantedPort[]): void {
  for (const [index, { port, who, option }] of wanted.entries()) {
    const other = wanted.slice(0, index).find((earlier) => port !== undefined && earlier.port === port)
    if (other === undefined) continue
    throw stackError(`Port ${port} cannot be that of ${other.who} and of ${who}.`, {
      hint: `Choose another one for ${who}: npm start -- ${option} <port>.`,
    })
  }
}
