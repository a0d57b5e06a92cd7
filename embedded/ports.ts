import { createServer } from 'node:net'
import type { OpsError } from '../engine/errors.js'
import { isSystemError, stackError } from './errors.js'

/** Reserves nothing: another process may take the port in the meantime. Good for tests and for inner ports. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
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
